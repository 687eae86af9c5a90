import { normalizeAxis } from '../../../util/shape.js';
import { intsOf, intVector } from '../constant.js';
import { createNode, type Node, type Value } from '../graph.js';
import type { ReductionOp } from '../op.js';

function reduce(op: ReductionOp, x: Value, axes: readonly number[], keepdims: boolean): Value {
  const reduced = axes.map((axis) => normalizeAxis(axis, x.shape.length, op));
  const shape = x.shape.flatMap((size, axis) => (reduced.includes(axis) ? (keepdims ? [1] : []) : [size]));
  const attributes = { keepdims: Number(keepdims) };
  return createNode(op, [x, intVector(reduced)], attributes, [{ type: x.type, shape }])[0]!;
}

/** Σ over the axes named. */
export function reduceSum(x: Value, axes: readonly number[], keepdims = false): Value {
  return axes.length === 0 ? x : reduce('ReduceSum', x, axes, keepdims);
}

/** The mean over the axes named. */
export function reduceMean(x: Value, axes: readonly number[], keepdims = false): Value {
  return axes.length === 0 ? x : reduce('ReduceMean', x, axes, keepdims);
}

/** Σ x² over the axes named. */
export function reduceSumSquare(x: Value, axes: readonly number[], keepdims = false): Value {
  return reduce('ReduceSumSquare', x, axes, keepdims);
}

/** log Σ eˣ over the axes named. */
export function reduceLogSumExp(x: Value, axes: readonly number[], keepdims = false): Value {
  return reduce('ReduceLogSumExp', x, axes, keepdims);
}

/** A sum over every axis but the last. */
export function isColumnSum({ op, inputs, outputs }: Node): boolean {
  if (op !== 'ReduceSum' || outputs[0]!.type !== 'float32' || outputs[0]!.shape.length !== 1) return false;
  const rank = inputs[0]!.shape.length;
  return rank > 1 && !intsOf(inputs[1]!).includes(rank - 1);
}
