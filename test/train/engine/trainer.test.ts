import { afterAll, beforeAll, expect, test } from 'vitest';
import { Runtime } from '../../../src/runtime/runtime.js';
import { loadCheckpoint, saveCheckpoint } from '../../../src/train/checkpointing.js';
import { ModelState, sliceOf } from '../../../src/train/engine/model-state.js';
import { Trainer } from '../../../src/train/engine/trainer.js';
import type { Position } from '../../../src/train/position.js';
import '../../support/allclose.js';
import { readTensorFile } from '../../support/cli-files.js';
import { randomBatch, splitBatch, temporaryFolder, tinyArtifacts } from '../support.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

const batchSize = 8;
const settings = { learningRate: 1e-3, weightDecay: 0.05 };

/** Steps of a fresh model, each on a batch of its own cut into micro-batches; its state and the losses. */
async function train(
  steps: number,
  microBatches: number,
  more: { clipGrad?: number; lossScale?: number } = {},
): Promise<{ state: ModelState; losses: number[]; norms: number[] }> {
  const { folder, manifest } = tinyArtifacts(batchSize / microBatches, { accumulate: microBatches > 1 });
  const state = new ModelState(manifest);
  state.initialize(3);
  const trainer = new Trainer(runtime, folder, state);
  trainer.lossScale = more.lossScale ?? 1;
  const losses: number[] = [];
  const norms: number[] = [];
  try {
    for (let step = 1; step <= steps; step++) {
      const parts = splitBatch(randomBatch(step, batchSize, manifest), microBatches);
      let loss = 0;
      for (const [i, micro] of parts.entries()) {
        loss += (await trainer.forwardBackward(micro, i, microBatches)) / microBatches;
      }
      norms.push((await trainer.reduce(loss)).gradientNorm);
      await trainer.update(step, { ...settings, clipGrad: more.clipGrad });
      losses.push(loss);
    }
  } finally {
    trainer.release();
  }
  return { state, losses, norms };
}

test('four micro-batches in a step give what one batch of all their images gives', async () => {
  const whole = await train(10, 1);
  const parts = await train(10, 4);
  expect(parts.losses).toBeAllclose(whole.losses, { rtol: 1e-5 });
  expect(parts.norms).toBeAllclose(whole.norms, { rtol: 1e-4 });
  expect(new Set(whole.losses).size).toBe(10);

  const fresh = new ModelState(whole.state.manifest);
  fresh.initialize(3);
  for (const parameter of whole.state.manifest.parameters) {
    const { name, group, shape } = parameter;
    const [got, wanted, start] = [parts.state, whole.state, fresh].map(({ parameters }) =>
      sliceOf(parameters, parameter),
    );
    if (group === 'fixed') {
      expect(got, name).toEqual(start);
      continue;
    }
    // Softmax does not see the keys' biases: their gradient is zero but for rounding, of which AdamW makes steps.
    const [from, to] = name.endsWith('qkv.bias') ? [shape[0]! / 3, (2 * shape[0]!) / 3] : [0, 0];
    const seen = (values: Float32Array) => values.filter((_, i) => i < from || i >= to);
    expect(seen(got!), name).toBeAllclose(seen(wanted!), { rtol: 0, atol: 1e-5 });
    const moved = seen(wanted!).some((value, i) => Math.abs(value - seen(start!)[i]!) > 1e-3);
    expect(moved, `${name} moved by more than a step`).toBe(true);
  }
});

/** Bit for bit. */
function same(a: Float32Array, b: Float32Array): boolean {
  return (
    Buffer.compare(
      Buffer.from(a.buffer, a.byteOffset, a.byteLength),
      Buffer.from(b.buffer, b.byteOffset, b.byteLength),
    ) === 0
  );
}

/** After the first step the running mean is a tenth of the gradient: β₁ = 0.9. */
function gradientOf(state: ModelState): Float64Array {
  return Float64Array.from(state.average('exp_avg'), (value) => 10 * value);
}

