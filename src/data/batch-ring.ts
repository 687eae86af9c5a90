import { Worker } from 'node:worker_threads';
import type { BatchInput } from '../model/task.js';
import { compiledFile } from '../util/compiled.js';
import { UserError } from '../util/errors.js';
import { sizeOf } from '../util/shape.js';
import { bytesPerNumber, typedArray } from '../util/typed-arrays.js';
import type { FromWorker, WorkerSetup } from './loader-worker.js';
import {
  type FillJob,
  type FillSetup,
  type ImageNote,
  RowFiller,
  type SharedArray,
  type SkippedImage,
} from './row-filler.js';
import { addSeconds, noSeconds, type StageSeconds } from './stage-seconds.js';

export interface BatchRingOptions extends Omit<FillSetup, 'slots'> {
  numWorkers: number;
  prefetch: number;
}

/** What to fill next: a job without what the ring itself decides. */
export type JobRequest = Pick<FillJob, 'epoch' | 'firstPosition' | 'rows' | 'order'>;

/** A filled slot. `skipped` is in the order of its rows. */
export interface FilledSlot {
  request: JobRequest;
  /** By the names of the inputs. */
  arrays: Readonly<Record<string, SharedArray>>;
  skipped: { row: number; image: SkippedImage }[];
  /** What all threads together spent on it. */
  seconds: StageSeconds;
  /** What is worth saying of its images; the first of each kind that a thread met. */
  notes: ImageNote[];
  release(): void;
}

