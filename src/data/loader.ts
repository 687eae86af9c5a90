import { UserError } from '../util/errors.js';
import { RandomStream } from '../util/random.js';
import { BatchRing, type FilledSlot, type JobRequest } from './batch-ring.js';
import type { SkippedImage } from './row-filler.js';
import type { ImageFolder } from './sources/image-folder.js';
import type { StageSeconds } from './stage-seconds.js';

export type { SkippedImage } from './row-filler.js';

/** Batches that are filled ahead of the one in use. */
const defaultPrefetch = 2;
const defaultMaxSkippedShare = 0.5;
/** Fewer images than this say nothing about the rest of a folder. */
const imagesBeforeJudging = 64;

export interface ValidationLoaderOptions {
  folder: ImageFolder;
  batchSize: number;
  height: number;
  width: number;
  patchCount: number;
  seed: number;
  /** Threads that decode; 0 decodes on the calling thread. */
  numWorkers: number;
  prefetch?: number;
  /** More unreadable images than this share end the run. */
  maxSkippedShare?: number;
}

export interface TrainLoaderOptions extends ValidationLoaderOptions {
  /** The position that a resumed run goes on from. */
  startEpoch: number;
  startBatch: number;
}

interface LoadedBatch {
  /** Place in the epoch. */
  index: number;
  images: Uint8Array; // [batchSize, height, width, 3]
  idsShuffle: BigInt64Array; // [batchSize, patchCount]
  skipped: SkippedImage[];
  /** Time that all loading threads together spent on it. */
  seconds: StageSeconds;
  /** Gives the arrays back to the loader, which fills them again: do not read them afterwards. */
  release(): void;
}

export interface Batch extends LoadedBatch {
  epoch: number;
}

export interface ValidationBatch extends LoadedBatch {
  /** Rows that hold images; the rest of the arrays is padding (black, any permutation). */
  count: number;
  /** Which image of the folder each of the `count` rows holds. */
  imageIndices: Uint32Array;
}

/** Ends the run when too large a part of the images is unreadable. */
class SkipJudge {
  readonly #root: string;
  readonly #maxShare: number;
  readonly #enough: number;
  #epoch = -1;
  #tried = 0;
  #skipped = 0;
  #example: SkippedImage | undefined;

  /** `epochLength` is how many images an epoch tries. */
  constructor(root: string, maxShare: number, epochLength: number) {
    this.#root = root;
    this.#maxShare = maxShare;
    this.#enough = Math.min(imagesBeforeJudging, epochLength);
  }

  count(epoch: number, rows: number, skipped: FilledSlot['skipped']): void {
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#tried = 0;
      this.#skipped = 0;
    }
    this.#tried += rows;
    this.#skipped += skipped.length;
    this.#example = skipped[0]?.image ?? this.#example;
    if (this.#tried < this.#enough || this.#skipped <= this.#maxShare * this.#tried) return;
    const { path, reason } = this.#example!;
    throw new UserError(
      `image folder: expected at most ${this.#maxShare * 100}% unreadable images in ${this.#root}, got ${this.#skipped} of the ${this.#tried} tried, such as ${path}: ${reason}; replace or remove the damaged files`,
    );
  }
}

function openRing(
  options: ValidationLoaderOptions,
  mode: 'train' | 'validate',
  nextRequest: () => JobRequest | undefined,
): BatchRing {
  const { batchSize, height, width, patchCount, seed, numWorkers } = options;
  const { prefetch = defaultPrefetch, maxSkippedShare = defaultMaxSkippedShare } = options;
  const folder = options.folder.share();
  return new BatchRing(
    { folder, mode, batchSize, height, width, patchCount, seed, numWorkers, prefetch, maxSkippedShare },
    nextRequest,
  );
}

/**
 * Batches for pretraining, without end: random resized crops, flips and mask permutations of a folder, shuffled
 * anew each epoch. What a batch holds is a function of the seed, its epoch and its index alone: not of workers,
 * of timing or of where the run started. The images left over at the end of an epoch's order are dropped.
 */
export class TrainLoader {
  readonly batchesPerEpoch: number;
  readonly #options: TrainLoaderOptions;
  readonly #ring: BatchRing;
  readonly #judge: SkipJudge;
  /** The batch that is to be requested from the workers next. */
  #requested: { epoch: number; index: number };
  #order: { epoch: number; images: Uint32Array<SharedArrayBuffer> } | undefined;

  constructor(options: TrainLoaderOptions) {
    const { folder, batchSize, startEpoch, startBatch, maxSkippedShare = defaultMaxSkippedShare } = options;
    this.batchesPerEpoch = Math.floor(folder.length / batchSize);
    if (this.batchesPerEpoch === 0) {
      throw new UserError(
        `loader: expected at least ${batchSize} images for one batch, got ${folder.length} in ${folder.root}; use a smaller --batch-size or more images`,
      );
    }
    this.#options = options;
    this.#judge = new SkipJudge(folder.root, maxSkippedShare, this.batchesPerEpoch * batchSize);
    this.#requested = this.#carry({ epoch: startEpoch, index: startBatch });
    this.#ring = openRing(options, 'train', () => this.#request());
  }

