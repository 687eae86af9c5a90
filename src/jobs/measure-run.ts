/** How long the parts of a run take here: tried out on its own images, and thrown away. */
import { join } from 'node:path';
import type { Manifest } from '../artifact/manifest.js';
import { readManifest } from '../artifact/read-manifest.js';
import { writeArtifacts } from '../artifact/write.js';
import { TrainLoader } from '../data/loader.js';
import { averageNames } from '../model/optim/optimizer.js';
import type { Runtime } from '../runtime/runtime.js';
import { saveCheckpoint } from '../train/checkpointing.js';
import { ModelState } from '../train/engine/model-state.js';
import { Trainer } from '../train/engine/trainer.js';
import type { TrainOptions } from '../train/options.js';
import { startOfRun } from '../train/position.js';
import { type ValidatedRun, Validation } from '../train/validate.js';
import { withScratchFolder } from '../util/scratch-folder.js';
import type { RunSources, TrainJob } from './train-job.js';

/** In seconds. */
export interface PartSeconds {
  /** Sessions, and weights to begin with. */
  readonly setup: number;
  /** Loading, forward and backward. */
  readonly microBatch: number;
  /** Norm of the gradient and optimizer. */
  readonly update: number;
  readonly save: number;
  /** 0 where the run has none. */
  readonly validation: number;
  readonly probe: number;
  /** Epochs between probes. */
  readonly probeEvery: number;
}

export interface MeasureOptions {
  /** About how long steps are tried for, and at most half of it validation. */
  readonly seconds: number;
  /** Whether a probe is tried, too: all of it. */
  readonly hasProbe: boolean;
  /** Where temporary files are; the system's folder where not given. */
  readonly folder?: string;
}

/** Micro-batches that count, after one that does not. */
const fewest = 3;
/** A checkpoint above this size is not tried: writing and digests take about so long. */
const triedBytes = 2 ** 29;
const secondsPerByte = 3 / 2 ** 30;

export async function measureRun<O extends TrainOptions>(
  runtime: Runtime,
  job: TrainJob<O>,
  images: RunSources,
  { seconds, hasProbe, folder: parent }: MeasureOptions,
): Promise<PartSeconds> {
  const { artifacts, options } = job.prepared;
  return withScratchFolder(async (folder) => {
    const start = performance.now();
    writeArtifacts(artifacts, folder);
    const manifest = readManifest(folder);
    const state = new ModelState(manifest);
    state.initialize(options.seed);
    const trainer = new Trainer(runtime, folder, state);
    try {
      const setup = secondsSince(start);
      const steps = await timeSteps(trainer, manifest, job, images, seconds);
      const save = await timeSave(join(folder, 'run'), state, trainer);
      const run = { options, artifacts: folder, runtime, state, augmentation: job.augmentation };
      const validation = await timeValidation({ ...run, ...images }, trainer, seconds / 2);
      const probes = hasProbe ? await timeProbe(runtime, job, state, trainer) : noProbe;
      return { setup, ...steps, save, validation, ...probes };
    } finally {
      trainer.release();
    }
  }, parent);
}

async function timeSteps<O extends TrainOptions>(
  trainer: Trainer,
  { inputs }: Manifest,
  { prepared: { options }, augmentation }: TrainJob<O>,
  { trainImages }: RunSources,
  seconds: number,
): Promise<Pick<PartSeconds, 'microBatch' | 'update'>> {
  const { seed, numWorkers, exifRotation, accumIter } = options;
  const loader = new TrainLoader({
    ...{ source: trainImages, inputs, augmentation, seed, numWorkers, exifRotation },
    ...{ startEpoch: 0, startBatch: 0 },
  });
  const spent = { microBatch: 0, update: 0 };
  try {
    let begun = performance.now();
    for (let i = 0; ; i++) {
      const start = performance.now();
      const batch = await loader.next();
      await trainer.forwardBackward(batch.inputs, i % accumIter, accumIter);
      batch.release();
      const between = performance.now();
      await trainer.reduce(0);
      await trainer.update(1, { learningRate: 0, weightDecay: 0 });
      if (i === 0) {
        begun = performance.now(); // memory is taken, and workers have started
        continue;
      }
      spent.microBatch += (between - start) / 1000;
      spent.update += secondsSince(between);
      if (i >= fewest && secondsSince(begun) >= seconds)
        return { microBatch: spent.microBatch / i, update: spent.update / i };
    }
  } finally {
    await loader.close();
  }
}

async function timeSave(run: string, state: ModelState, trainer: Trainer): Promise<number> {
  const { arena, optimizer, emaDecay } = state.manifest;
  const bytes = 4 * (arena.total + averageNames(optimizer, emaDecay).length * arena.trained);
  if (bytes > triedBytes) return bytes * secondsPerByte;
  const start = performance.now();
  trainer.download();
  await saveCheckpoint(run, state, startOfRun, 1);
  return secondsSince(start);
}

/** All of it, from some of its batches where that takes too long. */
async function timeValidation(
  run: Omit<ValidatedRun, 'validatedEpochs' | 'plan'>,
  trainer: Trainer,
  seconds: number,
): Promise<number> {
  const { validationImages, state } = run;
  if (validationImages === undefined) return 0;
  let asked = 0;
  let start = performance.now();
  let isTrial = true;
  const shouldStop = () => {
    asked++;
    return asked > 1 && (isTrial || secondsSince(start) > seconds);
  };
  const plan = { totalSteps: 0, scheduledSteps: 0 };
  const judged = { ...run, plan, validatedEpochs: 0 };
  const validation = new Validation(judged, trainer, shouldStop, async () => {});
  const position = { ...startOfRun, epoch: 1 };
  try {
    await validation.run(position, async () => {}); // loads its graph; what fails is told in the run
    isTrial = false;
    asked = 0;
    start = performance.now();
    await validation.run(position, async () => {});
    const batches = Math.ceil(validationImages.length / state.manifest.batchSize);
    return (secondsSince(start) * batches) / Math.max(1, Math.min(batches, asked));
  } finally {
    validation.release();
  }
}

async function timeProbe<O extends TrainOptions>(
  runtime: Runtime,
  job: TrainJob<O>,
  { manifest }: ModelState,
  trainer: Trainer,
): Promise<Pick<PartSeconds, 'probe' | 'probeEvery'>> {
  const probe = await job.openProbe?.(runtime, () => {});
  if (probe === undefined) return noProbe;
  const parameters = new Map(
    manifest.parameters.map((parameter) => [parameter.name, trainer.parameter(parameter)]),
  );
  const start = performance.now();
  await probe.judge(parameters, () => false).catch(() => undefined); // told in the run
  return { probe: secondsSince(start), probeEvery: probe.every };
}

const noProbe = { probe: 0, probeEvery: 1 };

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}
