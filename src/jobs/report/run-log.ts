/** What a report shows of a run's log, read once from its beginning to its end. */
import type { Counted, Curve, Throughput } from '../../page/report-data.js';
import { type LogLine, logLines } from '../../train/log-file.js';
import { curveTypes, scalarsOf } from '../../train/log-scalars.js';
import { Counts } from './counts.js';
import { ThinCurve } from './thin-curve.js';

export interface RunLog {
  readonly curves: readonly Curve[];
  readonly guesses: { readonly mean: number; readonly colour: number } | null;
  readonly skipped: readonly Counted[];
  readonly troubles: readonly Counted[];
  /** What the last `start` line says of the device, and of its precision. */
  readonly device: string | null;
  readonly compute: string | null;
  /** The first epoch that ended after a whole one's steps tells them. */
  readonly stepsPerEpoch: number | null;
  readonly totalSteps: number | null;
  readonly lastStep: number;
  /** Time of training, without what lies between the processes of a run. */
  readonly hours: number;
  /** Lines that are damaged, and points that do not come after those before them. */
  readonly damaged: number;
  readonly outOfOrder: number;
}

/** Reads `log.jsonl`; a UserError where it is no log of a run. */
export async function readRunLog(path: string): Promise<RunLog> {
  const reader = new LogReader();
  let damaged = 0;
  for await (const lines of logLines(path, () => void damaged++)) for (const line of lines) reader.add(line);
  return { ...reader.result(), damaged };
}

/** Types of lines of what did not go well, and how a person names it. */
const failures: Readonly<Record<string, string>> = {
  skipped_step: 'step without an update',
  val_failed: 'validation failed',
  probe_failed: 'probe failed',
  pictures_failed: 'sheet of pictures not drawn',
};

class LogReader {
  readonly #curves = new Map<string, ThinCurve>();
  readonly #skipped = new Counts();
  readonly #troubles = new Counts();
  readonly #clock = new Clock();
  #guesses: RunLog['guesses'] = null;
  #device: string | null = null;
  #compute: string | null = null;
  #stepsPerEpoch: number | null = null;
  #totalSteps: number | null = null;
  #lastStep = 0;
  #outOfOrder = 0;

  add(line: LogLine): void {
    const hours = this.#clock.hoursAt(line);
    if (typeof line.step === 'number') this.#lastStep = Math.max(this.#lastStep, line.step);
    for (const [tag, value] of Object.entries(scalarsOf(line))) {
      const curve = this.#curves.get(tag) ?? new ThinCurve();
      this.#curves.set(tag, curve);
      if (!curve.add(line.step!, value, hours)) this.#outOfOrder++;
    }
    this.#addEvent(line);
  }

  #addEvent(line: LogLine): void {
    const { type, step, epoch } = line;
    if (type === 'start') {
      this.#device = textOf(line['device']);
      this.#compute = textOf(line['compute']);
      this.#totalSteps = typeof line['total_steps'] === 'number' ? line['total_steps'] : null;
    } else if (type === 'guesses') {
      const { mean, colour } = line;
      if (typeof mean === 'number' && typeof colour === 'number') this.#guesses = { mean, colour };
    } else if (type === 'epoch') {
      // the last epoch of a run may be a part of one, so the first decides
      if (typeof step === 'number' && typeof epoch === 'number') this.#stepsPerEpoch ??= step / (epoch + 1);
    } else if (type === 'skipped') {
      this.#skipped.add(`${line['reason'] ?? 'no reason'}`, `${line['path'] ?? ''}`);
    } else if (Object.hasOwn(failures, type)) {
      const at = step === undefined ? '' : `step ${step}`;
      this.#troubles.add(`${failures[type]}: ${line['reason'] ?? 'no reason'}`, at);
    }
  }

  result(): Omit<RunLog, 'damaged'> {
    const typeOf = (tag: string) => curveTypes.indexOf(tag.split('/')[0]!);
    const curves = [...this.#curves].map(([tag, curve]) => curve.curve(tag));
    return {
      curves: curves.sort((a, b) => typeOf(a.tag) - typeOf(b.tag)),
      guesses: this.#guesses,
      skipped: this.#skipped.list(),
      troubles: this.#troubles.list(),
      device: this.#device,
      compute: this.#compute,
      stepsPerEpoch: this.#stepsPerEpoch,
      totalSteps: this.#totalSteps,
      lastStep: this.#lastStep,
      hours: this.#clock.hours,
      outOfOrder: this.#outOfOrder,
    };
  }
}

/** Hours of training: from each `start` line on, until the next. */
class Clock {
  hours = 0;
  #last: number | undefined;

  hoursAt({ type, time }: LogLine): number {
    const now = Date.parse(`${time}`);
    if (!Number.isFinite(now)) return this.hours;
    if (type !== 'start' && this.#last !== undefined) this.hours += Math.max(0, now - this.#last) / 3_600_000;
    this.#last = now;
    return Math.round(this.hours * 1e6) / 1e6;
  }
}

/** Speed, of curves and the pictures of a step. */
export function throughputOf(
  { curves, hours, lastStep }: Pick<RunLog, 'curves' | 'hours' | 'lastStep'>,
  imagesPerStep: number | null,
): Throughput | null {
  const values = (tag: string) => curves.find((curve) => curve.tag === tag)?.value ?? [];
  const speeds = values('train/images_per_second').toSorted((a, b) => a - b);
  const waits = values('train/data_wait');
  if (speeds.length === 0) return null;
  return {
    imagesPerSecond:
      imagesPerStep === null || hours === 0 ? null : (lastStep * imagesPerStep) / (hours * 3600),
    medianImagesPerSecond: speeds[speeds.length >> 1]!,
    dataWait: waits.length === 0 ? null : waits.reduce((sum, wait) => sum + wait, 0) / waits.length,
    hours,
  };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
