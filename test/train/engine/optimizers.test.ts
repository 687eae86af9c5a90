/**
 * The trainer against `test/goldens/optimizers`: torch's AdamW with layer-wise learning rates, timm's moving average, LARS
 * and batch norm, twenty steps each, on every kind of device.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ArtifactOptions, buildArtifacts } from '../../../src/artifact/build.js';
import { evalModelFile } from '../../../src/artifact/manifest.js';
import { readManifest } from '../../../src/artifact/read-manifest.js';
import { writeArtifacts } from '../../../src/artifact/write.js';
import { add } from '../../../src/compiler/graph/ops/elementwise.js';
import { larsDefaults } from '../../../src/model/optim/lars.js';
import { isTrained, type ParameterSpec } from '../../../src/model/parameters.js';
import type { Task } from '../../../src/model/task.js';
import { cpuDevice, type Device } from '../../../src/runtime/device.js';
import { findKernels } from '../../../src/runtime/kernels.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { webgpuDevice } from '../../../src/runtime/webgpu/device.js';
import { loadCheckpoint, saveCheckpoint } from '../../../src/train/checkpointing.js';
import type { HostBatch } from '../../../src/train/engine/batch-tensors.js';
import { Evaluator } from '../../../src/train/engine/evaluator.js';
import { ModelState, sliceOf } from '../../../src/train/engine/model-state.js';
import { Trainer } from '../../../src/train/engine/trainer.js';
import { startOfRun } from '../../../src/train/position.js';
import { bytesOf } from '../../../src/util/bytes.js';
import '../../support/allclose.js';
import { batchNormTask } from '../../support/batch-norm.js';
import { classifierTask } from '../../support/classifier.js';
import { readTensorFile, tinyModel } from '../../support/cli-files.js';
import { givenGradientsTask, givenName } from '../../support/given-gradients.js';
import { float32, readGoldenJson, readGoldenTensors } from '../../support/goldens.js';
import { randomBytes } from '../../support/random.js';
import { webgpuProblem } from '../../support/webgpu.js';
import { temporaryFolder } from '../support.js';

const settings = readGoldenJson<{
  steps: number;
  parameters: (Pick<ParameterSpec, 'name' | 'shape' | 'group'> & { lrScale: number })[];
  adamw: { beta1: number; beta2: number; epsilon: number; weightDecay: number; lr: number[] };
  lars: { momentum: number; trustCoefficient: number; weightDecay: number; lr: number[] };
  emaDecay: number;
  batchNorm: {
    microBatches: number;
    batch: number;
    width: number;
    epsilon: number;
    momentum: number;
    lr: number;
  };
}>('optimizers');
const golden = readGoldenTensors('optimizers');
const { steps, emaDecay, batchNorm } = settings;
const adamW = { kind: 'adamw', ...settings.adamw } as const;
const lars = { kind: 'lars', ...settings.lars } as const;

/** The numbers at an index, or indices, of the first axes of a golden. */
function at(name: string, ...indices: number[]): Float32Array {
  const { shape } = golden(name);
  const numbers = float32(golden(name));
  const size = shape.slice(indices.length).reduce((a, b) => a * b, 1);
  const start = indices.reduce((offset, index, axis) => offset * shape[axis]! + index, 0) * size;
  return numbers.slice(start, start + size);
}

/** Memory of a device with slices and of one without, here the CPU's own taken for a device's. */
const arena: Device = {
  ...cpuDevice,
  name: 'arena',
  memory: { name: 'Cpu', id: 0 },
  lacks: { bytes: false, int64: false, inPlace: true, float32Sums: false },
  optimizerElements: 5000,
};
const kernels = findKernels();
const places: readonly { name: string; device: Device; kernelsPath?: string; skipped?: boolean }[] = [
  { name: 'CPU', device: cpuDevice },
  {
    name: 'kernels',
    device: cpuDevice,
    ...('path' in kernels ? { kernelsPath: kernels.path } : { skipped: true }),
  },
  { name: 'arenas of a device', device: arena },
  { name: 'buffers of a device', device: { ...arena, name: 'buffers', hasArena: false } },
  { name: 'WebGPU', device: webgpuDevice(), skipped: webgpuProblem !== undefined },
];

