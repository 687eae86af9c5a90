/** The trainer on the kernels: the numbers of ONNX Runtime's own operators, whatever the number of threads. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KernelPrecision } from '../../../src/compiler/lowering/precision.js';
import { cpuDevice } from '../../../src/runtime/device.js';
import { findKernels } from '../../../src/runtime/kernels.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { chooseCompute } from '../../../src/train/engine/compute.js';
import { ModelState } from '../../../src/train/engine/model-state.js';
import { Trainer } from '../../../src/train/engine/trainer.js';
import '../../support/allclose.js';
import { relativeError } from '../../support/allclose.js';
import { randomBatch, splitBatch, tinyArtifacts } from '../support.js';

const kernels = findKernels();
const skipped = 'reason' in kernels;
if (skipped) console.warn(`training on the kernels is not tested: ${kernels.reason}`);
const kernelsPath = 'path' in kernels ? kernels.path : undefined;

const batchSize = 4;
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  Buffer.from(buffer, byteOffset, byteLength);

describe.skipIf(skipped)('training on the kernels', () => {
  const runtimes: Runtime[] = [];
  beforeAll(() => {
    for (const threads of [1, 2]) runtimes.push(new Runtime({ threads, kernelsPath }));
  });
  afterAll(() => {
    for (const runtime of runtimes) runtime.release();
  });

  async function train(kernelPrecision: KernelPrecision | undefined, threads: number, microBatches: number) {
    const accumulate = microBatches > 1;
    const { folder, manifest } = tinyArtifacts(batchSize / microBatches, { accumulate, kernelPrecision });
    const state = new ModelState(manifest);
    state.initialize(3);
    const trainer = new Trainer(runtimes[threads - 1]!, folder, state);
    const losses: number[] = [];
    try {
      for (let step = 1; step <= 20; step++) {
        const parts = splitBatch(randomBatch(step, batchSize, manifest), microBatches);
        let loss = 0;
        for (const [i, micro] of parts.entries()) {
          loss += (await trainer.forwardBackward(micro, i, microBatches)) / microBatches;
        }
        losses.push(loss);
        await trainer.reduce(loss);
        await trainer.update(step, { learningRate: 1e-3, weightDecay: 0.05, clipGrad: 1 });
      }
    } finally {
      trainer.release();
    }
    return { losses, parameters: state.parameters, moments: state.average('exp_avg_sq') };
  }

  test.each([1, 2])('float32 is what standard operators give, %s micro-batches', async (microBatches) => {
    const plain = await train(undefined, 1, microBatches);
    const fused = await train('fp32', 1, microBatches);
    expect(fused.losses).toBeAllclose(plain.losses, { rtol: 1e-5 });
    expect(relativeError(fused.parameters, plain.parameters)).toBeLessThan(1e-4);
    expect(new Set(fused.losses).size).toBe(20);
  });

  test('bfloat16 is near, and not the same', async () => {
    const plain = await train(undefined, 1, 1);
    const rounded = await train('bf16', 1, 1);
    expect(rounded.losses).toBeAllclose(plain.losses, { rtol: 5e-3 });
    expect(rounded.losses).not.toEqual(plain.losses);
  });

  test.each(['fp32', 'bf16'] as const)('%s: one thread and two give the same bytes', async (precision) => {
    const [one, two] = [await train(precision, 1, 2), await train(precision, 2, 2)];
    expect(two.losses).toEqual(one.losses);
    for (const arena of ['parameters', 'moments'] as const) {
      expect(bytesOf(two[arena]).equals(bytesOf(one[arena])), arena).toBe(true);
    }
  });
});

test('kernels that are not wanted or not there leave float32, and bf16 says what it needs', () => {
  expect(chooseCompute({ precision: 'auto', kernels: false }, cpuDevice)).toMatchObject({
    description: expect.stringContaining('--no-kernels'),
  });
  expect(() => chooseCompute({ precision: 'bf16', kernels: false }, cpuDevice)).toThrow(
    '--precision bf16: expected the kernels',
  );
  expect(findKernels('0')).toEqual({ reason: 'MAE_KERNELS=0' });
  expect(findKernels('/nowhere/kernels.so')).toMatchObject({ reason: expect.stringContaining('/nowhere') });
  expect(findKernels(new URL('../../../package.json', import.meta.url).pathname)).toMatchObject({
    reason: expect.stringContaining('does not load'),
  });
});
