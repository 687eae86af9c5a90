import { RandomStream } from '../util/random.js';
import { sizeOf } from '../util/shape.js';
import type { ParameterSpec } from './parameters.js';
import { sinCosPositions } from './positions.js';

function truncatedNormal(random: RandomStream, deviation: number): number {
  for (;;) {
    const value = deviation * random.normal();
    if (Math.abs(value) <= 2) return value;
  }
}

/**
 * Fills a parameter as the paper does: xavier-uniform matrices, tokens from N(0, 0.02²), layer norms 1 and 0,
 * fixed positions. A pure function of (seed, index), where `index` is the parameter's place in the model.
 */
export function initialize(
  target: Float32Array,
  { initialization, shape }: Pick<ParameterSpec, 'initialization' | 'shape'>,
  seed: number,
  index: number,
): void {
  const random = new RandomStream(seed, 'init', index);
  switch (initialization.kind) {
    case 'zeros':
      target.fill(0);
      return;
    case 'ones':
      target.fill(1);
      return;
    case 'normal':
      for (let i = 0; i < target.length; i++) target[i] = initialization.deviation * random.normal();
      return;
    // N(0, deviation²) between −2 and 2, as timm's trunc_normal_: 2 is no multiple of the deviation
    case 'truncated-normal':
      for (let i = 0; i < target.length; i++) target[i] = truncatedNormal(random, initialization.deviation);
      return;
    case 'uniform':
      random.fillUniform(target, -initialization.bound, initialization.bound);
      return;
    case 'xavier-uniform': {
      // U(−a, a), a = √(6 / (fan in + fan out)), over the matrix [out, in] (Glorot & Bengio, 2010)
      const fanOut = shape[0]!;
      const fanIn = sizeOf(shape.slice(1));
      const bound = Math.sqrt(6 / (fanIn + fanOut));
      random.fillUniform(target, -bound, bound);
      return;
    }
    case 'sin-cos-positions': {
      const { rows, columns } = initialization;
      target.set(sinCosPositions(rows, columns, shape.at(-1)!));
      return;
    }
  }
}
