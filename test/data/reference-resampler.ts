import type { Pixels, Region } from '../../src/data/decode/pixels.js';
import type { ResampleOptions } from '../../src/data/resample.js';

/** Bits after the binary point of a weight: 255 · Σ|w| · 2^22 still fits an int32, as in Pillow. */
const PRECISION = 22;
const HALF = 1 << (PRECISION - 1);
/** Inputs that the inner loop takes at a time. Bicubic reads 4 · scale of them, so 8 do up to a scale of 2. */
const TAPS = 8;

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
  inputs: number;
  low: number;
  high: number;
  start: number;
  length: number;
  outputs: number;
  mirrored: boolean;
}

/** How each output of an axis is made: output i is Σₖ input[first[i] + k] · values[i · taps + k]. */
interface Weights {
  first: Int32Array;
  taps: number; // a multiple of TAPS
  values: Int32Array; // fixed point: those of one output sum to about 2^22; unused ones are 0
}

/** Shrinking widens the kernel by the scale (antialiasing); the weights of one output are made to sum to 1. */
function axisWeights({ inputs, low, high, start, length, outputs, mirrored }: Axis): Weights {
  const scale = length / outputs;
  const widening = Math.max(1, scale);
  const support = 2 * widening;
  const taps = Math.ceil((2 * support) / TAPS) * TAPS;
  const row = new Float64Array(taps);
  const first = new Int32Array(outputs);
  const values = new Int32Array(outputs * taps);
  for (let i = 0; i < outputs; i++) {
    const centre = start + (i + 0.5) * scale;
    const from = Math.max(low, Math.floor(centre - support + 0.5));
    const to = Math.min(high, Math.floor(centre + support + 0.5), from + taps);
    let sum = 0;
    for (let k = 0; k < to - from; k++) {
      row[k] = bicubic((from + k - centre + 0.5) / widening);
      sum += row[k]!;
    }
    // At the end start earlier, so that taps of weight 0 read inside the axis too (reads past an array are slow).
    const at = mirrored ? outputs - 1 - i : i;
    first[at] = Math.max(0, Math.min(from, inputs - taps));
    const shift = at * taps + from - first[at]!;
    for (let k = 0; k < to - from; k++) values[shift + k] = Math.round((row[k]! / sum) * (1 << PRECISION));
  }
  return { first, taps, values };
}

/**
 * The inner loop, for both directions. Lane i of `lanes` reads 8 bytes `tap` apart from `from + i · lane` on and
 * writes Σₖ byteₖ · weights[w + k] to `to + i · outLane`. The taps are written out in full so that the weights
 * stay in registers, and strides come as plain numbers: 1.7 times as fast as a loop over taps. Kernels of more
 * than 8 taps come here several times and carry their `sums`. The clamped array clamps what the negative lobes
 * overshoot.
 */
function combine(
  source: Uint8Array,
  from: number,
  weights: Int32Array,
  w: number,
  tap: number,
  lane: number,
  out: Uint8ClampedArray,
  to: number,
  outLane: number,
  lanes: number,
  sums: Int32Array,
  isFirst: boolean,
  isLast: boolean,
): void {
  const w0 = weights[w]!;
  const w1 = weights[w + 1]!;
  const w2 = weights[w + 2]!;
  const w3 = weights[w + 3]!;
  const w4 = weights[w + 4]!;
  const w5 = weights[w + 5]!;
  const w6 = weights[w + 6]!;
  const w7 = weights[w + 7]!;
  // The compiler does not lift these out of the loop by itself.
  const tap2 = 2 * tap;
  const tap3 = 3 * tap;
  const tap4 = 4 * tap;
  const tap5 = 5 * tap;
  const tap6 = 6 * tap;
  const tap7 = 7 * tap;
  for (let i = 0; i < lanes; i++) {
    const sum =
      ((isFirst ? HALF : sums[i]!) +
        Math.imul(source[from]!, w0) +
        Math.imul(source[from + tap]!, w1) +
        Math.imul(source[from + tap2]!, w2) +
        Math.imul(source[from + tap3]!, w3) +
        Math.imul(source[from + tap4]!, w4) +
        Math.imul(source[from + tap5]!, w5) +
        Math.imul(source[from + tap6]!, w6) +
        Math.imul(source[from + tap7]!, w7)) |
      0;
    if (isLast) out[to] = sum >> PRECISION;
    else sums[i] = sum;
    from += lane;
    to += outLane;
  }
}

