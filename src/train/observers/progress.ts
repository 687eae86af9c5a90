/** What a progress bar shows of a run. */
export interface Progress {
  readonly step: number;
  readonly totalSteps: number;
  /** As people count: `3/40`. */
  readonly epoch: string;
  readonly loss: string;
  readonly lr: string;
  readonly imagesPerSecond: string;
  readonly secondsLeft: number | undefined;
}

const barWidth = 24;

/** One line for a terminal of so many columns: the more there are, the more it tells; loss and time left stay longest. */
export function progressLine(progress: Progress, columns: number): string {
  const { step, totalSteps, epoch, loss, lr, imagesPerSecond, secondsLeft } = progress;
  const share = totalSteps === 0 ? 1 : Math.min(1, step / totalSteps);
  const percent = `${Math.floor(100 * share)}%`;
  const left = formatDuration(secondsLeft);
  const end = `loss ${loss}  left ${left}`;
  const lines = [
    `${progressBar(share, barWidth)} ${step}/${totalSteps}  epoch ${epoch}  loss ${loss}  lr ${lr}  ${imagesPerSecond} img/s  left ${left}`,
    `${progressBar(share, barWidth / 2)} ${step}/${totalSteps}  epoch ${epoch}  loss ${loss}  ${imagesPerSecond} img/s  left ${left}`,
    `${step}/${totalSteps}  epoch ${epoch}  ${end}`,
    `${step}/${totalSteps}  ${end}`,
    `${percent}  ${end}`,
    `${loss} ${left}`,
  ];
  return lines.find((line) => line.length < columns) ?? lines.at(-1)!;
}

/** A bar of so many columns, filled to a share of at most 1. */
export function progressBar(share: number, width: number): string {
  return '█'.repeat(Math.round(share * width)).padEnd(width, '░');
}

/** `7s`, `3m20s`, `5h08m`, `2d04h`. */
export function formatDuration(seconds: number | undefined): string {
  if (seconds === undefined || !Number.isFinite(seconds)) return '-';
  const whole = Math.round(seconds);
  const units = [86400, 3600, 60, 1];
  const first = units.findIndex((unit) => whole >= unit);
  if (first < 0 || first === 3) return `${whole}s`;
  const [large, small] = [units[first]!, units[first + 1]!];
  const rest = String(Math.floor((whole % large) / small)).padStart(2, '0');
  return `${Math.floor(whole / large)}${'dhm'[first]}${rest}${'dhms'[first + 1]}`;
}

/** Seconds that the steps ahead will take, from those behind: a mean that forgets slowly what is long ago. */
export class TimeLeft {
  #at: number;
  #secondsPerStep: number | undefined;

  constructor(now: number) {
    this.#at = now;
  }

  /** After each step; `now` in milliseconds. */
  after(stepsAhead: number, now: number): number {
    const seconds = (now - this.#at) / 1000;
    this.#at = now;
    const before = this.#secondsPerStep;
    this.#secondsPerStep = before === undefined ? seconds : before + (seconds - before) / memorySteps;
    return this.#secondsPerStep * stepsAhead;
  }
}

const memorySteps = 25;
