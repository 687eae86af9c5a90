import type { BatchInput } from '../model/task.js';
import { UserError } from '../util/errors.js';
import { RandomStream } from '../util/random.js';
import { parsePolicy } from './augment/policy.js';
import { type Augmentation, pretrainAugmentation } from './augmentation.js';
import { BatchRing, type FilledSlot, type JobRequest } from './batch-ring.js';
import { exifRotationDefault } from './decode/orientation.js';
import { type ImageNote, rowLength, type SharedArray, type SkippedImage } from './row-filler.js';
import type { ImageSource } from './sources/source.js';
import type { StageSeconds } from './stage-seconds.js';

export type { ImageNote, SkippedImage } from './row-filler.js';

/** Batches that are filled ahead of the one in use. */
const defaultPrefetch = 2;
const defaultMaxSkippedShare = 0.5;
/** Fewer images than this say nothing about the rest of a folder. */
const imagesBeforeJudging = 64;

export interface ValidationLoaderOptions {
  source: ImageSource;
  /** What a batch holds, as the task or its manifest says. */
  inputs: readonly BatchInput[];
  /** That of pretraining where not given. */
  augmentation?: Augmentation | undefined;
  seed: number;
  /** Threads that decode; 0 decodes on the calling thread. */
  numWorkers: number;
  prefetch?: number;
  /** More unreadable images than this share end the run. */
  maxSkippedShare?: number;
  /** Whether images are turned upright as their EXIF data says. */
  exifRotation?: boolean | undefined;
}

export interface TrainLoaderOptions extends ValidationLoaderOptions {
  /** The position that a resumed run goes on from. */
  startEpoch: number;
  startBatch: number;
}

interface LoadedBatch {
  /** Place in the epoch. */
  index: number;
  /** By the names of the inputs. */
  inputs: Readonly<Record<string, SharedArray>>;
  skipped: SkippedImage[];
  /** Time that all loading threads together spent on it. */
  seconds: StageSeconds;
  /** What is worth saying of how its images were read. */
  notes: ImageNote[];
  /** Gives the arrays back to the loader, which fills them again: do not read them afterwards. */
  release(): void;
}

export interface Batch extends LoadedBatch {
  epoch: number;
}

export interface ValidationBatch extends LoadedBatch {
  /** Rows that hold images; the rest of the arrays is zeros. */
  count: number;
  /** Which image of the source each of the `count` rows holds. */
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
    // what is known not to be there says nothing about the rest
    const damaged = skipped.filter(({ image }) => !image.isMissing);
    this.#tried += rows;
    this.#skipped += damaged.length;
    this.#example = damaged[0]?.image ?? this.#example;
    if (this.#tried < this.#enough || this.#skipped <= this.#maxShare * this.#tried) return;
    const { path, reason } = this.#example!;
    throw new UserError(
      `image folder: expected at most ${this.#maxShare * 100}% unreadable images in ${this.#root}, got ${this.#skipped} of the ${this.#tried} tried, such as ${path}: ${reason}; replace or remove such files`,
    );
  }
}

function openRing(
  options: ValidationLoaderOptions,
  mode: 'train' | 'validate',
  nextRequest: () => JobRequest | undefined,
): BatchRing {
  const { source, inputs, seed, numWorkers } = options;
  const { prefetch = defaultPrefetch, maxSkippedShare = defaultMaxSkippedShare } = options;
  const { exifRotation = exifRotationDefault, augmentation = pretrainAugmentation } = options;
  const { randAugment } = augmentation;
  const policy = randAugment === undefined ? undefined : parsePolicy(randAugment);
  const picture = { augmentation, policy, exifRotation };
  return new BatchRing(
    { source: source.share(), mode, inputs, seed, numWorkers, prefetch, maxSkippedShare, ...picture },
    nextRequest,
  );
}

/** B, the first axis of every input. */
function batchSizeOf({ inputs }: ValidationLoaderOptions): number {
  return inputs[0]!.shape[0]!;
}

/**
 * Batches for training, without end: random resized crops and flips of a source and what else its augmentation says,
 * with mask permutations where they are asked for, shuffled anew each epoch. What a batch holds is a function of the seed, its epoch and its index alone: not of workers,
 * of timing or of where the run started. The images left over at the end of an epoch's order are dropped.
 */
export class TrainLoader {
  readonly batchesPerEpoch: number;
  readonly #options: TrainLoaderOptions;
  readonly #batchSize: number;
  readonly #ring: BatchRing;
  readonly #judge: SkipJudge;
  /** The batch that is to be requested from the workers next. */
  #requested: { epoch: number; index: number };
  #order: { epoch: number; images: Uint32Array<SharedArrayBuffer> } | undefined;

