import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { codeOf, messageOf, UserError } from '../util/errors.js';
import { RandomStream } from '../util/random.js';
import { centerCropBox, randomFlip, randomResizedCrop } from './augment.js';
import { ImageDecoder } from './decode/decode.js';
import { ImageError, type Region, type Size } from './decode/pixels.js';
import { fixedMaskEpoch, randomPermutation } from './masking.js';
import { BicubicResampler } from './resample.js';
import { ImageFolder, type SharedFolder } from './sources/image-folder.js';
import { StageClock, type StageSeconds } from './stage-seconds.js';

/** An image that could not be read. */
export interface SkippedImage {
  path: string;
  reason: string;
}

/** What stays the same for a whole run; sent to each worker once. */
export interface FillSetup {
  folder: SharedFolder;
  /** 'train' crops and flips at random and replaces bad files; 'validate' cuts the middle out and does not. */
  mode: 'train' | 'validate';
  height: number;
  width: number;
  patchCount: number;
  seed: number;
  /** Share of bad files in a whole epoch that is still tolerated. */
  maxSkippedShare: number;
  /** One of each a slot: images [rows, height, width, 3], ids_shuffle [rows, patchCount]. */
  images: Uint8Array<SharedArrayBuffer>[];
  idsShuffle: BigInt64Array<SharedArrayBuffer>[];
}

/** One batch to fill: row r is position `firstPosition + r` of the epoch's order. */
export interface FillJob {
  sequence: number;
  slot: number;
  epoch: number;
  firstPosition: number;
  rows: number;
  /** The epoch's order of the folder; without it, position p is image p. */
  order: Uint32Array<SharedArrayBuffer> | undefined;
  /** One counter: the next row that nobody has taken. */
  tickets: Int32Array<SharedArrayBuffer>;
}

/** Reads, decodes, crops and resizes single images into rows of batches. One for each worker. */
export class RowFiller {
  readonly #setup: FillSetup;
  readonly #folder: ImageFolder;
  readonly #resampler = new BicubicResampler();
  readonly #decoder = new ImageDecoder(undefined, (length) => this.#resampler.reserve(length));
  readonly #clock = new StageClock();
  #file = Buffer.allocUnsafe(1 << 20);

  constructor(setup: FillSetup) {
    this.#setup = setup;
    this.#folder = new ImageFolder(setup.folder);
  }

  close(): void {
    this.#decoder.close();
  }

  /** Where the time of the rows since the last call went. */
  takeSeconds(): StageSeconds {
    return this.#clock.take();
  }

  /**
   * Fills one row with its image and its permutation, both functions of (seed, epoch, position) alone. Returns
   * the image of this very position if it could not be read; its replacements are reported by their own rows.
   */
  async fill(job: FillJob, row: number): Promise<SkippedImage | undefined> {
    this.#clock.start();
    const { mode, seed, patchCount, idsShuffle, maxSkippedShare } = this.#setup;
    const position = job.firstPosition + row;
    const ids = idsShuffle[job.slot]!.subarray(row * patchCount, (row + 1) * patchCount);
    randomPermutation(ids, seed, mode === 'train' ? job.epoch : fixedMaskEpoch, position);

    const count = this.#folder.length;
    const tries = mode === 'train' ? Math.min(count, longestRun(maxSkippedShare)) : 1;
    let skipped: SkippedImage | undefined;
    for (let offset = 0; offset < tries; offset++) {
      const place = (position + offset) % count;
      const image = job.order ? job.order[place]! : place;
      const reason = await this.#tryImage(image, job, row, position);
      if (reason === undefined) return skipped;
      skipped ??= { path: this.#folder.path(image), reason };
    }
    if (mode === 'validate') return skipped;
    throw new UserError(
      `image folder: expected readable images in ${this.#folder.root}, got ${tries} unreadable ones in a row, the first ${skipped!.path}: ${skipped!.reason}; replace or remove the damaged files`,
    );
  }

  /** Undefined when row `row` holds the image, else why it does not. */
  async #tryImage(image: number, job: FillJob, row: number, position: number): Promise<string | undefined> {
    try {
      const path = this.#folder.path(image);
      this.#clock.charge('other');
      const bytes = this.#read(path);
      this.#clock.charge('read');
      await this.#place(bytes, job, row, position);
      return undefined;
    } catch (error) {
      // A system error (no such file, no permission, a bad disk) or damaged bytes; all else is our own fault.
      if (error instanceof ImageError || codeOf(error)?.startsWith('E')) return messageOf(error);
      throw error;
    }
  }

  async #place(bytes: Uint8Array, job: FillJob, row: number, position: number): Promise<void> {
    const { mode, height, width, seed, images } = this.#setup;
    const rowBytes = height * width * 3;
    const out = images[job.slot]!.subarray(row * rowBytes, (row + 1) * rowBytes);
    const target = { height, width };
    const size = await this.#decoder.size(bytes);
    if (mode === 'validate') {
      const box = centerCropBox(size, target);
      const pixels = await this.#decoder.decodeRegion(bytes, box, target, bicubicMargin(box, target));
      this.#clock.charge('decode');
      this.#resampler.resample(pixels, pixels.box, out, height, width);
      this.#clock.charge('resample');
      return;
    }
    const random = new RandomStream(seed, 'augment', job.epoch, position);
    const crop = randomResizedCrop(random, size);
    const flip = randomFlip(random);
    const pixels = await this.#decoder.decodeRegion(bytes, crop, target);
    this.#clock.charge('decode');
    this.#resampler.resample(pixels, pixels.box, out, height, width, { flip, clipToBox: true });
    this.#clock.charge('resample');
  }

  /** The whole file, in a buffer that the next file overwrites. */
  #read(path: string): Uint8Array {
    const file = openSync(path, 'r');
    try {
      const { size } = fstatSync(file);
      if (this.#file.length < size) this.#file = Buffer.allocUnsafe(size);
      let length = 0;
      while (length < size) {
        const read = readSync(file, this.#file, length, size - length, length);
        if (read === 0) break;
        length += read;
      }
      return this.#file.subarray(0, length);
    } finally {
      closeSync(file);
    }
  }
}

/** Pixels beside the box that its outermost outputs read. */
export function bicubicMargin(box: Region, target: Size): number {
  return Math.ceil(2 * Math.max(1, box.width / target.width, box.height / target.height));
}

/**
 * How many bad files one position goes through. A run of n happens by chance with probability share^n: where
 * that is below 1e-9 the folder is worse than allowed. At least 64, and no limit where every share is allowed.
 */
function longestRun(maxSkippedShare: number): number {
  if (maxSkippedShare >= 1) return Number.POSITIVE_INFINITY;
  return Math.max(64, Math.ceil(Math.log(1e-9) / Math.log(maxSkippedShare)));
}
