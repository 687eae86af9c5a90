import { checkModelConfig, type ModelConfig } from '../../model/config.js';
import { initialize } from '../../model/initialize.js';
import { maeParameters } from '../../model/parameters.js';
import { sizeOf } from '../../util/shape.js';
import type { Weights } from './weights.js';

/** The same weights for images of another size: the fixed position tables are computed anew for its patches. */
export function atInputSize(weights: Weights, inputSize: ModelConfig['inputSize'] | undefined): Weights {
  if (inputSize === undefined) return weights;
  const config = { ...weights.config, inputSize };
  checkModelConfig(config, '--input-size');
  const parameters = new Map(weights.parameters);
  maeParameters(config).forEach((spec, index) => {
    if (spec.group !== 'fixed' || !parameters.has(spec.name)) return;
    const table = new Float32Array(sizeOf(spec.shape));
    initialize(table, spec, 0, index);
    parameters.set(spec.name, table);
  });
  return { ...weights, config, parameters };
}
