import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Artifacts } from '../../src/artifact/build.js';
import { divideBatch, divisorsDescending, largestBatch } from '../../src/jobs/auto-batch.js';
import { checkMemory, estimateMemory, explainOutOfMemory } from '../../src/jobs/memory-estimate.js';
import { cudaDevice } from '../../src/runtime/cuda/device.js';
import { cpuDevice } from '../../src/runtime/device.js';
import { outOfMemory } from '../../src/runtime/out-of-memory.js';
import { webgpuDevice } from '../../src/runtime/webgpu/device.js';
import { type PretrainOptions, pretrainDefaults } from '../../src/train/options.js';
import { UserError } from '../../src/util/errors.js';
import { maeError, maeOk } from '../support/cli.js';
import { readLog } from '../support/cli-files.js';
import { buildArtifacts } from '../support/mae-graphs.js';
import { smallModel } from '../support/small-model.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, args } = await trainingFiles(16);

const built = new Map<number, Artifacts>();
function build(batchSize: number): Artifacts {
  const artifacts =
    built.get(batchSize) ?? buildArtifacts(smallModel, { ...pretrainDefaults, batchSize, accumulate: false });
  built.set(batchSize, artifacts);
  return artifacts;
}
const estimate = (manifest: Artifacts['manifest']) => estimateMemory(manifest, cpuDevice);
const bytesOf = (batchSize: number) => estimate(build(batchSize).manifest).totalBytes;

const options: PretrainOptions = {
  ...pretrainDefaults,
  dataPath: folder,
  outputDir: join(folder, 'run'),
  autoBatch: true,
};

describe('the largest batch', () => {
  test('divides the effective one', () => {
    expect(divisorsDescending(36)).toEqual([36, 18, 12, 9, 6, 4, 3, 2, 1]);
    expect(divisorsDescending(7)).toEqual([7, 1]);
  });

  test('fits by the estimate', async () => {
    const search = (usable: number) => largestBatch(24, { build, estimate, usable });
    expect(await search(bytesOf(24))).toBe(24);
    expect(await search(bytesOf(24) - 1)).toBe(12);
    expect(await search(bytesOf(7))).toBe(6);
    expect(await search(bytesOf(1))).toBe(1);
    expect(await search(bytesOf(1) - 1)).toBeUndefined();
  });

  test('is halved where a step finds too little, and no other error is taken for that', async () => {
    const tried: number[] = [];
    const trial = async ({ manifest }: Artifacts) => {
      tried.push(manifest.batchSize);
      if (manifest.batchSize > 5)
        throw new Error('Failed to allocate memory for requested buffer of size 1048576');
    };
    expect(await largestBatch(24, { build, estimate, usable: bytesOf(24), trial })).toBe(3);
    expect(tried).toEqual([24, 12, 6, 3]);
    const broken = async () => {
      throw new Error('CUDA failure 700');
    };
    await expect(largestBatch(24, { build, estimate, usable: bytesOf(24), trial: broken })).rejects.toThrow(
      '700',
    );
  });

  test('keeps the effective batch', async () => {
    const given = { ...options, batchSize: 6, accumIter: 4 };
    const divided = await divideBatch(given, ({ batchSize }) => build(batchSize), { device: cpuDevice });
    expect(divided).toEqual({ ...options, batchSize: 24, accumIter: 1 });
    const asked = { ...options, autoBatch: false };
    expect(await divideBatch(asked, ({ batchSize }) => build(batchSize), { device: cpuDevice })).toBe(asked);
  });

  test('wants a device that tells its memory', async () => {
    await expect(
      divideBatch(options, ({ batchSize }) => build(batchSize), { device: webgpuDevice() }),
    ).rejects.toThrow(/^--auto-batch: expected a device that tells .* got --device webgpu/);
  });
});

describe('memory that runs out', () => {
  const bytes = { totalBytes: 4 * 2 ** 30, freeBytes: 3 * 2 ** 30, usableBytes: 3 * 2 ** 30 };
  const card = { ...cudaDevice(0), readMemory: () => ({ owner: 'cuda:0, Fake GPU', ...bytes }) };
  const { manifest } = build(24);
  const large = { ...manifest, activationBytes: 6 * 2 ** 30 };
  const run = { batchSize: 24, gradCheckpointing: false };

  test.each([
    // ONNX Runtime 1.30 on the CPU and through CUDA, with and without gpu_mem_limit
    [
      'bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 1048576\n',
      1048576,
    ],
    ['bfc_arena.cc:360 Available memory of 438016 is smaller than requested bytes of 589824', 589824],
    ['CUDA failure 2: out of memory ; GPU=0 ; hostname=host ; expr=cudaMalloc((void**)&p, size);', undefined],
    ['CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0', undefined],
    // Dawn, under WebGPU
    ['Buffer size (4294967296) exceeds the max buffer size limit (2147483648).', 4294967296],
    ['std::bad_alloc', undefined],
    ['Array buffer allocation failed', undefined],
  ])('%s', (message, requestedBytes) => {
    expect(outOfMemory(new Error(message))).toEqual(requestedBytes === undefined ? {} : { requestedBytes });
  });

  test('names the batch, the estimate and what would fit', () => {
    const error = new Error('Failed to allocate memory for requested buffer of size 2147483648');
    const explained = explainOutOfMemory(error, large, run, card);
    expect(explained).toBeInstanceOf(UserError);
    expect((explained as UserError).message).toMatchInlineSnapshot(
      `"memory: there was not enough for batch size 24: the estimate is 9.91 GiB of the 3.00 GiB of cuda:0, Fake GPU, at last for 2.00 GiB at once; --batch-size 2 would fit (--accum-iter keeps the effective batch, --auto-batch sets both), or try --grad-checkpointing"`,
    );
    const other = new Error('something else');
    expect(explainOutOfMemory(other, large, run, card)).toBe(other);
  });

  test('is seen before the run starts', () => {
    expect(() => checkMemory(large, run, card)).toThrowErrorMatchingInlineSnapshot(
      `[UserError: memory: expected at most 3.00 GiB, the memory of cuda:0, Fake GPU, but batch size 24 needs about 9.91 GiB; --batch-size 4 would fit (--accum-iter keeps the effective batch, --auto-batch sets both), or try --grad-checkpointing]`,
    );
    checkMemory(manifest, run, card);
    expect(() => checkMemory(large, run, webgpuDevice())).not.toThrow();
  });
});

describe('mae pretrain --auto-batch', () => {
  const run = join(folder, 'trained');
  const recorded = () => {
    const config = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
    return [config.options['batch-size'], config.options['accum-iter'], config.options['auto-batch']];
  };

  test('a run that goes on keeps its division, and another effective batch is another run', async () => {
    await maeOk(args(run, { 'batch-size': 2, 'accum-iter': 4, 'max-steps': 1 }));
    await maeOk(args(run, { 'batch-size': 8, 'auto-batch': true, 'max-steps': 2 }));
    expect(recorded()).toEqual([2, 4, true]);
    expect(readLog(run, 'train').map(({ step }) => step)).toEqual([1, 2]);
    const message = await maeError(args(run, { 'batch-size': 16, 'auto-batch': true, 'max-steps': 3 }));
    expect(message).toMatch(/holds a different run \(.*batch-size 2 there, 16 here/);

    const { stdout } = await maeOk(args(join(folder, 'none'), { 'auto-batch': true, 'dry-run': true }));
    expect(stdout).toMatch(/^batch +8 = 8 × 1 /m);
    expect(stdout).toMatch(/^available +[\d.]+ GiB of [\d.]+ GiB free, this machine$/m);
  });
});