function norm(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

test('clipping shortens a longer gradient to the limit and leaves a shorter one', async () => {
  const free = await train(1, 1);
  const gradient = gradientOf(free.state);
  const length = norm(gradient);
  expect(free.norms[0]).toBeGreaterThan(0.1);
  expect([free.norms[0]!]).toBeAllclose([length], { rtol: 1e-5 });

  const clipped = await train(1, 1, { clipGrad: length / 4 });
  expect([clipped.norms[0]!], 'the norm is that before the clipping').toBeAllclose([length], { rtol: 1e-5 });
  const quarter = gradient.map((value) => value / 4);
  expect(gradientOf(clipped.state)).toBeAllclose(quarter, { rtol: 1e-5, atol: 1e-8 });

  const loose = await train(1, 1, { clipGrad: length * 2 });
  expect(same(loose.state.parameters, free.state.parameters)).toBe(true);
});

test('the norm that clips is that of all micro-batches together', async () => {
  const whole = await train(1, 1, { clipGrad: 0.05 });
  const parts = await train(1, 4, { clipGrad: 0.05 });
  expect([norm(gradientOf(parts.state))]).toBeAllclose([0.05], { rtol: 1e-4 });
  expect(parts.state.average('exp_avg')).toBeAllclose(whole.state.average('exp_avg'), {
    rtol: 1e-3,
    atol: 1e-7,
  });
});

test.each([1, 4])('a scaled loss changes no bit, %s micro-batches', async (microBatches) => {
  const [plain, scaled] = [
    await train(3, microBatches, { clipGrad: 0.5 }),
    await train(3, microBatches, { clipGrad: 0.5, lossScale: 2 ** 16 }),
  ];
  expect(scaled.norms).toEqual(plain.norms);
  expect(scaled.losses).toEqual(plain.losses);
  expect(same(scaled.state.parameters, plain.state.parameters)).toBe(true);
  for (const name of ['exp_avg', 'exp_avg_sq'] as const) {
    expect(same(scaled.state.average(name), plain.state.average(name)), name).toBe(true);
  }
});

test('training twice gives the same bytes', async () => {
  const [first, second] = [await train(3, 2), await train(3, 2)];
  expect(same(second.state.parameters, first.state.parameters)).toBe(true);
  expect(same(second.state.average('exp_avg_sq'), first.state.average('exp_avg_sq'))).toBe(true);
});

test('a checkpoint brings parameters, moments and position back', async () => {
  const { state } = await train(2, 1);
  const run = temporaryFolder();
  const position: Position = {
    step: 2,
    epoch: 1,
    stepInEpoch: 1,
    epochLossSum: 0.1 + 0.2,
    skippedImages: 3,
    skippedSteps: 2,
    skippedInEpoch: 1,
    lossScale: { scale: 1024, goodSteps: 7 },
  };
  const folder = await saveCheckpoint(run, state, position, 1);

  const names = state.manifest.parameters.map(({ name }) => name).sort();
  const model = readTensorFile(`${folder}/model.safetensors`);
  expect([...model.tensors.keys()].sort()).toEqual(names);
  expect(model.metadata).toMatchObject({ step: '2', mask_ratio: '0.75', norm_pix_loss: 'true' });
  const trained = names.filter((name) => !name.endsWith('pos_embed'));
  const optimizer = readTensorFile(`${folder}/optimizer.safetensors`);
  expect([...optimizer.tensors.keys()].sort()).toEqual(
    trained.flatMap((name) => [`exp_avg.${name}`, `exp_avg_sq.${name}`]).sort(),
  );

  const restored = new ModelState(state.manifest);
  expect(await loadCheckpoint(folder, restored)).toEqual(position);
  expect(same(restored.parameters, state.parameters)).toBe(true);
  expect(same(restored.average('exp_avg'), state.average('exp_avg'))).toBe(true);
  expect(same(restored.average('exp_avg_sq'), state.average('exp_avg_sq'))).toBe(true);
});