interface Trained {
  readonly trainer: Trainer;
  readonly state: ModelState;
  readonly runtime: Runtime;
  readonly folder: string;
}

/** A trainer of a task's fresh weights, changed by `begin`; gone when `use` ends. */
async function withTrainer<T>(
  { device, kernelsPath }: (typeof places)[number],
  task: Task,
  options: Pick<ArtifactOptions, 'batchSize'> & Partial<ArtifactOptions>,
  begin: (state: ModelState) => void,
  use: (trained: Trained) => Promise<T>,
): Promise<T> {
  const folder = temporaryFolder();
  const kernelPrecision = kernelsPath === undefined ? undefined : 'fp32';
  writeArtifacts(
    buildArtifacts(task, { accumulate: false, kernelPrecision, lacks: device.lacks, ...options }),
    folder,
  );
  const state = new ModelState(readManifest(folder));
  state.initialize(0);
  begin(state);
  const runtime = new Runtime({ threads: 1, device, kernelsPath });
  const trainer = new Trainer(runtime, folder, state);
  try {
    return await use({ trainer, state, runtime, folder });
  } finally {
    trainer.release();
    runtime.release();
  }
}

const task = givenGradientsTask(settings.parameters);
const trainedNames = settings.parameters.filter(isTrained).map(({ name }) => name);

function initial(state: ModelState): void {
  for (const parameter of state.manifest.parameters)
    sliceOf(state.parameters, parameter).set(at(`initial.${parameter.name}`));
  state.startEma();
}

function gradients(step: number): HostBatch {
  return Object.fromEntries(trainedNames.map((name) => [givenName(name), at(`grads.${name}`, step)]));
}

async function takeSteps(
  trainer: Trainer,
  { lr, weightDecay }: { lr: readonly number[]; weightDecay: number },
  from = 0,
  to = steps,
): Promise<void> {
  for (let step = from; step < to; step++) {
    const loss = await trainer.forwardBackward(gradients(step), 0, 1);
    await trainer.reduce(loss);
    await trainer.update(step + 1, { learningRate: lr[step]!, weightDecay });
  }
}

/** Every trained parameter of an arena against a golden at a step. */
function expectGolden(state: ModelState, values: Float32Array, prefix: string, step: number): void {
  for (const parameter of state.trained) {
    const name = `${prefix}.${parameter.name}`;
    expect(sliceOf(values, parameter), `${name}, step ${step}`).toBeAllclose(at(name, step), {
      rtol: 5e-6,
      atol: 5e-7,
    });
  }
}

