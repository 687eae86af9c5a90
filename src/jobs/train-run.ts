/** The life of a run, whatever its task: what every command that trains calls. */

import { imageFlops } from '../artifact/flops.js';
import { readManifest } from '../artifact/read-manifest.js';
import { writeArtifacts } from '../artifact/write.js';
import { alone } from '../runtime/comm/communicator.js';
import { Runtime } from '../runtime/runtime.js';
import { ModelState } from '../train/engine/model-state.js';
import { keptBest } from '../train/kept-best.js';
import { loggedEpochs, loggedGuesses, loggedValues } from '../train/log-file.js';
import { train } from '../train/loop.js';
import { type RunObserver, type RunResult, tellAll } from '../train/observer.js';
import { JsonLog } from '../train/observers/jsonl.js';
import { TensorBoardLog } from '../train/observers/tensorboard.js';
import type { TrainOptions } from '../train/options.js';
import { type Plan, planRun } from '../train/plan.js';
import { findResume } from '../train/resume.js';
import { describeRun, writeRunConfig } from '../train/run-config.js';
import { startPosition, withLossScale } from '../train/start.js';
import { version } from '../util/version.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { claimRunDirectory, type RunLock } from '../weights/checkpoint/run-lock.js';
import { guessing } from './guessing.js';
import { knownPeak } from './known-peak.js';
import { checkMemory, explainOutOfMemory } from './memory-estimate.js';
import { unreadable } from './open-images.js';
import { keepImageList } from './run-images.js';
import { runSummary } from './run-summary.js';
import { jobWithin } from './time-budget.js';
import type { RunSources, Terminal, TrainJob } from './train-job.js';

/** Continues the run of its directory or starts one, and trains. */
export async function trainRun<O extends TrainOptions>(
  job: TrainJob<O>,
  terminal: Terminal,
): Promise<RunResult> {
  const { options, device, artifacts, runtimeOptions } = job.prepared;
  const { manifest } = artifacts;
  checkMemory(manifest, options, device);
  const images = await job.openImages(terminal.note);
  planRun(options, images.trainImages.length); // what does not fit is told before anything is written
  const runtime = new Runtime(runtimeOptions);
  let lock: RunLock | undefined;
  try {
    lock = await claimRunDirectory(options.outputDir);
    const within = { note: terminal.note, folder: options.outputDir };
    const timed = job.isTimed ? await jobWithin(runtime, job, images, within) : job;
    return await trainInDirectory(runtime, timed, images, terminal);
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
  images: RunSources,
  terminal: Terminal,
): Promise<RunResult> {
  const { options, device, compute, task, artifacts } = job.prepared;
  const { note } = terminal;
  const { trainImages, validationImages } = images;
  const plan = planRun(options, trainImages.length);
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
  const observers = [...logsOf(options, terminal), terminal.observer];
  const tell = tellAll(observers);
  const logged = isResumed ? await loggedGuesses(paths.log) : undefined;
  observers.push(guessing(logged, async () => job.guess?.(images), tell));
  terminal.know?.({
    stepsPerEpoch: plan.stepsPerEpoch,
    imageFlops: imageFlops(task),
    peakFlops: await knownPeak(job.prepared),
  });
  const engine = { artifacts: paths.artifacts, compute, runtime, communicator: alone };
  const data = { ...images, augmentation: job.augmentation };
  const best =
    job.bestBy === undefined ? undefined : await keptBest(options.outputDir, job.bestBy, position.step);
  const run = { options, plan, ...engine, ...data, ...judges, best, resumeFrom, state, position };
  const result = await train(run, tell, terminal.shouldStop);
  const ended = { ...plan, command: job.command, outputDir: options.outputDir, result };
  const lasted = { firstStep: position.step, seconds: performance.now() / 1000, next: job.next(images) };
  for (const line of await runSummary({ ...ended, ...lasted })) note(line);
  return result;
}

/** What writes down how a run goes. */
function logsOf({ outputDir, tensorboard }: TrainOptions, { note, onLogLine }: Terminal): RunObserver[] {
  const events = tensorboard ? new TensorBoardLog(outputDir, note) : undefined;
  const log = new JsonLog(runPaths(outputDir).log, (line, text) => {
    onLogLine?.(text);
    events?.add(line);
  });
  return events === undefined ? [log] : [log, events];
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
