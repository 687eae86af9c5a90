/** How many epochs a run has in a time that is given, decided before its first step: see `docs/train.md`. */
import type { Runtime } from '../runtime/runtime.js';
import { formatDuration } from '../train/observers/progress.js';
import type { TrainOptions } from '../train/options.js';
import { planRun } from '../train/plan.js';
import { runToContinue } from '../train/recorded-run.js';
import { UserError } from '../util/errors.js';
import { measureRun, type PartSeconds } from './measure-run.js';
import type { RunSources, TrainJob } from './train-job.js';

/** Share of the time that is spent on steps that are tried out, and its bounds in seconds. */
const measuredShare = 0.02;
const [leastMeasured, mostMeasured] = [1, 20];
/** From so many epochs on the last one is whole: what is lost is less than a twentieth. */
const wholeEpochs = 20;

type Given = Partial<Pick<TrainOptions, 'timeBudget' | 'epochs' | 'warmupEpochs' | 'outputDir' | 'resume'>>;

/**
 * The options with what the run that would go on was given for its time. A UserError where another time is given, or
 * epochs beside a time that is to decide them.
 */
export async function withDecidedTime<O extends Given>(given: O): Promise<O> {
  const { timeBudget, epochs } = given;
  const recorded = (await runToContinue(given))?.config;
  if (recorded === undefined) {
    if (timeBudget === undefined || epochs === undefined) return given;
    throw new UserError(
      `--time-budget: expected no --epochs beside it, which it decides, got --epochs ${epochs}; leave one of them out`,
    );
  }
  const decided = recorded.timeBudget;
  if (timeBudget !== undefined && timeBudget !== decided) {
    const began = decided === undefined ? 'none' : formatTime(decided);
    throw new UserError(
      `--time-budget: expected ${began}, with which the run in ${given.outputDir} began, got ${formatTime(timeBudget)}; ` +
        'give that or leave it out: nothing extends a run',
    );
  }
  if (decided === undefined) return given;
  const { epochs: itsEpochs, 'warmup-epochs': itsWarmup } = recorded.options as Record<string, number>;
  return {
    ...given,
    timeBudget: decided,
    epochs: epochs ?? itsEpochs,
    warmupEpochs: given.warmupEpochs ?? itsWarmup,
  };
}

export interface TimedSchedule {
  readonly stepsPerEpoch: number;
  readonly accumIter: number;
  readonly saveEvery: number;
  readonly saveEverySteps?: number | undefined;
}

/** What so many steps take, with all that comes between them. */
export function runSeconds(steps: number, parts: PartSeconds, schedule: TimedSchedule): number {
  const { stepsPerEpoch, accumIter, saveEvery, saveEverySteps } = schedule;
  const epochs = steps / stepsPerEpoch;
  // the last one of each comes at the end
  const saves =
    Math.ceil(epochs / saveEvery) + (saveEverySteps === undefined ? 0 : Math.floor(steps / saveEverySteps));
  return (
    parts.setup +
    steps * (accumIter * parts.microBatch + parts.update) +
    saves * parts.save +
    Math.ceil(epochs) * parts.validation +
    Math.ceil(epochs / parts.probeEvery) * parts.probe
  );
}

/** The most epochs that end within some seconds, whole ones where there are many; undefined where not a step does. */
export function epochsWithin(
  seconds: number,
  parts: PartSeconds,
  schedule: TimedSchedule,
): number | undefined {
  const fits = (steps: number) => runSeconds(steps, parts, schedule) <= seconds;
  if (!fits(1)) return undefined;
  let low = 1;
  let high = 2;
  while (fits(high)) [low, high] = [high, 2 * high];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  const epochs = low / schedule.stepsPerEpoch;
  return epochs >= wholeEpochs ? Math.floor(epochs) : Number(epochs.toPrecision(4));
}

/**
 * The job with epochs that end when the time since this process began is over.
 *
 * @param folder of temporary files, where checkpoints will be
 */
export async function jobWithin<O extends TrainOptions>(
  runtime: Runtime,
  job: TrainJob<O>,
  images: RunSources,
  { note, folder }: { note(line: string): void; readonly folder?: string },
): Promise<TrainJob<O>> {
  const { options } = job.prepared;
  const budget = options.timeBudget!;
  note(`--time-budget ${formatTime(budget)}: trying out some steps`);
  const parts = await measureRun(runtime, job, images, {
    seconds: Math.min(mostMeasured, Math.max(leastMeasured, budget * measuredShare)),
    hasProbe: true,
    ...(folder !== undefined && { folder }),
  });
  const { stepsPerEpoch } = planRun(options, images.trainImages.length);
  const schedule = { ...options, stepsPerEpoch };
  const left = budget - performance.now() / 1000;
  const epochs = epochsWithin(left, parts, schedule);
  if (epochs === undefined) {
    const needed = budget - left + runSeconds(1, parts, schedule);
    throw new UserError(
      `--time-budget: expected time for a step at least, about ${formatDuration(Math.ceil(needed))} with all that comes ` +
        `before and after it, got ${formatTime(budget)}; give more, or a smaller --model or --batch-size`,
    );
  }
  const decided = await job.withEpochs!(epochs);
  const { epochs: all, warmupEpochs } = decided.prepared.options;
  note(
    `--time-budget ${formatTime(budget)}: ${all} epochs, ${warmupEpochs} of warm-up, ` +
      `at ${describeStep(parts, schedule)}`,
  );
  return decided;
}

export function describeStep(parts: PartSeconds, { accumIter }: Pick<TimedSchedule, 'accumIter'>): string {
  return `${(accumIter * parts.microBatch + parts.update).toPrecision(3)} s a step`;
}

/** `1h30m` of 5400: as it is typed. */
export function formatTime(seconds: number): string {
  let left = seconds;
  let text = '';
  for (const [unit, length] of [
    ['d', 86400],
    ['h', 3600],
    ['m', 60],
  ] as const) {
    const count = Math.floor(left / length);
    if (count > 0) text += `${count}${unit}`;
    left -= count * length;
  }
  return left > 0 || text === '' ? `${text}${Number(left.toFixed(3))}s` : text;
}
