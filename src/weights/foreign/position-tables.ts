import type { ModelConfig } from '../../model/config.js';
import { initialize } from '../../model/initialize.js';
import type { ParameterSpec } from '../../model/parameters.js';
import { sizeOf } from '../../util/shape.js';

/** The values of a fixed parameter: they follow from the sizes, with no random number in them. */
export function positionTable(spec: ParameterSpec, config: ModelConfig): Float32Array {
  const table = new Float32Array(sizeOf(spec.shape));
  initialize(table, spec, config, 0, 0);
  return table;
}
