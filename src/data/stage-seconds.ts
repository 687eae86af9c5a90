/** Where the time of loading goes: the file, the decoder, the resampler, and all else (random numbers, waiting for turns). */
export interface StageSeconds {
  read: number;
  decode: number;
  resample: number;
  other: number;
}

export const noSeconds = (): StageSeconds => ({ read: 0, decode: 0, resample: 0, other: 0 });

export function addSeconds(sum: StageSeconds, more: StageSeconds): void {
  sum.read += more.read;
  sum.decode += more.decode;
  sum.resample += more.resample;
  sum.other += more.other;
}

/** Charges the time since the last charge to a stage. */
export class StageClock {
  #seconds = noSeconds();
  #last = 0;

  /** The time before now belongs to nobody. */
  start(): void {
    this.#last = performance.now();
  }

  charge(stage: keyof StageSeconds): void {
    const now = performance.now();
    this.#seconds[stage] += (now - this.#last) / 1000;
    this.#last = now;
  }

  /** What was charged since the last call. */
  take(): StageSeconds {
    const taken = this.#seconds;
    this.#seconds = noSeconds();
    return taken;
  }
}
