import { imageFlops } from '../artifact/flops.js';
import { Runtime } from '../runtime/runtime.js';
import { formatDuration } from '../train/observers/progress.js';
import type { TrainOptions } from '../train/options.js';
import type { Plan } from '../train/plan.js';
import { UserError } from '../util/errors.js';
import { measureRun } from './measure-run.js';
import { estimateMemory, formatGiB } from './memory-estimate.js';
import { withBatchSize } from './prepare.js';
import { describeStep, jobWithin, runSeconds } from './time-budget.js';
import type { RunSources, TrainJob } from './train-job.js';

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
  const tried = smallerBatch(job);
  const needed = estimateMemory(tried.prepared.artifacts.manifest, job.prepared.device).totalBytes;
  const free = job.prepared.device.readMemory()?.freeBytes;
  if (free !== undefined && needed > free)
    return `not known: to try a step would take ${formatGiB(needed)}, and ${formatGiB(free)} are free`;
  const factor = options.batchSize / tried.prepared.artifacts.manifest.batchSize;
  const runtime = new Runtime(job.prepared.runtimeOptions);
  try {
    const measured = await measureRun(runtime, tried, images, { seconds: triedSeconds, hasProbe: false });
    const parts = { ...measured, microBatch: factor * measured.microBatch };
    const schedule = { ...options, stepsPerEpoch: plan.stepsPerEpoch };
    const whole = formatDuration(runSeconds(plan.totalSteps, parts, schedule));
    const details = [
      `${describeStep(parts, schedule)}, from a few tried here${factor === 1 ? '' : ` with smaller batches`}`,
      ...(images.validationImages === undefined ? [] : [`${formatDuration(parts.validation)} a validation`]),
      ...(job.openProbe === undefined ? [] : ['probes not counted']),
    ];
    return `about ${whole}: ${details.join(', ')}`;
  } catch (error) {
    if (error instanceof UserError) return `not known: ${error.message}`;
    throw job.prepared.device.explain(error, runtime.api);
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

/** The job with micro-batches that are quickly tried: where its own are large, smaller ones. */
function smallerBatch<O extends TrainOptions>(job: TrainJob<O>): TrainJob<O> {
  const { prepared } = job;
  const { manifest } = prepared.artifacts;
  const fewest = Math.min(2, manifest.batchSize); // batch norm takes two
  const batchSize = Math.max(fewest, Math.floor(triedFlops / imageFlops(prepared.task)));
  return batchSize >= manifest.batchSize ? job : { ...job, prepared: withBatchSize(prepared, batchSize) };
}
