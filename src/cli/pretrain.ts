import { buildArtifacts } from '../artifact/build.js';
import { parameterCount } from '../artifact/manifest.js';
import { writeArtifacts } from '../artifact/write.js';
import { artifactOptions } from '../jobs/artifact-options.js';
import { divideBatch } from '../jobs/auto-batch.js';
import { checkMemory, estimateMemory, explainOutOfMemory, formatGiB } from '../jobs/memory-estimate.js';
import { openImageFolder } from '../jobs/open-images.js';
import { formatInputSize } from '../model/config.js';
import { learningRate } from '../model/optim/schedule.js';
import { modelOf } from '../model/presets.js';
import { chooseDevice } from '../runtime/choose-device.js';
import { Runtime } from '../runtime/runtime.js';
import { chooseCompute } from '../train/engine/compute.js';
import { type PretrainResult, pretrain } from '../train/loop.js';
import { ConsoleReporter } from '../train/observers/console.js';
import type { PretrainOptions } from '../train/options.js';
import { planRun } from '../train/plan.js';
import { describeRun, findResume, writeRunConfig } from '../train/resume.js';
import { version } from '../util/version.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { claimRunDirectory, type RunLock } from '../weights/checkpoint/run-lock.js';
import { type PretrainArguments, pretrainFlags, pretrainOptions } from './pretrain-flags.js';
import { StopSignal } from './stop-signal.js';

export const options = pretrainFlags;

export async function run(argv: PretrainArguments): Promise<void> {
  const options = pretrainOptions(argv);
  if (argv.dryRun) await printPlan(options);
  else await runPretraining(options);
}

/** Builds what a run needs and trains. A signal ends it after the step, with the exit code that belongs to it. */
export async function runPretraining(given: PretrainOptions): Promise<PretrainResult> {
  const model = modelOf(given);
  const device = chooseDevice(given.device, given.precision);
  const compute = chooseCompute(given, device);
  const options = await divideBatch(given, model, compute, device);
  const artifacts = buildArtifacts(model, artifactOptions(options, compute, device));
  const { manifest } = artifacts;
  checkMemory(manifest, options, device);
  const trainImages = await openImageFolder(options.dataPath);
  const validationImages = options.valPath === undefined ? undefined : await openImageFolder(options.valPath);
  const plan = planRun(options, trainImages.length);
  const runtime = new Runtime({ threads: options.threads, kernelsPath: compute.kernels?.path, device });
  let lock: RunLock | undefined;
  let reporter: ConsoleReporter | undefined;
  const stop = new StopSignal((line) => (reporter ? reporter.note(line) : console.error(line)));
  try {
    lock = await claimRunDirectory(options.outputDir);
    const dataset = { images: trainImages.length, fingerprint: trainImages.fingerprint };
    const description = describeRun(options, model, dataset, {
      mae: version,
      onnxruntime: runtime.api.version,
    });
    const resumeFrom = await findResume(description, options);
    await writeRunConfig(options.outputDir, description);
    const folder = runPaths(options.outputDir).artifacts;
    writeArtifacts(artifacts, folder);
    reporter = new ConsoleReporter(options, plan, manifest, trainImages.length, resumeFrom);
    reporter.note(`${device.description}: ${compute.description}`);
    const inputs = {
      options,
      plan,
      manifest,
      artifacts: folder,
      compute,
      runtime,
      trainImages,
      validationImages,
      resumeFrom,
    };
    const result = await pretrain(inputs, reporter, () => stop.received !== undefined);
    reporter.finished(result, stop.received);
    return result;
  } catch (error) {
    const explained = device.explain(error, runtime.api);
    throw explainOutOfMemory(explained, manifest, options, device);
  } finally {
    reporter?.close();
    stop.off();
    lock?.release();
    runtime.release();
  }
}

/** What `--dry-run` prints. */
async function printPlan(given: PretrainOptions): Promise<void> {
  const model = modelOf(given);
  const device = chooseDevice(given.device, given.precision);
  const compute = chooseCompute(given, device);
  const options = await divideBatch(given, model, compute, device);
  const { manifest } = buildArtifacts(model, artifactOptions(options, compute, device));
  const images = await openImageFolder(options.dataPath);
  const plan = planRun(options, images.length);
  const memory = estimateMemory(manifest, device);
  const available = device.readMemory();
  const { schedule, stepsPerEpoch, totalSteps, effectiveBatchSize } = plan;
  const millions = (parameterCount(manifest) / 1e6).toFixed(1);
  const { patches, kept, predicted } = manifest;
  const removed = `${patches - kept} removed${predicted === undefined ? '' : `, ${predicted} of them predicted`}`;
  const rows = [
    ['model', `${options.model}, ${formatInputSize(model)}, patch ${model.patchSize}`],
    ['parameters', `${millions} M`],
    ['tokens', `${patches} patches an image: ${kept} visible, ${removed}`],
    [
      'memory',
      `about ${formatGiB(memory.totalBytes)}: ${formatGiB(memory.stateBytes)} parameters, gradients and moments, ` +
        `${formatGiB(memory.activationBytes)} activations`,
    ],
    ['device', device.description],
    [
      'available',
      available === undefined
        ? 'the device does not tell how much memory it has'
        : `${formatGiB(available.freeBytes)} of ${formatGiB(available.totalBytes)} free, ${available.owner}`,
    ],
    ['compute', compute.description],
    ['images', `${images.length} in ${images.root}`],
    ['batch', `${effectiveBatchSize} = ${options.batchSize} × ${options.accumIter} (--accum-iter)`],
    ['steps', `${totalSteps}: ${stepsPerEpoch} an epoch, ${options.epochs} epochs`],
    [
      'schedule',
      `lr ${schedule.lr}, ${schedule.warmupEpochs} epochs of warm-up, then a cosine to ${schedule.minLr}`,
    ],
    ...[0, 0.25, 0.5, 0.75, 1].map((share) => {
      const step = Math.round(share * (totalSteps - 1));
      return ['', `step ${step + 1}: lr ${learningRate(step, schedule).toPrecision(4)}`];
    }),
  ];
  for (const [name, value] of rows) console.log(`${name!.padEnd(12)}${value}`);
  checkMemory(manifest, options, device, available);
}
