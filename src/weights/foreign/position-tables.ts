import { initialize } from '../../model/initialize.js';
import type { ParameterSpec } from '../../model/parameters.js';
import { sizeOf } from '../../util/shape.js';

/** The values of a fixed parameter: they follow from the sizes, with no random number in them. */
export function positionTable(spec: ParameterSpec): Float32Array {
  const table = new Float32Array(sizeOf(spec.shape));
  initialize(table, spec, 0, 0);
  return table;
}