  constructor(options: TrainLoaderOptions) {
    const { source, startEpoch, startBatch, maxSkippedShare = defaultMaxSkippedShare } = options;
    const batchSize = batchSizeOf(options);
    this.batchesPerEpoch = Math.floor(source.length / batchSize);
    if (this.batchesPerEpoch === 0) {
      throw new UserError(
        `loader: expected at least ${batchSize} images for one batch, got ${source.length} in ${source.root}; use a smaller --batch-size or more images`,
      );
    }
    this.#options = options;
    this.#batchSize = batchSize;
    this.#judge = new SkipJudge(source.root, maxSkippedShare, this.batchesPerEpoch * batchSize);
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
    const rows = this.#batchSize;
    this.#requested = this.#carry({ epoch, index: index + 1 });
    return { epoch, firstPosition: index * rows, rows, order: this.#orderOf(epoch) };
  }

  #orderOf(epoch: number): Uint32Array<SharedArrayBuffer> {
    if (this.#order?.epoch !== epoch) {
      const { source, seed } = this.#options;
      const images = new Uint32Array(new SharedArrayBuffer(source.length * 4));
      images.set(new RandomStream(seed, 'order', epoch).permutation(source.length));
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
    const { epoch, firstPosition } = slot.request;
    this.#judge.count(epoch, this.#batchSize, slot.skipped);
    const { arrays: inputs, seconds, notes, release } = slot;
    const skipped = slot.skipped.map(({ image }) => image);
    return { epoch, index: firstPosition / this.#batchSize, inputs, skipped, seconds, notes, release };
  }

  /**
   * The paths of the images of a batch, row by row. One that could not be read stands for the next of the order that
   * could, as far as the batch tells.
   */
  pathsOf({ epoch, index, skipped }: Pick<Batch, 'epoch' | 'index' | 'skipped'>): string[] {
    const { source, seed } = this.#options;
    const order = new RandomStream(seed, 'order', epoch).permutation(source.length);
    const unreadable = new Set(skipped.map(({ path }) => path));
    return Array.from({ length: this.#batchSize }, (_, row) => {
      let path = '';
      for (let offset = 0; offset < source.length; offset++) {
        const image = order[(index * this.#batchSize + row + offset) % source.length]!;
        path = source.name(image);
        if (!source.isMissing(image) && !unreadable.has(path)) break;
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
 * One pass over a source in its own order: the middle of each image, resized so that it just fits, and a mask
 * permutation that belongs to the image for good. Unreadable images are left out.
 */
export class ValidationLoader {
  /** The most there can be: a batch with no readable image at all is left out too. */
  readonly batchCount: number;
  /** Every image left out so far, also those after the last readable one. */
  readonly skipped: SkippedImage[] = [];
  readonly #options: ValidationLoaderOptions;
  readonly #batchSize: number;
  readonly #ring: BatchRing;
  readonly #judge: SkipJudge;
  #requested = 0;

  constructor(options: ValidationLoaderOptions) {
    const { source, maxSkippedShare = defaultMaxSkippedShare } = options;
    this.#options = options;
    this.#batchSize = batchSizeOf(options);
    this.batchCount = Math.ceil(source.length / this.#batchSize);
    this.#judge = new SkipJudge(source.root, maxSkippedShare, source.length);
    this.#ring = openRing(options, 'validate', () => this.#request());
  }

  #request(): JobRequest | undefined {
    if (this.#requested === this.batchCount) return undefined;
    const firstPosition = this.#requested++ * this.#batchSize;
    const rows = Math.min(this.#batchSize, this.#options.source.length - firstPosition);
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
        const { arrays: inputs, seconds, notes, release } = slot;
        const imageIndices = Uint32Array.from(good, (row) => firstPosition + row);
        const index = firstPosition / this.#batchSize;
        const skipped = this.skipped.slice(skippedBefore);
        return { index, inputs, release, skipped, seconds, notes, count: good.length, imageIndices };
      }
      slot.release();
    }
    return undefined;
  }

  /** Moves the rows that hold images to the front and clears the rest; returns where they came from. */
  #compact({ request, arrays, skipped }: FilledSlot): number[] {
    const bad = new Set(skipped.map(({ row }) => row));
    const good = Array.from({ length: request.rows }, (_, row) => row).filter((row) => !bad.has(row));
    for (const input of this.#options.inputs) {
      const array = arrays[input.name]!;
      const length = rowLength(input);
      good.forEach((from, to) => void array.copyWithin(to * length, from * length, (from + 1) * length));
      clear(array.subarray(good.length * length));
    }
    return good;
  }

  async close(): Promise<void> {
    await this.#ring.close();
  }
}

function clear(array: SharedArray): void {
  if (array instanceof BigInt64Array) array.fill(0n);
  else array.fill(0);
}
