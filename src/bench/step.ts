/** How long a training step takes, with the batch at hand and with the loader of pretraining at work. */
import { join } from 'node:path';
import { imageFlops } from '../artifact/flops.js';
import type { Manifest } from '../artifact/manifest.js';
import { readManifest } from '../artifact/read-manifest.js';
import { writeArtifacts } from '../artifact/write.js';
import { TrainLoader } from '../data/loader.js';
import type { ImageSource } from '../data/sources/source.js';
import type { Prepared, PrepareOptions } from '../jobs/prepare.js';
import { Runtime } from '../runtime/runtime.js';
import type { HostBatch } from '../train/engine/batch-tensors.js';
import { ModelState } from '../train/engine/model-state.js';
import { Trainer } from '../train/engine/trainer.js';
import { gemmPeak } from './gemm-peak.js';
import { noiseBatch } from './noise-batch.js';
import { type OperatorTime, readProfile } from './profile.js';
import { median } from './statistics.js';

export interface StepBenchmarkOptions {
  readonly prepared: Prepared<PrepareOptions>;
  /** Steps that count; two more come before them. */
  readonly steps: number;
  /** For the steps with data. */
  readonly images: ImageSource;
  readonly numWorkers: number;
  /** A folder to write to, the caller's to remove. */
  readonly scratch: string;
  /** Whether to run a few steps more under the runtime's profiler. */
  readonly profile: boolean;
}

/** Seconds of the steps that counted, one number a step. */
export interface StepTimes {
  readonly step: readonly number[];
  readonly forwardBackward: readonly number[];
  readonly optimizer: readonly number[];
  /** Waiting for the loader. */
  readonly data: readonly number[];
}

export interface StepBenchmark {
  readonly manifest: Manifest;
  readonly onnxRuntime: string;
  readonly withoutData: StepTimes;
  readonly withData: StepTimes;
  /** Peak of the process up to the end of the steps without data. */
  readonly peakRssBytes: number;
  /** Operations in the matrix products of a step, recomputation not counted. */
  readonly matmulFlops: number;
  /** Those in a second, over the median step without data, and those of one large Gemm in the same precision; in 10⁹. */
  readonly gflops: number;
  readonly gemmPeakGflops: number;
  readonly trainingOperators?: readonly OperatorTime[];
  readonly optimizerOperators?: readonly OperatorTime[];
}

const warmUpSteps = 2;
const profiledSteps = 2;

export async function benchmarkStep(options: StepBenchmarkOptions): Promise<StepBenchmark> {
  const { prepared, steps, scratch } = options;
  const { artifacts, runtimeOptions, compute } = prepared;
  const { accumIter } = prepared.options;
  writeArtifacts(artifacts, scratch);
  const manifest = readManifest(scratch);
  const state = new ModelState(manifest);
  state.initialize(0);
  const runtime = new Runtime(runtimeOptions);
  try {
    const trainer = new Trainer(runtime, scratch, state);
    let withoutData: StepTimes;
    let withData: StepTimes;
    let peakRssBytes: number;
    try {
      const batch = { inputs: noiseBatch(manifest) };
      withoutData = await timeSteps(trainer, accumIter, steps, async () => batch);
      peakRssBytes = process.resourceUsage().maxRSS * 1024;
      withData = await timeStepsWithData(trainer, manifest, options);
    } finally {
      trainer.release();
    }
    const flops = accumIter * artifacts.manifest.batchSize * imageFlops(prepared.task);
    return {
      manifest,
      onnxRuntime: runtime.api.version,
      withoutData,
      withData,
      peakRssBytes,
      matmulFlops: flops,
      gflops: flops / median(withoutData.step) / 1e9,
      gemmPeakGflops: await gemmPeak(runtime, compute),
      ...(options.profile ? await profileSteps(state, options) : {}),
    };
  } finally {
    runtime.release();
  }
}

interface BenchmarkBatch {
  readonly inputs: HostBatch;
  release?(): void;
}

async function timeSteps(
  trainer: Trainer,
  accumIter: number,
  steps: number,
  nextBatch: () => Promise<BenchmarkBatch>,
): Promise<StepTimes> {
  const times = { step: [], forwardBackward: [], optimizer: [], data: [] } as Record<
    keyof StepTimes,
    number[]
  >;
  for (let step = 1; step <= warmUpSteps + steps; step++) {
    const start = performance.now();
    let waited = 0;
    for (let i = 0; i < accumIter; i++) {
      const before = performance.now();
      const batch = await nextBatch();
      waited += performance.now() - before;
      await trainer.forwardBackward(batch.inputs, i, accumIter);
      batch.release?.();
    }
    await trainer.reduce(0);
    const between = performance.now();
    await trainer.update(step, { learningRate: 1e-4, weightDecay: 0.05 });
    const end = performance.now();
    if (step <= warmUpSteps) continue;
    times.step.push((end - start) / 1000);
    times.forwardBackward.push((between - start - waited) / 1000);
    times.optimizer.push((end - between) / 1000);
    times.data.push(waited / 1000);
  }
  return times;
}

async function timeStepsWithData(
  trainer: Trainer,
  manifest: Manifest,
  { prepared, steps, images, numWorkers }: StepBenchmarkOptions,
): Promise<StepTimes> {
  const loader = new TrainLoader({
    source: images,
    inputs: manifest.inputs,
    seed: 0,
    numWorkers,
    startEpoch: 0,
    startBatch: 0,
  });
  try {
    return await timeSteps(trainer, prepared.options.accumIter, steps, () => loader.next());
  } finally {
    await loader.close();
  }
}

/** A few steps in sessions of their own, for the profiler slows down every operator a little. */
async function profileSteps(
  state: ModelState,
  { prepared, scratch }: StepBenchmarkOptions,
): Promise<Pick<StepBenchmark, 'trainingOperators' | 'optimizerOperators'>> {
  const prefix = join(scratch, 'profile');
  const runtime = new Runtime({ ...prepared.runtimeOptions, profilePrefix: prefix });
  try {
    const trainer = new Trainer(runtime, scratch, state);
    const batch = { inputs: noiseBatch(state.manifest) };
    await timeSteps(trainer, prepared.options.accumIter, profiledSteps, async () => batch);
    trainer.release(); // a session writes its profile when it ends
  } finally {
    runtime.release();
  }
  const steps = warmUpSteps + profiledSteps;
  return {
    trainingOperators: readProfile(`${prefix}-1_`, steps),
    optimizerOperators: readProfile(`${prefix}-2_`, steps),
  };
}
