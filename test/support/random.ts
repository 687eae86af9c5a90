import { RandomStream } from '../../src/util/random.js';
import { type Shape, sizeOf } from '../../src/util/shape.js';

/** Standard normal numbers; `place` tells tensors of one test apart. */
export function randomNormal(seed: number, shape: Shape, place = 0): Float64Array {
  const random = new RandomStream(seed, 'sample', place);
  return Float64Array.from({ length: sizeOf(shape) }, () => random.normal());
}

export function randomUniform(
  seed: number,
  shape: Shape,
  low: number,
  high: number,
  place = 0,
): Float64Array {
  const random = new RandomStream(seed, 'sample', place);
  return Float64Array.from({ length: sizeOf(shape) }, () => random.uniform(low, high));
}

export function randomBytes(seed: number, length: number): Uint8Array {
  const random = new RandomStream(seed, 'sample');
  return Uint8Array.from({ length }, () => random.int(256));
}

/** A permutation of 0 … patches−1 for each image. */
export function randomShuffle(seed: number, batch: number, patches: number): BigInt64Array {
  const rows = Array.from({ length: batch }, (_, b) => [
    ...new RandomStream(seed, 'mask', b).permutation(patches),
  ]);
  return BigInt64Array.from(rows.flat(), BigInt);
}
