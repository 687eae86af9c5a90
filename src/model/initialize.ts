import { RandomStream } from '../util/random.js';
import { sizeOf } from '../util/shape.js';
import { type ModelConfig, patchGrid } from './config.js';
import type { ParameterSpec } from './parameters.js';
import { sinCosPositions } from './positions.js';

/**
 * Fills a parameter as the paper does: xavier-uniform matrices, tokens from N(0, 0.02²), layer norms 1 and 0,
 * fixed positions. A pure function of (seed, index), where `index` is the parameter's place in the model.
 */
export function initialize(
  target: Float32Array,
  spec: ParameterSpec,
  config: ModelConfig,
  seed: number,
  index: number,
): void {
  const { initialization, shape } = spec;
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
    case 'uniform':
      fillUniform(target, random, initialization.bound);
      return;
    case 'xavier-uniform': {
      // U(−a, a), a = √(6 / (fan in + fan out)), over the matrix [out, in] (Glorot & Bengio, 2010)
      const fanOut = shape[0]!;
      const fanIn = sizeOf(shape.slice(1));
      fillUniform(target, random, Math.sqrt(6 / (fanIn + fanOut)));
      return;
    }
    case 'sin-cos-positions': {
      const { rows, columns } = patchGrid(config);
      target.set(sinCosPositions(rows, columns, shape.at(-1)!));
      return;
    }
  }
}

function fillUniform(target: Float32Array, random: RandomStream, bound: number): void {
  for (let i = 0; i < target.length; i++) target[i] = random.uniform(-bound, bound);
}
