/** Images per second, and the share of the time spent waiting for data, since the last reading that was kept. */
export class Meter {
  #start = performance.now();
  #steps = 0;
  #waited = 0;

  restart(): void {
    this.#start = performance.now();
    this.#steps = 0;
    this.#waited = 0;
  }

  async waiting<T>(promise: Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await promise;
    } finally {
      this.#waited += performance.now() - start;
    }
  }

  read(imagesPerStep: number, restart: boolean): { imagesPerSecond: number; dataWait: number } {
    this.#steps++;
    const elapsed = performance.now() - this.#start;
    const reading = {
      imagesPerSecond: (this.#steps * imagesPerStep * 1000) / elapsed,
      dataWait: this.#waited / elapsed,
    };
    if (restart) this.restart();
    return reading;
  }
}
