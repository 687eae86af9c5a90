/**
 * Counter-based random numbers: every draw is a pure function of (seed, purpose, a, b) and its place in that
 * stream, so crops, masks and weights do not depend on workers, restarts or the order of calls.
 * The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 */
import { loadPhilox, type PhiloxModule, philoxBatch } from './philox-wasm.js';

/** What a stream is for. Numbers are part of the format of a run: append, never renumber. */
export const purposes = {
  init: 0,
  order: 1,
  augment: 2,
  mask: 3,
  sample: 4,
  'rand-augment': 5,
  erasing: 6,
  mix: 7,
  'drop-path': 8,
  shots: 9,
  'k-means': 10,
  folds: 11,
} as const;
export type Purpose = keyof typeof purposes;

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function mulHigh(a: number, b: number): number {
  const aHigh = a >>> 16;
  const aLow = a & 0xffff;
  const bHigh = b >>> 16;
  const bLow = b & 0xffff;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}

/** Ten rounds of Philox4x32 on counter (c0, c1, c2, c3) under key (k0, k1); the four words go to `out`. */
export function philox4x32(
  out: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
): void {
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(M0, c0);
    const low0 = Math.imul(M0, c0) >>> 0;
    const high1 = mulHigh(M1, c2);
    const low1 = Math.imul(M1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** The vector code, made when it is first of use; null where it cannot be. */
let philox: PhiloxModule | null | undefined;
const smallestBatch = 64;

/** One stream of random numbers, named by (seed, purpose, a, b), for example (0, 'augment', epoch, position). */
export class RandomStream {
  readonly #block = new Uint32Array(4);
  readonly #key0: number;
  readonly #key1: number;
  readonly #purpose: number;
  readonly #a: number;
  readonly #b: number;
  #counter = 0;
  #used = 4;

  /** `seed` is an integer in [0, 2^53); `a` and `b` are integers in [0, 2^32). */
  constructor(seed: number, purpose: Purpose, a = 0, b = 0) {
    this.#key0 = seed >>> 0;
    this.#key1 = Math.floor(seed / 2 ** 32) >>> 0;
    this.#purpose = purposes[purpose];
    this.#a = a;
    this.#b = b;
  }

  /** A uniform integer in [0, 2^32). */
  uint32(): number {
    if (this.#used === 4) {
      philox4x32(this.#block, this.#counter++, this.#b, this.#a, this.#purpose, this.#key0, this.#key1);
      this.#used = 0;
    }
    return this.#block[this.#used++]!;
  }

  /** A uniform number in [0, 1) with 32 random bits. */
  float(): number {
    return this.uint32() / 2 ** 32;
  }

  /** A uniform number in [low, high). */
  uniform(low: number, high: number): number {
    return low + (high - low) * this.float();
  }

  /** Fills `target` with uniform numbers in [low, high): those that `uniform` would give, several times faster. */
  fillUniform(target: Float32Array, low: number, high: number): void {
    let at = 0;
    while (at < target.length) {
      const numbers = this.#uniformBatch(target.length - at, low, high - low);
      if (numbers === undefined) {
        target[at++] = this.uniform(low, high);
      } else {
        target.set(numbers, at);
        at += numbers.length;
      }
    }
  }

  /** The next numbers of the stream, at most `count` of them; undefined where they have to be taken one by one. */
  #uniformBatch(count: number, low: number, range: number): Float32Array | undefined {
    if (this.#used !== 4 || count < smallestBatch) return undefined;
    if (philox === undefined) philox = loadPhilox() ?? null;
    if (philox === null) return undefined;
    const taken = Math.min(count, philoxBatch) & -16;
    const counter = [this.#counter, this.#b, this.#a, this.#purpose] as const;
    philox.fillUniform(taken, low, range, counter, [this.#key0, this.#key1]);
    this.#counter += taken / 4;
    return philox.numbers.subarray(0, taken);
  }

  /** A uniform integer in [0, n), n ≤ 2^32 (multiply-shift; the bias is below n / 2^32). */
  int(n: number): number {
    return Math.floor(this.float() * n);
  }

  /** A standard normal number (Box–Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log1p(-this.float()));
    return radius * Math.cos(2 * Math.PI * this.float());
  }

  /** Fills `target` with standard normal numbers, by both of the pairs of Box and Muller: others than `normal` gives. */
  fillNormal(target: Float32Array): void {
    this.fillUniform(target, 0, 1);
    for (let i = 1; i < target.length; i += 2) {
      // float32 has 0 and 1 as well: the radius is at most √(66 ln 2) = 6.8
      const radius = Math.sqrt(-2 * Math.log(Math.max(target[i - 1]!, 2 ** -33)));
      const angle = 2 * Math.PI * target[i]!;
      target[i - 1] = radius * Math.cos(angle);
      target[i] = radius * Math.sin(angle);
    }
    if (target.length % 2 === 1) target[target.length - 1] = this.normal();
  }

  /** A uniform permutation of 0 … n−1 (Fisher–Yates). */
  permutation(n: number): Uint32Array {
    const order = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      const j = this.int(i + 1);
      order[i] = order[j]!;
      order[j] = i;
    }
    return order;
  }
}
