/** The life of a run, whatever its task: what every command that trains calls. */
import type { Manifest } from '../artifact/manifest.js';
import { readManifest } from '../artifact/read-manifest.js';
import { writeArtifacts } from '../artifact/write.js';
import type { Augmentation } from '../data/augmentation.js';
import type { ImageSource } from '../data/sources/source.js';
import { alone } from '../runtime/comm/communicator.js';
import { Runtime } from '../runtime/runtime.js';
import type { TrainCommand } from '../train/changes-result.js';
import { ModelState } from '../train/engine/model-state.js';
import { keptBest } from '../train/kept-best.js';
import { loggedEpochs, loggedValues } from '../train/log-file.js';
import { train } from '../train/loop.js';
import { type BestMeasure, type RunObserver, type RunResult, tellAll } from '../train/observer.js';
import { JsonLog } from '../train/observers/jsonl.js';
import { TensorBoardLog } from '../train/observers/tensorboard.js';
import type { TrainOptions } from '../train/options.js';
import type { PictureSheets } from '../train/picturing.js';
import { type Plan, planRun } from '../train/plan.js';
import type { Probe } from '../train/probing.js';
import { findResume } from '../train/resume.js';
import { describeRun, writeRunConfig } from '../train/run-config.js';
import { startPosition, withLossScale } from '../train/start.js';
import { version } from '../util/version.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { claimRunDirectory, type RunLock } from '../weights/checkpoint/run-lock.js';
import { checkMemory, explainOutOfMemory } from './memory-estimate.js';
import { unreadable } from './open-images.js';
import type { Prepared } from './prepare.js';
import { keepImageList } from './run-images.js';

/** A person before a run: what they see, and what they ask. */
export interface Terminal {
  readonly observer: RunObserver;
  /** Shows what a person should know before the first step, a line each. */
  note(line: string): void;
  /** Whether to stop after the step at hand. */
  shouldStop(): boolean;
}

/** The images of a run. */
export interface RunSources {
  readonly trainImages: ImageSource;
  readonly validationImages: ImageSource | undefined;
}

/** What pictures need of a run. */
export interface PicturedRunSources extends RunSources {
  readonly manifest: Manifest;
  /** Whether the run may have shown some before. */
  readonly isResumed: boolean;
}

/** What a command that trains hands in. */
export interface TrainJob<O extends TrainOptions> {
  readonly command: TrainCommand;
  readonly prepared: Prepared<O>;
  /** How images are changed; as in pretraining where not given. */
  readonly augmentation?: Augmentation | undefined;
  openImages(note: (line: string) => void): Promise<RunSources>;
  /** Parameters that a new run does not start afresh, if there are some. */
  initialWeights?(note: (line: string) => void): Promise<ReadonlyMap<string, Float32Array>>;
  /** Opens what judges the weights now and then, if something does. */
  openProbe?(runtime: Runtime, note: (line: string) => void): Promise<Probe>;
  /** Opens what shows now and then what the weights make of some pictures, if something does. */
  openPictures?(
    runtime: Runtime,
    run: PicturedRunSources,
    note: (line: string) => void,
  ): PictureSheets | undefined;
  /** By what the best checkpoint is kept beside the newest, if it is. */
  readonly bestBy?: BestMeasure | undefined;
  /** Lines for a person, before the first step. */
  summary(plan: Plan, images: RunSources): readonly string[];
}

/** Continues the run of its directory or starts one, and trains. */
export async function trainRun<O extends TrainOptions>(
  job: TrainJob<O>,
  terminal: Terminal,
): Promise<RunResult> {
  const { options, device, artifacts, runtimeOptions } = job.prepared;
  const { manifest } = artifacts;
  checkMemory(manifest, options, device);
  const images = await job.openImages(terminal.note);
  const plan = planRun(options, images.trainImages.length);
  const runtime = new Runtime(runtimeOptions);
  let lock: RunLock | undefined;
  try {
    lock = await claimRunDirectory(options.outputDir);
    return await trainInDirectory(runtime, job, plan, images, terminal);
  } catch (error) {
    throw explainOutOfMemory(device.explain(error, runtime.api), manifest, options, device);
  } finally {
    lock?.release();
    runtime.release();
  }
}