/** Bit for bit. */
function same(a: Float32Array, b: Float32Array): boolean {
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

function expectFixed(state: ModelState): void {
  const fixed = state.manifest.parameters.find(({ name }) => name === 'pos_embed')!;
  expect(sliceOf(state.parameters, fixed)).toEqual(at('initial.pos_embed'));
}

describe.each(places)('$name', (place) => {
  const check = test.skipIf(place.skipped === true);

  check('AdamW with layer-wise learning rates is torch’s, and the moving average is timm’s', async () => {
    const options = { batchSize: 1, optimizer: adamW, emaDecay };
    await withTrainer(place, task, options, initial, async ({ trainer, state }) => {
      for (const [from, to] of [
        [0, 1],
        [1, 2],
        [2, steps],
      ] as const) {
        await takeSteps(trainer, adamW, from, to);
        trainer.download();
        expectGolden(state, state.parameters, 'adamw', to - 1);
        expectGolden(state, state.average('ema'), 'ema', to - 1);
      }
      expectFixed(state);
    });
  });

  check('LARS is that of the paper', async () => {
    await withTrainer(place, task, { batchSize: 1, optimizer: lars }, initial, async ({ trainer, state }) => {
      trainer.lossScale = 256;
      for (const [from, to] of [
        [0, 1],
        [1, 2],
        [2, steps],
      ] as const) {
        await takeSteps(trainer, lars, from, to);
        trainer.download();
        expectGolden(state, state.parameters, 'lars', to - 1);
        expectGolden(state, state.average('momentum_buffer'), 'momentum', to - 1);
      }
      expectFixed(state);
    });
  });

  check('LARS leaves a parameter where gradient and decay are zero', async () => {
    const zeros = Object.fromEntries(
      Object.entries(gradients(0)).map(([name, data]) => [name, new Float32Array(data.length)]),
    );
    await withTrainer(place, task, { batchSize: 1, optimizer: lars }, initial, async ({ trainer, state }) => {
      const before = state.parameters.slice();
      await trainer.reduce(await trainer.forwardBackward(zeros, 0, 1));
      await trainer.update(1, { learningRate: 1, weightDecay: 0 });
      trainer.download();
      expect(same(state.parameters, before)).toBe(true);
    });
  });

  check('running statistics of batch norm are torch’s, and evaluation reads them', async () => {
    const { microBatches, batch, width, lr } = batchNorm;
    const norm = batchNormTask(width);
    const options = { batchSize: batch, accumulate: true, optimizer: { ...adamW, beta2: 0.999 } };
    const begin = (state: ModelState) =>
      sliceOf(state.parameters, state.trained[0]!).set(at('batch_norm.initial'));
    await withTrainer(place, norm, options, begin, async ({ trainer, state, runtime, folder }) => {
      const { manifest } = state;
      expect(manifest.buffers).toEqual(['head_norm.running_mean', 'head_norm.running_var']);
      const named = (name: string) => manifest.parameters.find((parameter) => parameter.name === name)!;
      const names = { w: 'w', running_mean: 'head_norm.running_mean', running_var: 'head_norm.running_var' };
      for (let step = 0; step < steps; step++) {
        for (let micro = 0; micro < microBatches; micro++) {
          const inputs = { x: at('batch_norm.x', step, micro), dy: at('batch_norm.dy', step, micro) };
          const loss = await trainer.forwardBackward(inputs, micro, microBatches);
          expect([loss]).toBeAllclose(at('batch_norm.loss', step * microBatches + micro), {
            rtol: 1e-4,
            atol: 1e-4,
          });
        }
        await trainer.reduce(0);
        await trainer.update(step + 1, { learningRate: lr, weightDecay: 0 });
        trainer.download();
        for (const [name, parameter] of Object.entries(names)) {
          const got = sliceOf(state.parameters, named(parameter));
          expect(got, `${name}, step ${step}`).toBeAllclose(at(`batch_norm.${name}`, step), { rtol: 2e-5 });
        }
      }
      const evaluator = new Evaluator(runtime, readFileSync(join(folder, evalModelFile)), manifest, (name) =>
        trainer.parameter(named(name)),
      );
      await evaluator.run({ x: at('batch_norm.x', 0, 0), dy: at('batch_norm.dy', 0, 0) });
      expect(evaluator.outputs['y']!).toBeAllclose(at('batch_norm.evaluated'), { rtol: 1e-4, atol: 1e-5 });
      evaluator.release();
    });
  });

  check('a step that is not taken leaves no running statistics', async () => {
    const { batch, width } = batchNorm;
    const bad = new Float32Array(batch * width).fill(Number.NaN);
    const run = (skips: boolean) =>
      withTrainer(
        place,
        batchNormTask(width),
        { batchSize: batch },
        () => {},
        async ({ trainer, state }) => {
          for (const step of [0, 1]) {
            if (skips) {
              await trainer.forwardBackward({ x: bad, dy: bad }, 0, 1);
              expect((await trainer.reduce(0)).gradientNorm).toBeNaN();
              trainer.download();
              expect(state.isFinite).toBe(true);
            }
            const inputs = { x: at('batch_norm.x', step, 0), dy: at('batch_norm.dy', step, 0) };
            await trainer.reduce(await trainer.forwardBackward(inputs, 0, 1));
            await trainer.update(step + 1, { learningRate: 0.1, weightDecay: 0 });
          }
          trainer.download();
          return state.parameters.slice();
        },
      );
    const [skipping, whole] = [await run(true), await run(false)];
    expect(same(skipping, whole)).toBe(true);
  });
});

test('parameters of one learning rate lie together, and those of models without scales as they did', () => {
  const { manifest } = buildArtifacts(task, { batchSize: 1, accumulate: false });
  const order = manifest.parameters.toSorted((a, b) => a.offset - b.offset).map(({ name }) => name);
  expect(order).toEqual([
    ...['embed.weight', 'other.weight', 'block.weight', 'head.weight', 'zero.weight'],
    ...['embed.bias', 'block.bias', 'head.bias'],
    'pos_embed',
  ]);
  for (const { offset } of manifest.parameters) expect(offset % 16).toBe(0);
  const even = settings.parameters.map(({ lrScale: _, ...spec }) => spec);
  const plain = buildArtifacts(givenGradientsTask(even), { batchSize: 1, accumulate: false }).manifest;
  const ones = buildArtifacts(givenGradientsTask(even.map((spec) => ({ ...spec, lrScale: 1 }))), {
    batchSize: 1,
    accumulate: false,
  }).manifest;
  expect(ones.parameters.map(({ offset }) => offset)).toEqual(plain.parameters.map(({ offset }) => offset));
  expect(JSON.stringify(plain)).not.toContain('lrScale');
});

test('a manifest names what is not pretraining’s, and AdamW by its constants alone', () => {
  const of = (options: Partial<ArtifactOptions>) =>
    buildArtifacts(task, { batchSize: 1, accumulate: false, ...options });
  const plain = of({});
  expect(plain.manifest.optimizer).toEqual({ beta1: 0.9, beta2: 0.95, epsilon: 1e-8 });
  expect(plain.manifest).not.toHaveProperty('emaDecay');
  expect(plain.manifest).not.toHaveProperty('buffers');
  expect([...plain.files.keys()]).toHaveLength(5);
  const named = of({ optimizer: { kind: 'adamw', beta1: 0.9, beta2: 0.95, epsilon: 1e-8 } });
  expect(named.files.get('manifest.json')).toEqual(plain.files.get('manifest.json'));
  const other = of({ optimizer: larsDefaults, emaDecay: 0.5 });
  expect(other.manifest).toMatchObject({
    optimizer: { kind: 'lars', momentum: 0.9, trustCoefficient: 0.001 },
    emaDecay: 0.5,
    files: { 'ema_model.onnx': {} },
  });
});

test.each([
  ['another shape', ['head_norm.running_mean', 'w']],
  ['a trained parameter', ['w', 'w']],
  ['an unknown name', ['nothing', 'head_norm.running_mean']],
  ['one told twice', ['head_norm.running_mean', 'head_norm.running_mean']],
] as const)('a buffer is refused: %s', (_, [name, like]) => {
  const norm = batchNormTask(3);
  const wrong: Task = {
    ...norm,
    loss(p, batch, onBlock, onBuffer) {
      onBuffer?.(name, add(p(like), p(like)));
      return norm.loss(p, batch, onBlock, onBuffer);
    },
  };
  expect(() => buildArtifacts(wrong, { batchSize: 2, accumulate: false })).toThrow(
    `expected task batch-norm to tell each fixed parameter's next value once, in its shape; got float32`,
  );
});

const [cpu] = places;

test('evaluation reads parameters, or their moving average', async () => {
  const options = { batchSize: 1, optimizer: adamW, emaDecay };
  await withTrainer(cpu!, task, options, initial, async ({ trainer, state, runtime, folder }) => {
    await takeSteps(trainer, adamW);
    const named = (name: string) => state.manifest.parameters.find((parameter) => parameter.name === name)!;
    const [first] = trainedNames as [string];
    for (const [golden, tensorOf] of [
      ['adamw', (name: string) => trainer.parameter(named(name))],
      ['ema', (name: string) => trainer.emaParameter(named(name))],
    ] as const) {
      const evaluator = new Evaluator(
        runtime,
        readFileSync(join(folder, evalModelFile)),
        state.manifest,
        tensorOf,
      );
      await evaluator.run();
      const half = evaluator.outputs['image_loss']!.map((value) => value / 2);
      expect(half).toBeAllclose(at(`${golden}.${first}`, steps - 1), { rtol: 5e-6, atol: 5e-7 });
      evaluator.release();
    }
  });
});

test.each<[string, Partial<ArtifactOptions>, number]>([
  ['gradient checkpointing', { gradCheckpointing: true }, 1e-5],
  ['accumulation', { accumulate: true }, 1e-6],
  ['float16', { graphPrecision: 'fp16' }, 1e-2],
  ...('path' in kernels
    ? ([
        ['kernels', { kernelPrecision: 'fp32' }, 1e-5],
        ['kernels in bfloat16', { kernelPrecision: 'bf16' }, 3e-2],
      ] as [string, Partial<ArtifactOptions>, number][])
    : []),
])('running statistics are the same with %s', async (_, options, tolerance) => {
  const classifier = classifierTask(tinyModel, 3, { batchNorm: true });
  const statistics = async (more: Partial<ArtifactOptions>) => {
    const place = { ...cpu!, ...('path' in kernels && { kernelsPath: kernels.path }) };
    const given = { batchSize: 4, kernelPrecision: undefined, ...more };
    return withTrainer(
      place,
      classifier,
      given,
      () => {},
      async ({ trainer, state }) => {
        const images = randomBytes(1, 4 * tinyModel.inputSize ** 2 * 3);
        const targets = Float32Array.from({ length: 12 }, (__, i) => Number(i % 3 === 0));
        await trainer.reduce(await trainer.forwardBackward({ images, targets }, 0, 1));
        await trainer.update(1, { learningRate: 0, weightDecay: 0 });
        const buffers = state.manifest.parameters.filter(({ name }) => name.startsWith('head_norm'));
        return buffers.flatMap((buffer) => [...sliceOf(state.parameters, buffer)]);
      },
    );
  };
  const plain = await statistics({});
  expect(plain.length).toBe(2 * tinyModel.embedDim);
  expect(plain.some((value) => Math.abs(value) > 0.01 && Math.abs(value - 0.9) > 0.01)).toBe(true);
  const scale = Math.max(...plain.map((value) => Math.abs(value % 0.9)));
  expect(await statistics(options)).toBeAllclose(plain, { rtol: 0, atol: tolerance * scale });
});

test.each([
  ['AdamW', adamW, ['ema', 'exp_avg', 'exp_avg_sq']],
  ['LARS', lars, ['ema', 'momentum_buffer']],
] as const)(
  '%s and its moving average go on from a checkpoint, byte for byte',
  async (_, optimizer, kinds) => {
    const options = { batchSize: 1, optimizer, emaDecay };
    const whole = await withTrainer(cpu!, task, options, initial, async ({ trainer, state }) => {
      await takeSteps(trainer, optimizer, 0, 8);
      return state;
    });
    const saved = await withTrainer(cpu!, task, options, initial, async ({ trainer, state }) => {
      await takeSteps(trainer, optimizer, 0, 5);
      return saveCheckpoint(temporaryFolder(), state, { ...startOfRun, step: 5 }, 1);
    });
    const names = [...readTensorFile(join(saved, 'optimizer.safetensors')).tensors.keys()];
    expect(names.sort()).toEqual(
      kinds.flatMap((kind) => trainedNames.map((name) => `${kind}.${name}`)).sort(),
    );
    const restored = new ModelState(whole.manifest);
    await loadCheckpoint(saved, restored);
    const copy = (state: ModelState) => {
      state.parameters.set(restored.parameters);
      for (const [name, values] of state.averages) values.set(restored.average(name));
    };
    const resumed = await withTrainer(cpu!, task, options, copy, async ({ trainer, state }) => {
      await takeSteps(trainer, optimizer, 5, 8);
      return state;
    });
    expect(same(resumed.parameters, whole.parameters)).toBe(true);
    for (const [name, values] of whole.averages) expect(same(resumed.average(name), values), name).toBe(true);
  },
);
