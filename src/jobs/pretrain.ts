import { type Manifest, parameterCount } from '../artifact/manifest.js';
import { readManifest } from '../artifact/read-manifest.js';
import { writeArtifacts } from '../artifact/write.js';
import type { ImageSource } from '../data/sources/source.js';
import { maeTask } from '../model/mae.js';
import type { MaeOptions } from '../model/mask.js';
import { alone } from '../runtime/comm/communicator.js';
import { Runtime } from '../runtime/runtime.js';
import { ModelState } from '../train/engine/model-state.js';
import { validatedEpochs } from '../train/log-file.js';
import { train } from '../train/loop.js';
import { type RunObserver, type RunResult, tellAll } from '../train/observer.js';
import { JsonLog } from '../train/observers/jsonl.js';
import { defaultWarmupEpochs, type PretrainOptions, pretrainDefaults } from '../train/options.js';
import { type Plan, planRun } from '../train/plan.js';
import { resolveExifRotation } from '../train/recorded-run.js';
import { findResume } from '../train/resume.js';
import { describeRun, writeRunConfig } from '../train/run-config.js';
import { startPosition, withLossScale } from '../train/start.js';
import { version } from '../util/version.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { claimRunDirectory, type RunLock } from '../weights/checkpoint/run-lock.js';
import { checkRunFolder } from './check-output.js';
import { checkMemory, explainOutOfMemory } from './memory-estimate.js';
import { unreadable } from './open-images.js';
import { type Prepared, prepare } from './prepare.js';
import { keepImageList, openRunImages } from './run-images.js';

/** A person before a run: what they see, and what they ask. */
export interface Terminal {
  readonly observer: RunObserver;
  /** Shows what a person should know before the first step, a line each. */
  note(line: string): void;
  /** Whether to stop after the step at hand. */
  shouldStop(): boolean;
}

/** What a run decides first. A UserError where its directory cannot be one. */
export async function preparePretraining<O extends PretrainOptions>(
  options: O,
): Promise<Prepared<O & { exifRotation: boolean }>> {
  checkRunFolder(options.outputDir);
  return prepare(await resolveExifRotation(options), maeTask);
}

/** Builds what a run needs, continues the run of its directory or starts one, and trains. */
export async function pretrain(given: PretrainOptions, terminal: Terminal): Promise<RunResult> {
  const prepared = await preparePretraining(given);
  const { options, device, artifacts, runtimeOptions } = prepared;
  const { manifest } = artifacts;
  checkMemory(manifest, options, device);
  const sources = await openRunImages(options, terminal.note);
  const plan = planRun(options, sources.trainImages.length);
  const runtime = new Runtime(runtimeOptions);
  let lock: RunLock | undefined;
  try {
    lock = await claimRunDirectory(options.outputDir);
    return await trainInDirectory(runtime, prepared, plan, sources, terminal);
  } catch (error) {
    throw explainOutOfMemory(device.explain(error, runtime.api), manifest, options, device);
  } finally {
    lock?.release();
    runtime.release();
  }
}

/** Trains in a run directory that is this process's own. */
async function trainInDirectory(
  runtime: Runtime,
  { options, device, compute, task, artifacts }: Prepared<PretrainOptions>,
  plan: Plan,
  sources: { readonly trainImages: ImageSource; readonly validationImages: ImageSource | undefined },
  { observer, note, shouldStop }: Terminal,
): Promise<RunResult> {
  const { manifest } = artifacts;
  const { trainImages } = sources;
  const paths = runPaths(options.outputDir);
  const versions = { mae: version, onnxruntime: runtime.api.version };
  const description = describeRun(options, task.model, trainImages, versions);
  const resumeFrom = await findResume(description, options, note);
  await keepImageList(options.outputDir, trainImages);
  await writeRunConfig(options.outputDir, description);
  writeArtifacts(artifacts, paths.artifacts);
  if (sources.validationImages !== undefined) {
    const problem = await unreadable(sources.validationImages);
    if (problem !== undefined)
      note(`--val-path: ${problem}; there is no validation loss until that is mended`);
  }
  for (const line of summary(options, plan, manifest, trainImages)) note(line);
  if (resumeFrom !== undefined) note(`continuing from ${resumeFrom}`);
  note(`${device.description}: ${compute.description}`);

  const state = new ModelState(readManifest(paths.artifacts));
  const start = await startPosition(state, options, resumeFrom, note);
  const position = withLossScale(start, compute.graphPrecision === 'fp16');
  const observers: readonly RunObserver[] = [new JsonLog(paths.log), observer];
  const engine = { artifacts: paths.artifacts, compute, runtime, communicator: alone };
  const validated = resumeFrom === undefined ? 0 : await validatedEpochs(paths.log, position.step);
  const data = { ...sources, validatedEpochs: validated };
  const run = { options, plan, ...engine, ...data, resumeFrom, state, position };
  return train(run, tellAll(observers), shouldStop);
}

function summary(options: PretrainOptions, plan: Plan, manifest: Manifest, images: ImageSource): string[] {
  const millions = (parameterCount(manifest) / 1e6).toFixed(1);
  const { kept, patches } = manifest.options as MaeOptions;
  const { stepsPerEpoch, effectiveBatchSize, totalSteps } = plan;
  const { epochs, warmupEpochs } = options;
  const isScaled = epochs < pretrainDefaults.warmupEpochs && warmupEpochs === defaultWarmupEpochs(epochs);
  return [
    `${options.model}: ${millions} M parameters, ${kept} of ${patches} patches visible`,
    `${options.dataPath}: ${images.length} images, ${stepsPerEpoch} steps of ${effectiveBatchSize} an epoch, ` +
      `${totalSteps} steps in all`,
    ...(isScaled
      ? [`${warmupEpochs} epochs of warm-up, a twentieth of all; --warmup-epochs sets others`]
      : []),
    ...(plan.leftOverImages === 0
      ? []
      : [`${plan.leftOverImages} of ${images.length} images are left over in each epoch, others each time`]),
  ];
}
