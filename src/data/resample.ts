import { readFileSync } from 'node:fs';
import { compiledFile } from '../util/compiled.js';
import { ImageError, type Pixels, type Region } from './decode/pixels.js';
import { type NativeResampler, nativeResampler } from './native-resampler.js';

/** Bits after the binary point of a weight: 255 · Σ|w| · 2^22 still fits an int32, as in Pillow. */
const PRECISION = 22;
/** Low bits of these, which the vector code takes apart from the rest: it multiplies 16-bit factors. */
const LOW_BITS = 11;
const LOW_MASK = (1 << LOW_BITS) - 1;

/** The bicubic kernel with a = −0.5 (Keys 1981), which Pillow and torchvision use; PyTorch's own has −0.75. */
function bicubic(x: number): number {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/** One axis: which inputs take part (those in [low, high)) and which of them the box covers. */
interface Axis {
  low: number;
  high: number;
  start: number;
  outputs: number;
  /** Inputs to an output. */
  scale: number;
  /** How far the kernel reaches to each side, in inputs: shrinking widens it (antialiasing). */
  support: number;
  /** Pairs of inputs that every output reads; what it does not need has weight 0. */
  pairs: number;
}

function axisOf(start: number, length: number, inputs: number, outputs: number, clipped: boolean): Axis {
  const low = clipped ? Math.max(0, Math.floor(start)) : 0;
  const high = clipped ? Math.min(inputs, Math.ceil(start + length)) : inputs;
  const scale = length / outputs;
  const support = 2 * Math.max(1, scale);
  return { low, high, start, outputs, scale, support, pairs: Math.ceil(support) };
}

const centreOf = ({ start, scale }: Axis, output: number) => start + (output + 0.5) * scale;
const firstInput = (axis: Axis, output: number) =>
  Math.max(axis.low, Math.floor(centreOf(axis, output) - axis.support + 0.5));
const inputsEnd = (axis: Axis, output: number) =>
  Math.min(axis.high, Math.floor(centreOf(axis, output) + axis.support + 0.5));

/**
 * Writes, in the layout of src/data/wasm/resample.ts, where the inputs of each output begin (in units of `unit` bytes
 * from `origin` on) and what they weigh; the weights of one output sum to 1.
 */
function writeAxis(
  axis: Axis,
  mirrored: boolean,
  origin: number,
  unit: number,
  first: Int32Array,
  weights: Int32Array,
): void {
  const { outputs, pairs } = axis;
  const widening = axis.support / 2;
  const row = new Float64Array(2 * pairs);
  for (let i = 0; i < outputs; i++) {
    const centre = centreOf(axis, i);
    const from = firstInput(axis, i);
    const count = Math.min(2 * pairs, inputsEnd(axis, i) - from);
    let sum = 0;
    for (let k = 0; k < count; k++) {
      const weight = bicubic((from + k - centre + 0.5) / widening);
      row[k] = weight;
      sum += weight;
    }
    for (let k = count; k < 2 * pairs; k++) row[k] = 0;
    const at = mirrored ? outputs - 1 - i : i;
    first[at] = (from - origin) * unit;
    let w = at * pairs * 2;
    for (let k = 0; k < 2 * pairs; k += 2) {
      const even = fixedPoint(row[k]! / sum);
      const odd = fixedPoint(row[k + 1]! / sum);
      weights[w++] = (even & LOW_MASK) | ((odd & LOW_MASK) << 16);
      weights[w++] = ((even >> LOW_BITS) & 0xffff) | ((odd >> LOW_BITS) << 16);
    }
  }
}

const fixedPoint = (weight: number) => Math.floor(weight * (1 << PRECISION) + 0.5) | 0;

/** What src/data/wasm/resample.ts exports; addresses and lengths are bytes. */
interface Kernels {
  memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  across(
    source: number,
    sourceStride: number,
    rowCount: number,
    first: number,
    weights: number,
    pairs: number,
    rows: number,
    rowStride: number,
    width: number,
  ): void;
  down(
    rows: number,
    rowStride: number,
    first: number,
    weights: number,
    pairs: number,
    out: number,
    rowBytes: number,
    height: number,
  ): void;
}

/** Node has it, but its types do not. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { exports: unknown };
};

let compiled: object | undefined;

/** Kernels with a memory of their own. */
function instantiate(): Kernels {
  compiled ??= new WebAssembly.Module(readFileSync(compiledFile('data/wasm/resample.wasm')));
  return new WebAssembly.Instance(compiled).exports as Kernels;
}

const pageBytes = 2 ** 16;
const maxMemoryBytes = 2 ** 32 - pageBytes;
/** Memory never shrinks: what a larger picture needed is given back after it, with all the rest. */
const maxKeptBytes = 2 ** 27;
/** Where the picture lies in the memory; all else comes after it. */
const sourceStart = 1024;
const align = (address: number) => Math.ceil(address / 64) * 64;

export interface ResampleOptions {
  /** Mirror left to right. */
  flip?: boolean;
  /** Keep pixels outside the box out of the result, as a crop before the resize does. */
  clipToBox?: boolean;
}

/**
 * Bicubic resampling with the result of Pillow's `resize(size, BICUBIC, box)`: first across, then down,
 * rounded to bytes in between. Keeps its memory between calls, so each worker has one. Where the kernels are they do
 * it, in the same memory and to the same bytes; null leaves them alone.
 */
export class BicubicResampler {
  readonly #native: NativeResampler | null | undefined;
  #kernels = instantiate();
  #bytes = new Uint8Array(this.#kernels.memory.buffer);
  #words = new Int32Array(this.#kernels.memory.buffer);

  constructor(native?: NativeResampler | null) {
    this.#native = native;
  }

  /**
   * Memory for a picture: one that lies in it is resampled without a copy. Good until the next call of this or of
   * `resample`.
   */
  reserve(length: number): Uint8Array {
    this.#grow(sourceStart + length);
    return this.#bytes.subarray(sourceStart, sourceStart + length);
  }

  /** Writes `box` of `source` to `out`, which is [height, width, 3]. */
  resample(
    source: Pixels,
    box: Region,
    out: Uint8Array,
    height: number,
    width: number,
    { flip = false, clipToBox = false }: ResampleOptions = {},
  ): void {
    const columns = axisOf(box.left, box.width, source.width, width, clipToBox);
    const rows = axisOf(box.top, box.height, source.height, height, clipToBox);
    const firstRow = firstInput(rows, 0);
    const rowCount = inputsEnd(rows, height - 1) - firstRow;
    const sourceStride = source.width * 3;
    const rowStride = align(width * 3 + 1); // the last pixel of a row is stored with a fourth byte
    const native = this.#native === undefined ? nativeResampler() : this.#native;

    // Taps of weight 0 read past the ends of picture and rows, and four rows go at a time: room for both.
    const words = sourceStart + align((source.height + 3) * sourceStride + columns.pairs * 6 + 16);
    const acrossWeights = words + (width + height) * 4;
    const downWeights = acrossWeights + width * columns.pairs * 8;
    const rowsStart = align(downWeights + height * rows.pairs * 8);
    const outStart = rowsStart + (rowCount + 3 + rows.pairs * 2) * rowStride;
    const outBytes = height * width * 3;
    const workspaceBytes = native?.workspace(rowCount, width, columns.pairs, height, rows.pairs);
    const inPlace = source.data.buffer === this.#kernels.memory.buffer;
    this.#grow(workspaceBytes === undefined ? outStart + align(outBytes) : rowsStart + workspaceBytes);
    if (!inPlace) this.#bytes.set(source.data.subarray(0, source.height * sourceStride), sourceStart);

    const word = (address: number) => this.#words.subarray(address / 4);
    const firstAcross = words;
    const firstDown = words + width * 4;
    const firstSource = sourceStart + firstRow * sourceStride;
    writeAxis(columns, flip, 0, 3, word(firstAcross), word(acrossWeights));
    writeAxis(rows, false, firstRow, native ? 1 : rowStride, word(firstDown), word(downWeights));
    if (native) {
      if (out.length < outBytes)
        throw new RangeError(`resample: expected ${outBytes} bytes, got ${out.length}`);
      // biome-ignore format: one line for what is read, one for each pass, one for what is written
      native.resample(
        this.#bytes.subarray(firstSource), sourceStride, rowCount,
        width, columns.pairs, word(firstAcross), word(acrossWeights),
        height, rows.pairs, word(firstDown), word(downWeights),
        out, this.#bytes.subarray(rowsStart));
    } else {
      // biome-ignore format: one line for what is read, one for how, one for what is written
      this.#kernels.across(
        firstSource, sourceStride, rowCount,
        firstAcross, acrossWeights, columns.pairs,
        rowsStart, rowStride, width);
      // biome-ignore format: as above
      this.#kernels.down(
        rowsStart, rowStride,
        firstDown, downWeights, rows.pairs,
        outStart, width * 3, height);
      out.set(this.#bytes.subarray(outStart, outStart + outBytes));
    }
    if (this.#bytes.length > maxKeptBytes) {
      this.#kernels = instantiate();
      this.#view();
    }
  }

  /** Views of the memory end when it grows. */
  #grow(length: number): void {
    const missing = length - this.#bytes.length;
    if (missing <= 0) return;
    const { memory } = this.#kernels;
    try {
      if (length > maxMemoryBytes) throw new RangeError();
      memory.grow(Math.ceil(missing / pageBytes));
    } catch {
      throw new ImageError(`too large: resampling it needs ${Math.ceil(length / 2 ** 20)} MiB of memory`);
    }
    this.#view();
  }

  #view(): void {
    this.#bytes = new Uint8Array(this.#kernels.memory.buffer);
    this.#words = new Int32Array(this.#kernels.memory.buffer);
  }
}
