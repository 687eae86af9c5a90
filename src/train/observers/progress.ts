/** What a progress bar shows of a run. */
export interface Progress {
  readonly step: number;
  readonly totalSteps: number;
  /** As people count: `3/40`. */
  readonly epoch: string;
  readonly loss: string;
  readonly lr: string;
  readonly imagesPerSecond: string;
  /** `3%`, the share of time spent waiting for data. */
  readonly dataWait: string;
  /** `41.2 GFLOP/s (38% of peak)`; empty where it is not known. */
  readonly flops: string;
  /** Of the run, and of its epoch. */
  readonly secondsLeft: number | undefined;
  readonly epochSecondsLeft: number | undefined;
}

const barWidth = 24;

/** One line for a terminal of so many columns: the more there are, the more it tells; loss and time left stay longest. */
export function progressLine(progress: Progress, columns: number): string {
  const { step, totalSteps, epoch, loss, lr, imagesPerSecond, dataWait, flops } = progress;
  const share = totalSteps === 0 ? 1 : Math.min(1, step / totalSteps);
  const percent = `${Math.floor(100 * share)}%`;
  const left = formatDuration(progress.secondsLeft);
  const bothLeft = timeLeft(progress);
  const end = `loss ${loss}  left ${left}`;
  const begin = `${step}/${totalSteps}  epoch ${epoch}  loss ${loss}`;
  const [long, short] = [barWidth, barWidth / 2].map((width) => `${progressBar(share, width)} ${begin}`);
  const withFlops = flops === '' ? '' : `  ${flops}`;
  const whole = `  lr ${lr}  ${imagesPerSecond} img/s  data wait ${dataWait}${withFlops}  left ${bothLeft}`;
  const lines = [
    `${long}${whole}`,
    `${short}${whole}`,
    `${long}  lr ${lr}  ${imagesPerSecond} img/s  left ${bothLeft}`,
    `${short}  ${imagesPerSecond} img/s  data wait ${dataWait}  left ${left}`,
    `${short}  ${imagesPerSecond} img/s  left ${left}`,
    `${begin}  left ${left}`,
    `${step}/${totalSteps}  ${end}`,
    `${percent}  ${end}`,
    `${loss} ${left}`,
  ];
  return lines.find((line) => line.length < columns) ?? lines.at(-1)!;
}

/** `3m20s`, and with an epoch that ends before the run `3m20s (epoch 12s)`. */
export function timeLeft({
  secondsLeft,
  epochSecondsLeft,
}: Pick<Progress, 'secondsLeft' | 'epochSecondsLeft'>): string {
  const left = formatDuration(secondsLeft);
  if (epochSecondsLeft === undefined || epochSecondsLeft === secondsLeft) return left;
  return `${left} (epoch ${formatDuration(epochSecondsLeft)})`;
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

/** Seconds that a step takes, from those behind: a mean that forgets slowly what is long ago. */
export class StepSeconds {
  #at: number;
  #secondsPerStep: number | undefined;

  constructor(now: number) {
    this.#at = now;
  }

  /** After each step; `now` in milliseconds. Seconds that each of the next will take. */
  after(now: number): number {
    const seconds = (now - this.#at) / 1000;
    this.#at = now;
    const before = this.#secondsPerStep;
    this.#secondsPerStep = before === undefined ? seconds : before + (seconds - before) / memorySteps;
    return this.#secondsPerStep;
  }
}

/**
 * A loss without the noise of single steps: a mean that halves the weight of a step every 7, divided by the weights that
 * it has so far, so that the first ones count in full (as Adam corrects its moments).
 */
export class SmoothedLoss {
  #sum = 0;
  #weight = 0;

  after(loss: number): number {
    this.#sum = lossDecay * this.#sum + (1 - lossDecay) * loss;
    this.#weight = lossDecay * this.#weight + (1 - lossDecay);
    return this.#sum / this.#weight;
  }
}

const lossDecay = 0.9;

const memorySteps = 25;