  /** A batch past the last one of its epoch is one of the next epoch. */
  #carry({ epoch, index }: { epoch: number; index: number }): { epoch: number; index: number } {
    const carried = Math.floor(index / this.batchesPerEpoch);
    return { epoch: epoch + carried, index: index - carried * this.batchesPerEpoch };
  }

  #request(): JobRequest {
    const { epoch, index } = this.#requested;
    const { batchSize } = this.#options;
    this.#requested = this.#carry({ epoch, index: index + 1 });
    return { epoch, firstPosition: index * batchSize, rows: batchSize, order: this.#orderOf(epoch) };
  }

  #orderOf(epoch: number): Uint32Array<SharedArrayBuffer> {
    if (this.#order?.epoch !== epoch) {
      const { folder, seed } = this.#options;
      const images = new Uint32Array(new SharedArrayBuffer(folder.length * 4));
      images.set(new RandomStream(seed, 'order', epoch).permutation(folder.length));
      this.#order = { epoch, images };
    }
    return this.#order.images;
  }

  /**
   * The next batch. Images that could not be read are in its `skipped` and were replaced by those that follow
   * them in the epoch's order. Too many of them is a UserError; so is a folder with none left.
   */
  async next(): Promise<Batch> {
    const slot = (await this.#ring.next())!;
    const { batchSize } = this.#options;
    const { epoch, firstPosition } = slot.request;
    this.#judge.count(epoch, batchSize, slot.skipped);
    const { images, idsShuffle, seconds, release } = slot;
    const skipped = slot.skipped.map(({ image }) => image);
    return { epoch, index: firstPosition / batchSize, images, idsShuffle, skipped, seconds, release };
  }

  /**
   * The paths of the images of a batch, row by row. One that could not be read stands for the next of the order that
   * could, as far as the batch tells.
   */
  pathsOf({ epoch, index, skipped }: Pick<Batch, 'epoch' | 'index' | 'skipped'>): string[] {
    const { folder, batchSize, seed } = this.#options;
    const order = new RandomStream(seed, 'order', epoch).permutation(folder.length);
    const unreadable = new Set(skipped.map(({ path }) => path));
    return Array.from({ length: batchSize }, (_, row) => {
      let path = '';
      for (let offset = 0; offset < folder.length; offset++) {
        path = folder.path(order[(index * batchSize + row + offset) % folder.length]!);
        if (!unreadable.has(path)) break;
      }
      return path;
    });
  }

  /** Ends the workers and frees their decoders; a next() that still waits is rejected. */
  async close(): Promise<void> {
    await this.#ring.close();
  }
}

/**
 * One pass over a folder in its own order: the middle of each image, resized so that it just fits, and a mask
 * permutation that belongs to the image for good. Unreadable images are left out.
 */
export class ValidationLoader {
  /** The most there can be: a batch with no readable image at all is left out too. */
  readonly batchCount: number;
  /** Every image left out so far, also those after the last readable one. */
  readonly skipped: SkippedImage[] = [];
  readonly #options: ValidationLoaderOptions;
  readonly #ring: BatchRing;
  readonly #judge: SkipJudge;
  #requested = 0;

  constructor(options: ValidationLoaderOptions) {
    const { folder, batchSize, maxSkippedShare = defaultMaxSkippedShare } = options;
    this.batchCount = Math.ceil(folder.length / batchSize);
    this.#options = options;
    this.#judge = new SkipJudge(folder.root, maxSkippedShare, folder.length);
    this.#ring = openRing(options, 'validate', () => this.#request());
  }

  #request(): JobRequest | undefined {
    if (this.#requested === this.batchCount) return undefined;
    const { folder, batchSize } = this.#options;
    const firstPosition = this.#requested++ * batchSize;
    const rows = Math.min(batchSize, folder.length - firstPosition);
    return { epoch: 0, firstPosition, rows, order: undefined };
  }

  /** The next batch, or undefined after the last. Too many unreadable images is a UserError. */
  async next(): Promise<ValidationBatch | undefined> {
    const skippedBefore = this.skipped.length;
    for (let slot = await this.#ring.next(); slot; slot = await this.#ring.next()) {
      const { firstPosition, rows } = slot.request;
      this.#judge.count(0, rows, slot.skipped);
      this.skipped.push(...slot.skipped.map(({ image }) => image));
      const good = this.#compact(slot);
      if (good.length > 0) {
        const { images, idsShuffle, seconds, release } = slot;
        const imageIndices = Uint32Array.from(good, (row) => firstPosition + row);
        const index = firstPosition / this.#options.batchSize;
        const skipped = this.skipped.slice(skippedBefore);
        return { index, images, idsShuffle, release, skipped, seconds, count: good.length, imageIndices };
      }
      slot.release();
    }
    return undefined;
  }

  /** Moves the rows that hold images to the front and blackens the rest; returns where they came from. */
  #compact({ request, images, idsShuffle, skipped }: FilledSlot): number[] {
    const { batchSize, height, width, patchCount } = this.#options;
    const bad = new Set(skipped.map(({ row }) => row));
    const good = Array.from({ length: request.rows }, (_, row) => row).filter((row) => !bad.has(row));
    const rowBytes = height * width * 3;
    good.forEach((from, to) => {
      images.copyWithin(to * rowBytes, from * rowBytes, (from + 1) * rowBytes);
      idsShuffle.copyWithin(to * patchCount, from * patchCount, (from + 1) * patchCount);
    });
    images.fill(0, good.length * rowBytes);
    for (let row = good.length; row < batchSize; row++) {
      for (let i = 0; i < patchCount; i++) idsShuffle[row * patchCount + i] = BigInt(i);
    }
    return good;
  }

  async close(): Promise<void> {
    await this.#ring.close();
  }
}
