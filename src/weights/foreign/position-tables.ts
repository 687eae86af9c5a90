import { initialize } from '../../model/initialize.js';
import type { ParameterSpec } from '../../model/parameters.js';
import { sizeOf } from '../../util/shape.js';

/** The values of a fixed parameter: they follow from the sizes, with no random number in them. */
export function positionTable(spec: ParameterSpec): Float32Array {
  const table = new Float32Array(sizeOf(spec.shape));
  initialize(table, spec, 0, 0);
  return table;
}

/** Rounding of bfloat16 below 1, the table's largest value, is 2^−9. */
const tolerance = 2 ** -8;

/** Whether two tables are the same but for rounding. */
export function isNearly(table: Float32Array, other: Float32Array): boolean {
  return table.length === other.length && table.every((value, i) => Math.abs(value - other[i]!) < tolerance);
}
