/** Batch norm's running statistics: those of torch.nn.BatchNorm1d (`test/goldens/optimizers`), on every kind of device. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ArtifactOptions, buildArtifacts } from '../../../src/artifact/build.js';
import { evalModelFile } from '../../../src/artifact/manifest.js';
import { add } from '../../../src/compiler/graph/ops/elementwise.js';
import type { Task } from '../../../src/model/task.js';
import { Evaluator } from '../../../src/train/engine/evaluator.js';
import { type ModelState, sliceOf } from '../../../src/train/engine/model-state.js';
import '../../support/allclose.js';
import { batchNormTask } from '../../support/batch-norm.js';
import { classifierTask } from '../../support/classifier.js';
import { tinyModel } from '../../support/cli-files.js';
import { readGoldenJson } from '../../support/goldens.js';
import { randomBytes } from '../../support/random.js';
import { at, cpu, kernelsPath, places, same, withTrainer } from './places.js';

const { batchNorm } = readGoldenJson<{
  batchNorm: { steps: number; microBatches: number; batch: number; width: number; lr: number };
}>('optimizers');

describe.each(places)('$name', (place) => {
  const check = test.skipIf(place.skipped === true);

  check('running statistics of batch norm are torch’s, and evaluation reads them', async () => {
    const { steps, microBatches, batch, width, lr } = batchNorm;
    const norm = batchNormTask(width);
    const options = {
      batchSize: batch,
      accumulate: true,
      optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
    };
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

test.each<[string, Partial<ArtifactOptions>, number]>([
  ['gradient checkpointing', { gradCheckpointing: true }, 1e-5],
  ['accumulation', { accumulate: true }, 1e-6],
  ['float16', { graphPrecision: 'fp16' }, 1e-2],
  ...(kernelsPath !== undefined
    ? ([
        ['kernels', { kernelPrecision: 'fp32' }, 1e-5],
        ['kernels in bfloat16', { kernelPrecision: 'bf16' }, 3e-2],
      ] as [string, Partial<ArtifactOptions>, number][])
    : []),
])('running statistics are the same with %s', async (_, options, tolerance) => {
  const classifier = classifierTask(tinyModel, 3, { batchNorm: true });
  const statistics = async (more: Partial<ArtifactOptions>) => {
    const place = { ...cpu, kernelsPath };
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
