import { ignoresHangup } from './hangup.js';

/** 128 + the signal's number, as shells say it. */
const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

type Signal = keyof typeof exitCodes;
const signals = Object.keys(exitCodes) as Signal[];

/** The terminal, and npm or a shell in between, deliver one key press each: within this time they are the same. */
const sameWithinMilliseconds = 500;

/**
 * SIGINT, SIGTERM and SIGHUP (the terminal is gone) ask a run to stop after its step; a second SIGINT or SIGTERM ends the
 * process at once. SIGHUP does not, for the shell and the kernel both send it.
 */
export class StopSignal {
  received: Signal | undefined;
  #receivedAt = 0;
  readonly #say: (line: string) => void;
  readonly #onSignal = (signal: NodeJS.Signals) => this.#receive(signal as Signal);

  /** @param say shows a line to the person who sent the signal. */
  constructor(say: (line: string) => void) {
    this.#say = say;
    for (const signal of signals)
      if (signal !== 'SIGHUP' || !ignoresHangup()) process.on(signal, this.#onSignal);
  }

  off(): void {
    for (const signal of signals) process.off(signal, this.#onSignal);
  }

  #receive(signal: Signal): void {
    const now = performance.now();
    if (this.received !== undefined) {
      const isSame = signal === this.received && now - this.#receivedAt < sameWithinMilliseconds;
      if (signal !== 'SIGHUP' && !isSame) process.exit(exitCodes[signal]);
      return;
    }
    this.received = signal;
    this.#receivedAt = now;
    process.exitCode = exitCodes[signal];
    this.#say(`${signal}: finishing the step, then saving (once more to stop at once)`);
  }
}
