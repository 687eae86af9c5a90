import { sizeOf } from '../../util/shape.js';
import type { Value } from '../graph/graph.js';
import { scale, shift } from '../graph/ops/elementwise.js';
import { reshape, slice } from '../graph/ops/movement.js';

/**
 * A constant that exists only once `dy` does: value + 0·dy₀. ONNX Runtime runs every node as soon as its inputs are
 * there; what a backward pass computes from forward values alone would run in the forward pass and wait in memory.
 */
export function scalarAfter(dy: Value, value: number): Value {
  const first = reshape(slice(reshape(dy, [sizeOf(dy.shape)]), 0, 0, 1), []);
  return shift(scale(first, 0), value);
}