/**
 * Bicubic resampling with the result of Pillow's `resize(size, BICUBIC, box)`: first across, then down,
 * rounded to bytes in between. What src/data/resample.ts and its WebAssembly are held to, byte for byte.
 */
export class ReferenceResampler {
  #rows = new Uint8Array(0);
  #sums = new Int32Array(0);

  /** Writes `box` of `source` to `out`, which is [height, width, 3]. */
  resample(
    source: Pixels,
    box: Region,
    out: Uint8Array,
    height: number,
    width: number,
    { flip = false, clipToBox = false }: ResampleOptions = {},
  ): void {
    const across = axisWeights({
      inputs: source.width,
      low: clipToBox ? Math.max(0, Math.floor(box.left)) : 0,
      high: clipToBox ? Math.min(source.width, Math.ceil(box.left + box.width)) : source.width,
      start: box.left,
      length: box.width,
      outputs: width,
      mirrored: flip,
    });
    const down = axisWeights({
      inputs: source.height,
      low: clipToBox ? Math.max(0, Math.floor(box.top)) : 0,
      high: clipToBox ? Math.min(source.height, Math.ceil(box.top + box.height)) : source.height,
      start: box.top,
      length: box.height,
      outputs: height,
      mirrored: false,
    });
    const firstRow = down.first[0]!;
    const rowCount = Math.min(source.height, down.first[height - 1]! + down.taps) - firstRow;
    const rowBytes = width * 3;
    if (this.#rows.length < rowCount * rowBytes) this.#rows = new Uint8Array(rowCount * rowBytes);
    if (this.#sums.length < Math.max(rowCount, rowBytes)) {
      this.#sums = new Int32Array(Math.max(rowCount, rowBytes));
    }
    this.#across(source, firstRow, rowCount, across, width);
    this.#down(down, firstRow, rowBytes, out, height);
  }

  /** [rowCount, width, 3] of `#rows` from the rows of `source`; the lanes are the rows. */
  #across(source: Pixels, firstRow: number, rowCount: number, weights: Weights, width: number): void {
    const { first, taps, values } = weights;
    const stride = source.width * 3;
    // A plain view whatever kind of Uint8Array comes in, so that the inner loop is compiled once.
    const data = new Uint8Array(source.data.buffer, source.data.byteOffset, source.data.byteLength);
    const rows = new Uint8ClampedArray(this.#rows.buffer);
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        for (let k = 0; k < taps; k += TAPS) {
          const from = firstRow * stride + (first[x]! + k) * 3 + channel;
          const to = x * 3 + channel;
          const last = k + TAPS === taps;
          // biome-ignore format: one line for what is read, one for what is written
          combine(data, from, values, x * taps + k, 3, stride,
            rows, to, width * 3, rowCount, this.#sums, k === 0, last);
        }
      }
    }
  }

  /** [height, rowBytes] of `out` from `#rows`; the lanes are the bytes of a row. */
  #down(weights: Weights, firstRow: number, rowBytes: number, out: Uint8Array, height: number): void {
    const { first, taps, values } = weights;
    const clamped = new Uint8ClampedArray(out.buffer, out.byteOffset, out.byteLength);
    for (let y = 0; y < height; y++) {
      for (let k = 0; k < taps; k += TAPS) {
        const from = (first[y]! - firstRow + k) * rowBytes;
        const last = k + TAPS === taps;
        // biome-ignore format: one line for what is read, one for what is written
        combine(this.#rows, from, values, y * taps + k, rowBytes, 1,
          clamped, y * rowBytes, 1, rowBytes, this.#sums, k === 0, last);
      }
    }
  }
}
