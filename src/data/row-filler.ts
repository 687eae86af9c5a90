import type { BatchInput, Content } from '../model/task.js';
import { messageOf, UserError } from '../util/errors.js';
import { RandomStream } from '../util/random.js';
import { sizeOf } from '../util/shape.js';
import type { NumberType, TypedArrays } from '../util/typed-arrays.js';
import { centerCropBox, randomFlip, randomResizedCrop } from './augment/crop.js';
import { drawDropPath } from './augment/drop-path.js';
import { drawErasedBox, erase } from './augment/erasing.js';
import { drawMix, writeMix } from './augment/mix.js';
import type { Policy } from './augment/policy.js';
import { applyOperation, drawOperations } from './augment/rand-augment.js';
import type { Augmentation } from './augmentation.js';
import { ImageDecoder } from './decode/decode.js';
import { isUnreadable, type PictureNote, type Region, type Size } from './decode/pixels.js';
import { fixedMaskEpoch, randomPermutation } from './masking.js';
import { BicubicResampler } from './resample.js';
import { openSource } from './sources/open-source.js';
import { FileBuffer, type ImageSource, type SharedSource } from './sources/source.js';
import { StageClock, type StageSeconds } from './stage-seconds.js';

/** An image that could not be read. */
export interface SkippedImage {
  path: string;
  reason: string;
  /** Whether it was known beforehand that it is not there. */
  isMissing?: true;
}

/** What a person should know of how an image was read. */
export interface ImageNote extends PictureNote {
  path: string;
}

export type SharedArray = TypedArrays<SharedArrayBuffer>[NumberType];

/** What stays the same for a whole run; sent to each worker once. */
export interface FillSetup {
  source: SharedSource;
  /** 'train' augments at random and replaces bad files; 'validate' cuts the middle out and does not. */
  mode: 'train' | 'validate';
  augmentation: Augmentation;
  /** Its RandAugment, read. */
  policy: Policy | undefined;
  seed: number;
  /** Whether images are turned upright as their EXIF data says. */
  exifRotation: boolean;
  /** Share of bad files in a whole epoch that is still tolerated. */
  maxSkippedShare: number;
  inputs: readonly BatchInput[];
  /** The arrays of each slot, in the order of the inputs. */
  slots: SharedArray[][];
}

/** One batch to fill: row r is position `firstPosition + r` of the epoch's order. */
export interface FillJob {
  sequence: number;
  slot: number;
  epoch: number;
  firstPosition: number;
  rows: number;
  /** The epoch's order of the source; without it, position p is image p. */
  order: Uint32Array<SharedArrayBuffer> | undefined;
  /** One counter: the next row that nobody has taken. */
  tickets: Int32Array<SharedArrayBuffer>;
}

/** Reads, decodes, crops and resizes single images into rows of batches. One for each worker. */
export class RowFiller {
  readonly #setup: FillSetup;
  readonly #source: ImageSource;
  readonly #resampler = new BicubicResampler();
  readonly #decoder = new ImageDecoder(undefined, (length) => this.#resampler.reserve(length));
  readonly #clock = new StageClock();
  readonly #file = new FileBuffer();
  readonly #notedKinds = new Set<string>();
  readonly #columns: ReadonlyMap<Content, Columns>;
  /** For RandAugment. */
  readonly #scratch: Uint8Array;
  #notes: ImageNote[] = [];

  constructor(setup: FillSetup) {
    const { mode, augmentation, policy, inputs } = setup;
    this.#setup = setup;
    this.#source = openSource(setup.source);
    const { height, width } = pixelsOf(inputs);
    this.#columns = columnsOf(inputs);
    this.#scratch = new Uint8Array(policy ? height * width * 3 : 0);
    if (mode === 'train') checkInputs(augmentation, inputs);
  }

  close(): void {
    this.#decoder.close();
  }

  /** Where the time of the rows since the last call went. */
  takeSeconds(): StageSeconds {
    return this.#clock.take();
  }

