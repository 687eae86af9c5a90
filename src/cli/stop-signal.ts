/** SIGINT and SIGTERM ask a run to stop after its step; a second one ends the process at once. */
export class StopSignal {
  received: 'SIGINT' | 'SIGTERM' | undefined;
  readonly #say: (line: string) => void;
  readonly #onInterrupt = () => this.#receive('SIGINT');
  readonly #onTerminate = () => this.#receive('SIGTERM');

  /** @param say shows a line to the person who sent the signal. */
  constructor(say: (line: string) => void) {
    this.#say = say;
    process.on('SIGINT', this.#onInterrupt);
    process.on('SIGTERM', this.#onTerminate);
  }

  off(): void {
    process.off('SIGINT', this.#onInterrupt);
    process.off('SIGTERM', this.#onTerminate);
  }

  #receive(signal: 'SIGINT' | 'SIGTERM'): void {
    // 128 + the signal's number, as shells say it
    const exitCode = signal === 'SIGINT' ? 130 : 143;
    if (this.received !== undefined) process.exit(exitCode);
    this.received = signal;
    process.exitCode = exitCode;
    this.#say(`${signal}: finishing the step, then saving (once more to stop at once)`);
  }
}
