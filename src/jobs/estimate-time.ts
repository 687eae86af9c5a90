import { imageFlops } from '../artifact/flops.js';
import { Runtime } from '../runtime/runtime.js';
import { threadsNote } from '../runtime/threads.js';
import { formatDuration } from '../train/observers/progress.js';
import type { TrainOptions } from '../train/options.js';
import type { Plan } from '../train/plan.js';
import { messageOf } from '../util/errors.js';
import { measureRun, type PartSeconds } from './measure-run.js';
import { estimateMemory, formatGiB } from './memory-estimate.js';
import { withGraphs } from './prepare.js';
import { describeStep, jobWithin, runSeconds } from './time-budget.js';
import type { RunSources, TrainJob } from './train-job.js';

/** A model of more parameters is tried with fewer blocks. */
const largeParameters = 2e7;
/** Seconds that steps are tried for. */
const triedSeconds = 1;
/** Operations of a micro-batch that is tried; of larger ones a part is, as far as one goes. */
const triedFlops = 2e10;

/** About how long a run would take, for a person: from a few steps on its images, of which nothing stays. */
export async function estimateTime<O extends TrainOptions>(
  job: TrainJob<O>,
  plan: Plan,
  images: RunSources,
): Promise<string> {
  const { options } = job.prepared;
  if (threadsNote(options.threads) !== undefined)
    return `not known: --threads ${options.threads} is more than there are cores to try them on`;
  const { job: tried, flopsFactor, parameterFactor } = trialOf(job);
  const needed = estimateMemory(manifestOf(tried), job.prepared.device).totalBytes;
  const free = job.prepared.device.readMemory()?.freeBytes;
  if (free !== undefined && needed > free)
    return `not known: to try a step would take ${formatGiB(needed)}, and ${formatGiB(free)} are free`;
  const schedule = { ...options, stepsPerEpoch: plan.stepsPerEpoch };
  let measured: PartSeconds;
  try {
    measured = await measureApart(tried, images);
  } catch (error) {
    return `not known: ${messageOf(error).split('\n')[0]}`; // the plan stands without
  }
  const parts: PartSeconds = {
    ...measured,
    setup: parameterFactor * measured.setup,
    microBatch: flopsFactor * measured.microBatch,
    update: parameterFactor * measured.update,
    save: parameterFactor * measured.save,
    validation: (flopsFactor * measured.validation * manifestOf(tried).batchSize) / options.batchSize,
  };
  const whole = formatDuration(runSeconds(plan.totalSteps, parts, schedule));
  return [
    `about ${whole}: ${describeStep(parts, schedule)}`,
    `from a few tried here${flopsFactor === 1 ? '' : ' of a smaller size'}`,
    ...(images.validationImages === undefined ? [] : [`${formatDuration(parts.validation)} a validation`]),
    ...(job.openProbe === undefined ? [] : ['probes not counted']),
  ].join(', ');
}

const manifestOf = <O extends TrainOptions>({ prepared }: TrainJob<O>) => prepared.artifacts.manifest;

/** In a runtime of its own. */
async function measureApart<O extends TrainOptions>(
  job: TrainJob<O>,
  images: RunSources,
): Promise<PartSeconds> {
  const { device, runtimeOptions } = job.prepared;
  const runtime = new Runtime(runtimeOptions);
  try {
    return await measureRun(runtime, job, images, { seconds: triedSeconds, hasProbe: false });
  } catch (error) {
    throw device.explain(error, runtime.api);
  } finally {
    runtime.release();
  }
}

/** The job with the epochs that its time would give it, if it began now. */
export async function timedPlan<O extends TrainOptions>(
  job: TrainJob<O>,
  images: RunSources,
  note: (line: string) => void,
): Promise<TrainJob<O>> {
  const runtime = new Runtime(job.prepared.runtimeOptions);
  try {
    return await jobWithin(runtime, job, images, { note });
  } finally {
    runtime.release();
  }
}

/** A job that is quickly tried, and how much more the parts of the real one take. */
interface Trial<O extends TrainOptions> {
  readonly job: TrainJob<O>;
  /** By the operations of a micro-batch, and by the parameters. */
  readonly flopsFactor: number;
  readonly parameterFactor: number;
}

/** Of a large model one block of each kind, and of large micro-batches smaller ones. */
function trialOf<O extends TrainOptions>(job: TrainJob<O>): Trial<O> {
  const { prepared, augmentation } = job;
  const { task, artifacts, options } = prepared;
  const isLarge = artifacts.manifest.arena.total > largeParameters;
  const tried = isLarge ? job.taskOf({ ...task.model, depth: 1, decoderDepth: 1 }) : task;
  const fewest = Math.min(2, options.batchSize); // batch norm takes two
  const fitting = Math.max(fewest, Math.floor(triedFlops / imageFlops(tried)));
  const batchSize = Math.min(options.batchSize, fitting);
  const smaller = withGraphs(prepared, tried, batchSize);
  const blocks = tried.model.depth;
  return {
    job: {
      ...job,
      prepared: smaller,
      augmentation: augmentation && { ...augmentation, dropPath: augmentation.dropPath?.slice(-blocks) },
    },
    flopsFactor: (imageFlops(task) * options.batchSize) / (imageFlops(tried) * batchSize),
    parameterFactor: artifacts.manifest.arena.total / smaller.artifacts.manifest.arena.total,
  };
}
