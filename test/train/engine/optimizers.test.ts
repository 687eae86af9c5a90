/**
 * The trainer against `test/goldens/optimizers`: torch's AdamW with layer-wise learning rates, timm's moving average and
 * LARS, twenty steps each, on every kind of device.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ArtifactOptions, buildArtifacts } from '../../../src/artifact/build.js';
import { evalModelFile } from '../../../src/artifact/manifest.js';
import { larsDefaults } from '../../../src/model/optim/lars.js';
import { isTrained, type ParameterSpec } from '../../../src/model/parameters.js';
import { loadCheckpoint, saveCheckpoint } from '../../../src/train/checkpointing.js';
import type { HostBatch } from '../../../src/train/engine/batch-tensors.js';
import { Evaluator } from '../../../src/train/engine/evaluator.js';
import { ModelState, sliceOf } from '../../../src/train/engine/model-state.js';
import type { Trainer } from '../../../src/train/engine/trainer.js';
import { startOfRun } from '../../../src/train/position.js';
import '../../support/allclose.js';
import { readTensorFile } from '../../support/cli-files.js';
import { givenGradientsTask, givenName } from '../../support/given-gradients.js';
import { readGoldenJson } from '../../support/goldens.js';
import { temporaryFolder } from '../support.js';
import { at, cpu, places, same, withTrainer } from './places.js';

const settings = readGoldenJson<{
  steps: number;
  parameters: (Pick<ParameterSpec, 'name' | 'shape' | 'group'> & { lrScale: number })[];
  adamw: { beta1: number; beta2: number; epsilon: number; weightDecay: number; lr: number[] };
  lars: { momentum: number; trustCoefficient: number; weightDecay: number; lr: number[] };
  emaDecay: number;
}>('optimizers');
const { steps, emaDecay } = settings;
const { weightDecay: adamWDecay, lr: adamWLr, ...adamWConstants } = settings.adamw;
const { weightDecay: larsDecay, lr: larsLr, ...larsConstants } = settings.lars;
const adamW = { kind: 'adamw', ...adamWConstants } as const;
const lars = { kind: 'lars', ...larsConstants } as const;
/** Learning rates and weight decay. */
const recipes = {
  adamw: { lr: adamWLr, weightDecay: adamWDecay },
  lars: { lr: larsLr, weightDecay: larsDecay },
};

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
        await takeSteps(trainer, recipes.adamw, from, to);
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
        await takeSteps(trainer, recipes.lars, from, to);
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

test('evaluation reads parameters, or their moving average', async () => {
  const options = { batchSize: 1, optimizer: adamW, emaDecay };
  await withTrainer(cpu, task, options, initial, async ({ trainer, state, runtime, folder }) => {
    await takeSteps(trainer, recipes.adamw);
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

test.each([
  ['AdamW', adamW, ['ema', 'exp_avg', 'exp_avg_sq']],
  ['LARS', lars, ['ema', 'momentum_buffer']],
] as const)(
  '%s and its moving average go on from a checkpoint, byte for byte',
  async (_, optimizer, kinds) => {
    const options = { batchSize: 1, optimizer, emaDecay };
    const whole = await withTrainer(cpu, task, options, initial, async ({ trainer, state }) => {
      await takeSteps(trainer, recipes[optimizer.kind], 0, 8);
      return state;
    });
    const saved = await withTrainer(cpu, task, options, initial, async ({ trainer, state }) => {
      await takeSteps(trainer, recipes[optimizer.kind], 0, 5);
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
    const resumed = await withTrainer(cpu, task, options, copy, async ({ trainer, state }) => {
      await takeSteps(trainer, recipes[optimizer.kind], 5, 8);
      return state;
    });
    expect(same(resumed.parameters, whole.parameters)).toBe(true);
    for (const [name, values] of whole.averages) expect(same(resumed.average(name), values), name).toBe(true);
  },
);
