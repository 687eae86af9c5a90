import type { Batch, ImageNote, SkippedImage, TrainLoader } from '../data/loader.js';
import type { Trainer } from './engine/trainer.js';
import type { Meter } from './meter.js';

/** Tells of each kind of note once, of training and validation together. */
export class OnceOfEachKind {
  readonly #tell: (note: ImageNote) => void | Promise<void>;
  readonly #told = new Set<string>();

  constructor(tell: (note: ImageNote) => void | Promise<void>) {
    this.#tell = tell;
  }

  async tell(notes: readonly ImageNote[]): Promise<void> {
    for (const note of notes) {
      if (this.#told.has(note.kind)) continue;
      this.#told.add(note.kind);
      await this.#tell(note);
    }
  }
}

/** The batches of a loader in their order, the next one on its way to the device while one is computed. */
export class BatchFeed {
  readonly #loader: TrainLoader;
  readonly #trainer: Trainer;
  readonly #meter: Meter;
  readonly #onSkipped: (image: SkippedImage) => void | Promise<void>;
  readonly #onNotes: (notes: readonly ImageNote[]) => Promise<void>;
  readonly #reported = new Set<string>();
  #ahead: Promise<Batch> | undefined;

  /**
   * @param onSkipped is told of each image that could not be read, once
   * @param onNotes is told of the notes of each batch
   */
  constructor(
    loader: TrainLoader,
    trainer: Trainer,
    meter: Meter,
    onSkipped: (image: SkippedImage) => void | Promise<void> = () => {},
    onNotes: (notes: readonly ImageNote[]) => Promise<void> = async () => {},
  ) {
    this.#loader = loader;
    this.#trainer = trainer;
    this.#meter = meter;
    this.#onSkipped = onSkipped;
    this.#onNotes = onNotes;
  }

  async next(): Promise<Batch> {
    const ahead = this.#ahead ?? this.#loader.next();
    this.#ahead = undefined;
    const batch = await this.#meter.waiting(ahead);
    for (const { path, reason } of batch.skipped) {
      if (this.#reported.has(path)) continue;
      this.#reported.add(path);
      await this.#onSkipped({ path, reason });
    }
    await this.#onNotes(batch.notes);
    return batch;
  }

  /** Gradients of a micro-batch; see `Trainer.forwardBackward`. */
  async forwardBackward(batch: Batch, index: number, count: number): Promise<number> {
    const loss = this.#trainer.forwardBackward(batch.inputs, index, count);
    if (this.#trainer.canStage) {
      this.#ahead = this.#loader.next();
      // an error of the loader is thrown by `next`; what could not be sent now is sent with the run
      this.#ahead.then((next) => this.#trainer.stage(next.inputs)).catch(() => {});
    }
    return loss;
  }
}
