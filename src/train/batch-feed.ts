import type { Batch, TrainLoader } from '../data/loader.js';
import type { Trainer } from './engine/trainer.js';
import type { Meter } from './meter.js';

/** The batches of a loader in their order, the next one on its way to the device while one is computed. */
export class BatchFeed {
  readonly #loader: TrainLoader;
  readonly #trainer: Trainer;
  readonly #meter: Meter;
  #ahead: Promise<Batch> | undefined;

  constructor(loader: TrainLoader, trainer: Trainer, meter: Meter) {
    this.#loader = loader;
    this.#trainer = trainer;
    this.#meter = meter;
  }

  next(): Promise<Batch> {
    const batch = this.#ahead ?? this.#loader.next();
    this.#ahead = undefined;
    return this.#meter.waiting(batch);
  }

  /** Gradients of a micro-batch; see `Trainer.forwardBackward`. */
  async forwardBackward(batch: Batch, index: number, count: number): Promise<number> {
    const loss = this.#trainer.forwardBackward(batch, index, count);
    if (this.#trainer.canStage) {
      this.#ahead = this.#loader.next();
      // an error of the loader is thrown by `next`; what could not be sent now is sent with the run
      this.#ahead.then((next) => this.#trainer.stage(next)).catch(() => {});
    }
    return loss;
  }
}
