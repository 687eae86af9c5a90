import { RandomStream } from '../util/random.js';

/** The `epoch` of masks that never change: validation draws the mask of picture i from (seed, this, i). */
export const fixedMaskEpoch = 2 ** 32 - 1;

/**
 * Writes `ids_shuffle` of one picture: a uniform permutation of its `out.length` patches. The first ones are kept,
 * the rest removed. `position` counts pictures in the epoch's order.
 */
export function randomPermutation(out: BigInt64Array, seed: number, epoch: number, position: number): void {
  const permutation = new RandomStream(seed, 'mask', epoch, position).permutation(out.length);
  for (let i = 0; i < out.length; i++) out[i] = BigInt(permutation[i]!);
}