interface PendingJob {
  job: FillJob;
  rowsLeft: number;
  skipped: { row: number; image: SkippedImage }[];
  seconds: StageSeconds;
  notes: ImageNote[];
  finished: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * A ring of batches in shared memory, filled ahead by worker threads in the order in which `nextRequest` names
 * them. The arrays of a slot stay at one address for the whole run; a slot is filled again once it is released.
 * With `numWorkers` 0 a batch is filled when it is asked for, on the calling thread.
 */
export class BatchRing {
  readonly #setup: FillSetup;
  readonly #nextRequest: () => JobRequest | undefined;
  readonly #freeSlots: number[];
  /** Jobs that next() has not returned yet, in order. */
  readonly #pending: PendingJob[] = [];
  /** Jobs that are not finished, by sequence; those that next() waits for are no longer in `#pending`. */
  readonly #waiting = new Map<number, PendingJob>();
  readonly #workers: Worker[] = [];
  readonly #exits: Promise<void>[] = [];
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));
  readonly #filler: RowFiller | undefined;
  #filling: Promise<void> = Promise.resolve();
  #sequence = 0;
  #failure: Error | undefined;
  #closed = false;

  constructor(options: BatchRingOptions, nextRequest: () => JobRequest | undefined) {
    const { numWorkers, prefetch, ...rest } = options;
    const slots = Array.from({ length: prefetch + 1 }, (_, slot) => slot); // one more is in the caller's hands
    this.#setup = { ...rest, slots: slots.map(() => options.inputs.map(sharedArray)) };
    this.#nextRequest = nextRequest;
    this.#freeSlots = slots;
    if (numWorkers === 0) this.#filler = new RowFiller(this.#setup);
    for (let i = 0; i < numWorkers; i++) this.#startWorker();
  }

  #startWorker(): void {
    const workerData: WorkerSetup = { setup: this.#setup, stop: this.#stop };
    // No flags of the parent (--eval, --input-type, a loader of TypeScript): a worker runs one compiled file.
    const worker = new Worker(compiledFile('data/loader-worker.js'), { workerData, execArgv: [] });
    worker.on('message', (message: FromWorker) => this.#receive(message));
    worker.on('error', (error) => this.#fail(error instanceof Error ? error : new Error(String(error))));
    const exit = new Promise<void>((resolve) => {
      worker.on('exit', (code) => {
        if (!this.#closed) this.#fail(new Error(`loader: a worker ended by itself with exit code ${code}`));
        resolve();
      });
    });
    this.#workers.push(worker);
    this.#exits.push(exit);
  }

  /** The next batch, or undefined after the last one. Asking while all slots are unreleased is an error. */
  async next(): Promise<FilledSlot | undefined> {
    this.#schedule();
    const pending = this.#pending.shift();
    if (this.#closed) throw new Error('loader: next() was called after close()');
    if (this.#failure) throw this.#failure;
    if (!pending) {
      if (this.#freeSlots.length > 0) return undefined;
      throw new Error('loader: every batch is in use; release() one before asking for the next');
    }
    const filler = this.#filler;
    if (filler) this.#filling = this.#filling.then(() => this.#fillHere(filler, pending));
    await pending.finished;
    const { inputs, slots } = this.#setup;
    const { slot } = pending.job;
    let released = false;
    return {
      request: pending.job,
      arrays: Object.fromEntries(inputs.map(({ name }, index) => [name, slots[slot]![index]!])),
      skipped: pending.skipped.sort((a, b) => a.row - b.row),
      seconds: pending.seconds,
      notes: pending.notes,
      release: () => {
        if (released) return;
        released = true;
        this.#freeSlots.push(slot);
        if (!this.#filler) this.#schedule();
      },
    };
  }

  /** Hands out every free slot. */
  #schedule(): void {
    while (!this.#closed && !this.#failure && this.#freeSlots.length > 0) {
      if (this.#filler && this.#pending.length > 0) return;
      const request = this.#nextRequest();
      if (!request) return;
      const slot = this.#freeSlots.shift()!;
      const tickets = new Int32Array(new SharedArrayBuffer(4));
      const job: FillJob = { ...request, sequence: this.#sequence++, slot, tickets };
      const pending = pendingJob(job);
      this.#pending.push(pending);
      this.#waiting.set(job.sequence, pending);
      for (const worker of this.#workers) worker.postMessage(job);
    }
  }

  async #fillHere(filler: RowFiller, pending: PendingJob): Promise<void> {
    try {
      for (let row = 0; row < pending.job.rows && !this.#closed; row++) {
        const image = await filler.fill(pending.job, row);
        if (image) pending.skipped.push({ row, image });
      }
      addSeconds(pending.seconds, filler.takeSeconds());
      pending.notes.push(...filler.takeNotes());
      pending.resolve();
    } catch (error) {
      pending.reject(error as Error);
    }
    this.#waiting.delete(pending.job.sequence);
  }

  #receive({ sequence, rows, skipped, seconds, notes, error }: FromWorker): void {
    const pending = this.#waiting.get(sequence);
    if (!pending) return;
    if (error) {
      pending.reject(fromWorker(error));
      this.#waiting.delete(sequence);
      return;
    }
    pending.skipped.push(...skipped);
    addSeconds(pending.seconds, seconds);
    pending.notes.push(...notes);
    pending.rowsLeft -= rows;
    if (pending.rowsLeft > 0) return;
    this.#waiting.delete(sequence);
    pending.resolve();
  }

  /** Ends everything that waits, now and later. */
  #fail(error: Error): void {
    this.#failure ??= error;
    for (const pending of this.#waiting.values()) pending.reject(this.#failure);
    this.#waiting.clear();
  }

  /** Lets each worker finish the image in its hands and free its decoder, and waits for its end. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    Atomics.store(this.#stop, 0, 1);
    this.#fail(new Error('loader: closed'));
    for (const worker of this.#workers) worker.postMessage(undefined);
    await Promise.all(this.#exits);
    await this.#filling;
    this.#filler?.close();
  }
}

/** Zeros for an input, in memory that all threads share. */
function sharedArray({ type, shape }: BatchInput): SharedArray {
  return typedArray(type, new SharedArrayBuffer(sizeOf(shape) * bytesPerNumber[type]));
}

function pendingJob(job: FillJob): PendingJob {
  let resolve = () => {};
  let reject = (_: Error) => {};
  const finished = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  finished.catch(() => {}); // whoever awaits it hears of it; a batch that nobody asks for may fail unheard
  return { job, rowsLeft: job.rows, skipped: [], seconds: noSeconds(), notes: [], finished, resolve, reject };
}

function fromWorker({ message, stack, isUserError }: NonNullable<FromWorker['error']>): Error {
  const error = isUserError ? new UserError(message) : new Error(message);
  if (stack && !isUserError) error.stack = stack;
  return error;
}
