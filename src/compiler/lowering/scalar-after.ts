import { sizeOf } from '../../util/shape.js';
import type { Value } from '../graph/graph.js';
import { scale, shift } from '../graph/ops/elementwise.js';
import { reshape, slice } from '../graph/ops/movement.js';

/**
 * A constant that exists only once `dy` does: value + 0·dy₀. ONNX Runtime runs every node as soon as its inputs are
 * there; what a backward pass computes from forward values alone would run in the forward pass and wait in memory.
 */
export function scalarAfter(dy: Value, value: number): Value {
  return shift(scale(firstElement(dy), 0), value);
}

/** x[0, 0, …], a scalar. */
export function firstElement(x: Value): Value {
  return reshape(slice(reshape(x, [sizeOf(x.shape)]), 0, 0, 1), []);
}
