/** How long a training step takes, with the batch at hand and with the loader of pretraining at work. */
import { join } from 'node:path';
import { type ArtifactOptions, type Artifacts, buildArtifacts } from '../artifact/build.js';
import { trainingGraph } from '../artifact/graphs.js';
import type { Manifest } from '../artifact/manifest.js';
import { writeArtifacts } from '../artifact/write.js';
import { expandDefinitions } from '../compiler/lowering/expand.js';
import { TrainLoader } from '../data/loader.js';
import type { ImageFolder } from '../data/sources/image-folder.js';
import { imageSize, type ModelConfig } from '../model/config.js';
import { Runtime, type RuntimeOptions } from '../runtime/runtime.js';
import { ModelState } from '../train/engine/model-state.js';
import { type MicroBatch, Trainer } from '../train/engine/trainer.js';
import { RandomStream } from '../util/random.js';
import { matmulFlops } from './flops.js';
import { gemmPeak } from './gemm-peak.js';
import { type OperatorTime, readProfile } from './profile.js';
import { median } from './statistics.js';

export interface StepBenchmarkOptions {
  readonly model: ModelConfig;
  readonly artifacts: ArtifactOptions;
  readonly accumIter: number;
  readonly runtime: RuntimeOptions;
  /** Steps that count; two more come before them. */
  readonly steps: number;
  /** Images for the steps with data. */
  readonly images: ImageFolder;
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

/** @param check looks at the artefacts before anything large is made. */
export async function benchmarkStep(
  options: StepBenchmarkOptions,
  check: (artifacts: Artifacts) => void,
): Promise<StepBenchmark> {
  const { model, accumIter, steps, scratch } = options;
  const artifacts = buildArtifacts(model, options.artifacts);
  const { manifest } = artifacts;
  check(artifacts);
  writeArtifacts(artifacts, scratch);
  const state = new ModelState(manifest);
  state.initialize(0);
  const runtime = new Runtime(options.runtime);
  try {
    const trainer = new Trainer(runtime, scratch, state);
    let withoutData: StepTimes;
    let withData: StepTimes;
    let peakRssBytes: number;
    try {
      const batch = noiseBatch(manifest);
      withoutData = await timeSteps(trainer, accumIter, steps, async () => batch);
      peakRssBytes = process.resourceUsage().maxRSS * 1024;
      withData = await timeStepsWithData(trainer, manifest, options);
    } finally {
      trainer.release();
    }
    const { kept, predicted } = manifest;
    const once = { ...options.artifacts, kept, predicted, gradCheckpointing: false };
    const graph = trainingGraph(model, manifest.batchSize, once);
    const flops = accumIter * matmulFlops(expandDefinitions(graph));
    return {
      manifest,
      onnxRuntime: runtime.api.version,
      withoutData,
      withData,
      peakRssBytes,
      matmulFlops: flops,
      gflops: flops / median(withoutData.step) / 1e9,
      gemmPeakGflops: await gemmPeak(runtime, options.artifacts.kernelPrecision),
      ...(options.profile ? await profileSteps(state, options) : {}),
    };
  } finally {
    runtime.release();
  }
}

interface BenchmarkBatch extends MicroBatch {
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
      await trainer.forwardBackward(batch, i, accumIter);
      batch.release?.();
    }
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
  { accumIter, steps, images, numWorkers }: StepBenchmarkOptions,
): Promise<StepTimes> {
  const loader = new TrainLoader({
    folder: images,
    batchSize: manifest.batchSize,
    ...imageSize(manifest.model),
    patchCount: manifest.patches,
    seed: 0,
    numWorkers,
    startEpoch: 0,
    startBatch: 0,
  });
  try {
    return await timeSteps(trainer, accumIter, steps, () => loader.next());
  } finally {
    await loader.close();
  }
}

/** A few steps in sessions of their own, for the profiler slows down every operator a little. */
async function profileSteps(
  state: ModelState,
  { runtime: runtimeOptions, scratch, accumIter }: StepBenchmarkOptions,
): Promise<Pick<StepBenchmark, 'trainingOperators' | 'optimizerOperators'>> {
  const prefix = join(scratch, 'profile');
  const runtime = new Runtime({ ...runtimeOptions, profilePrefix: prefix });
  try {
    const trainer = new Trainer(runtime, scratch, state);
    const batch = noiseBatch(state.manifest);
    await timeSteps(trainer, accumIter, profiledSteps, async () => batch);
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

/** Images of noise and random permutations: what they show does not change what a step costs. */
function noiseBatch({ batchSize, model, patches }: Manifest): MicroBatch {
  const { height, width } = imageSize(model);
  const random = new RandomStream(0, 'sample');
  const images = Uint8Array.from({ length: batchSize * height * width * 3 }, () => random.int(256));
  const idsShuffle = new BigInt64Array(batchSize * patches);
  for (let b = 0; b < batchSize; b++)
    random.permutation(patches).forEach((id, i) => {
      idsShuffle[b * patches + i] = BigInt(id);
    });
  return { images, idsShuffle };
}
