import type { RandomStream } from './random.js';

/** A number of the distribution Beta(a, b): X / (X + Y) of Gamma(a) and Gamma(b). By logarithms, as small ones are 0. */
export function beta(random: RandomStream, a: number, b: number): number {
  const x = logGamma(random, a);
  const y = logGamma(random, b);
  return 1 / (1 + Math.exp(y - x));
}

/** The logarithm of a number of Gamma(shape, 1). Below 1, Gamma(a) is Gamma(a + 1) · U^(1/a). */
function logGamma(random: RandomStream, shape: number): number {
  if (shape >= 1) return Math.log(gamma(random, shape));
  return Math.log(gamma(random, shape + 1)) + Math.log1p(-random.float()) / shape;
}

/** Marsaglia and Tsang, "A simple method for generating gamma variables" (2000); for shapes from 1 on. */
function gamma(random: RandomStream, shape: number): number {
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log1p(-random.float()) < x * x * 0.5 + d - d * v + d * Math.log(v)) return d * v;
  }
}
