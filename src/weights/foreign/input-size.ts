import { type ModelConfig, withInputSize } from '../../model/config.js';
import { maeParameters } from '../../model/parameters.js';
import { positionTable } from './position-tables.js';
import type { Weights } from './weights.js';

/** The same weights for images of another size: the fixed position tables are computed anew for its patches. */
export function atInputSize(weights: Weights, inputSize: ModelConfig['inputSize'] | undefined): Weights {
  if (inputSize === undefined) return weights;
  const config = withInputSize(weights.config, inputSize);
  const parameters = new Map(weights.parameters);
  for (const spec of maeParameters(config)) {
    if (spec.group !== 'fixed' || !parameters.has(spec.name)) continue;
    parameters.set(spec.name, positionTable(spec));
  }
  return { ...weights, config, parameters };
}