  /** What is worth saying of the images since the last call, of each kind the first ever. */
  takeNotes(): ImageNote[] {
    const notes = this.#notes;
    this.#notes = [];
    return notes;
  }

  #note(path: string, notes: readonly PictureNote[]): void {
    for (const note of notes) {
      if (this.#notedKinds.has(note.kind)) continue;
      this.#notedKinds.add(note.kind);
      this.#notes.push({ path, ...note });
    }
  }

  /**
   * Fills one row with its image and its random numbers, functions of (seed, epoch, position) alone. Returns
   * the image of this very position if it could not be read; its replacements are reported by their own rows.
   */
  async fill(job: FillJob, row: number): Promise<SkippedImage | undefined> {
    this.#clock.start();
    const { mode, seed, maxSkippedShare } = this.#setup;
    const position = job.firstPosition + row;
    for (const ids of this.#rowsOf('permutation', job, row))
      randomPermutation(ids as BigInt64Array, seed, mode === 'train' ? job.epoch : fixedMaskEpoch, position);
    if (mode === 'train') this.#drawMixes(job, row);

    const count = this.#source.length;
    const tries = mode === 'train' ? Math.min(count, longestRun(maxSkippedShare)) : 1;
    let skipped: SkippedImage | undefined;
    for (let offset = 0, tried = 0; offset < count && tried < tries; offset++) {
      const place = (position + offset) % count;
      const image = job.order ? job.order[place]! : place;
      if (this.#source.isMissing(image)) {
        const reason = 'it was not there when the run was started';
        skipped ??= { path: this.#source.name(image), reason, isMissing: true };
        if (mode === 'validate') break;
        continue;
      }
      tried++;
      const reason = await this.#tryImage(image, job, row, position);
      if (reason === undefined) return skipped;
      skipped ??= { path: this.#source.name(image), reason };
    }
    if (mode === 'validate') return skipped;
    throw new UserError(
      `image folder: expected readable images in ${this.#source.root}, got ${tries} unreadable ones in a row, the first ${skipped!.path}: ${skipped!.reason}; replace or remove such files`,
    );
  }

  /** Undefined when row `row` holds the image, else why it does not. */
  async #tryImage(image: number, job: FillJob, row: number, position: number): Promise<string | undefined> {
    try {
      this.#clock.charge('other');
      const bytes = this.#source.read(image, this.#file);
      this.#clock.charge('read');
      const notes = await this.#place(bytes, job, row, position);
      if (notes) this.#note(this.#source.name(image), notes);
      for (const classes of this.#rowsOf('class', job, row))
        oneAt(classes as Float32Array, this.#source.labelOf(image));
      return undefined;
    } catch (error) {
      // A system error (no such file, no permission, a bad disk) or damaged bytes; all else is our own fault.
      if (isUnreadable(error)) return messageOf(error);
      throw error;
    }
  }

  async #place(
    bytes: Uint8Array,
    job: FillJob,
    row: number,
    position: number,
  ): Promise<readonly PictureNote[] | undefined> {
    const { mode, seed, inputs, augmentation, exifRotation } = this.#setup;
    const [out] = this.#rowsOf('pixels', job, row) as [Uint8Array];
    const target = pixelsOf(inputs);
    const { height, width } = target;
    const picture = await this.#decoder.header(bytes, exifRotation);
    if (mode === 'validate') {
      const box = centerCropBox(picture, target, augmentation.evaluationCrop);
      const margin = bicubicMargin(box, target);
      const pixels = await this.#decoder.decodeRegion(bytes, box, target, margin, picture);
      this.#clock.charge('decode');
      this.#resampler.resample(pixels, pixels.box, out, height, width);
      this.#clock.charge('resample');
      return pixels.notes;
    }
    const random = new RandomStream(seed, 'augment', job.epoch, position);
    const crop = randomResizedCrop(random, picture, augmentation.crop);
    const flip = randomFlip(random, augmentation.flipProbability);
    const pixels = await this.#decoder.decodeRegion(bytes, crop, target, 0, picture);
    this.#clock.charge('decode');
    this.#resampler.resample(pixels, pixels.box, out, height, width, { flip, clipToBox: true });
    this.#clock.charge('resample');
    this.#augment(out, job, row, target);
    return pixels.notes;
  }

  /** What follows crop and flip. */
  #augment(out: Uint8Array, job: FillJob, row: number, target: Size): void {
    const { seed, augmentation, policy } = this.#setup;
    const position = job.firstPosition + row;
    if (policy) {
      const random = new RandomStream(seed, 'rand-augment', job.epoch, position);
      const picture = { ...target, data: out, scratch: this.#scratch };
      for (const operation of drawOperations(random, policy)) applyOperation(picture, operation);
    }
    for (const added of this.#rowsOf('erasing', job, row)) {
      const random = new RandomStream(seed, 'erasing', job.epoch, position);
      const box = drawErasedBox(random, target, augmentation.erasing ?? 0);
      erase(random, out, added as Float32Array, target.width, box);
    }
  }

  /** What has nothing to do with the image: how its batch is mixed, the same in each row, and which residuals are dropped. */
  #drawMixes(job: FillJob, row: number): void {
    const { seed, augmentation, inputs } = this.#setup;
    const { mix, dropPath } = augmentation;
    const target = pixelsOf(inputs);
    for (const out of this.#rowsOf('mix', job, row)) {
      const random = new RandomStream(seed, 'mix', job.epoch, job.firstPosition / job.rows);
      writeMix(out as Float32Array, target, mix && drawMix(random, target, mix));
    }
    for (const out of this.#rowsOf('drop-path', job, row)) {
      const random = new RandomStream(seed, 'drop-path', job.epoch, job.firstPosition + row);
      if (dropPath) drawDropPath(random, dropPath, out as Float32Array);
      else (out as Float32Array).fill(1);
    }
  }

  /** The part of a row in each input of that content. */
  #rowsOf(content: Content, { slot }: FillJob, row: number): SharedArray[] {
    const arrays = this.#setup.slots[slot]!;
    const columns = this.#columns.get(content) ?? [];
    return columns.map(
      ({ index, length }) => arrays[index]!.subarray(row * length, (row + 1) * length) as SharedArray,
    );
  }
}

/** Where the inputs of a content are in a slot, and their numbers of one image. */
type Columns = readonly { index: number; length: number }[];

function columnsOf(inputs: readonly BatchInput[]): Map<Content, Columns> {
  const columns = inputs.map((input, index) => ({ index, length: rowLength(input) }));
  return new Map(
    inputs.map(({ content }) => [content, columns.filter(({ index }) => inputs[index]!.content === content)]),
  );
}

/** Numbers of one image in an input. */
export function rowLength({ shape }: BatchInput): number {
  return sizeOf(shape.slice(1));
}

/** The size of the pictures that the inputs ask for. */
export function pixelsOf(inputs: readonly BatchInput[]): Size {
  const [, height = 0, width = 0] = inputs.find(({ content }) => content === 'pixels')?.shape ?? [];
  return { height, width };
}

/** What an augmentation says has to reach the graph, or it would be left out in silence. */
function checkInputs({ erasing, mix, dropPath }: Augmentation, inputs: readonly BatchInput[]): void {
  const asked: Partial<Record<Content, unknown>> = { erasing, mix, 'drop-path': dropPath };
  for (const [content, value] of Object.entries(asked)) {
    if (!value || inputs.some((input) => input.content === content)) continue;
    throw new Error(`loader: expected an input of content ${content} for its augmentation, got none`);
  }
  for (const input of inputs) {
    if (input.content !== 'drop-path' || !dropPath || rowLength(input) === 2 * dropPath.length) continue;
    throw new Error(
      `loader: expected drop-path probabilities of ${rowLength(input) / 2} blocks, got ${dropPath.length}`,
    );
  }
}

/** @param place −1, of an image without a class, leaves zeros alone */
function oneAt(row: Float32Array, place: number): void {
  row.fill(0);
  if (place >= 0) row[place] = 1;
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
