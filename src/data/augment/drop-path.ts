import type { RandomStream } from '../../util/random.js';

/**
 * Writes what the residuals of an image are multiplied by (stochastic depth; Huang et al., 2016): [2·depth], of each block
 * that of attention and that of the MLP. A dropped one is 0, and 1 / (1 − p) makes up for it in those that are kept.
 *
 * @param rates p of each block
 */
export function drawDropPath(random: RandomStream, rates: readonly number[], out: Float32Array): void {
  for (let i = 0; i < out.length; i++) {
    const rate = rates[Math.floor(i / 2)]!;
    out[i] = random.float() < rate ? 0 : 1 / (1 - rate);
  }
}