/** Trains in a run directory that is this process's own. */
async function trainInDirectory<O extends TrainOptions>(
  runtime: Runtime,
  job: TrainJob<O>,
  plan: Plan,
  images: RunSources,
  { observer, note, shouldStop }: Terminal,
): Promise<RunResult> {
  const { options, device, compute, task, artifacts } = job.prepared;
  const { trainImages, validationImages } = images;
  const paths = runPaths(options.outputDir);
  const versions = { mae: version, onnxruntime: runtime.api.version };
  const description = describeRun(options, task.model, trainImages, versions, job.command);
  const resumeFrom = await findResume(description, options, note);
  await keepImageList(options.outputDir, trainImages);
  await writeRunConfig(options.outputDir, description);
  writeArtifacts(artifacts, paths.artifacts);
  if (validationImages !== undefined) {
    const problem = await unreadable(validationImages);
    if (problem !== undefined)
      note(`--val-path: ${problem}; there is no validation loss until that is mended`);
  }
  const probe = await job.openProbe?.(runtime, note);
  for (const line of job.summary(plan, images)) note(line);
  if (resumeFrom !== undefined) note(`continuing from ${resumeFrom}`);
  note(`${device.description}: ${compute.description}`);

  const state = new ModelState(readManifest(paths.artifacts));
  const initialWeights = job.initialWeights && (() => job.initialWeights!(note));
  const start = await startPosition(state, options.seed, resumeFrom, initialWeights);
  const position = withLossScale(start, compute.graphPrecision === 'fp16');
  const isResumed = resumeFrom !== undefined;
  const behind = isResumed ? await epochsBehind(paths.log, position.step) : nothingBehind;
  const pictures = job.openPictures?.(runtime, { ...images, manifest: state.manifest, isResumed }, note);
  const judges = { probe, pictures, ...behind };
  const engine = { artifacts: paths.artifacts, compute, runtime, communicator: alone };
  const data = { ...images, augmentation: job.augmentation };
  const best =
    job.bestBy === undefined ? undefined : await keptBest(options.outputDir, job.bestBy, position.step);
  const run = { options, plan, ...engine, ...data, ...judges, best, resumeFrom, state, position };
  return train(run, tellAll([...logsOf(options, note), observer]), shouldStop);
}

/** What writes down how a run goes. */
function logsOf({ outputDir, tensorboard }: TrainOptions, note: Terminal['note']): RunObserver[] {
  const { log } = runPaths(outputDir);
  if (!tensorboard) return [new JsonLog(log)];
  const events = new TensorBoardLog(outputDir, note);
  return [new JsonLog(log, (line) => events.add(line)), events];
}

const nothingBehind = { validatedEpochs: 0, probedEpochs: 0, picturedEpochs: -1 };

/** Epochs behind a run at its last validation, its last probe and its last sheet of pictures, up to a step. */
async function epochsBehind(log: string, step: number): Promise<typeof nothingBehind> {
  const sheets = await loggedValues(log, { type: 'pictures', field: 'epochs' }, step);
  return {
    validatedEpochs: await loggedEpochs(log, 'val', step),
    probedEpochs: await loggedEpochs(log, 'probe', step),
    picturedEpochs: sheets.at(-1)?.value ?? nothingBehind.picturedEpochs,
  };
}

/** Lines about images and steps that every summary has. */
export function describeSteps(
  { dataPath }: TrainOptions,
  { stepsPerEpoch, effectiveBatchSize, totalSteps, leftOverImages }: Plan,
  images: number,
): { images: string; leftOver: string[] } {
  return {
    images: `${dataPath}: ${images} images, ${stepsPerEpoch} steps of ${effectiveBatchSize} an epoch, ${totalSteps} steps in all`,
    leftOver:
      leftOverImages === 0
        ? []
        : [`${leftOverImages} of ${images} images are left over in each epoch, others each time`],
  };
}
