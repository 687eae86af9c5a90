import {
  broadcastShapes,
  formatShape,
  normalizeAxis,
  type Shape,
  sameShape,
  sizeOf,
} from '../../../util/shape.js';
import { intVector, scalarLike } from '../constant.js';
import { createNode, type DType, formatType, type Value } from '../graph.js';
import type { MovementOp } from '../op.js';

function one(
  op: MovementOp,
  inputs: Value[],
  attributes: Record<string, number | readonly number[]>,
  type: DType,
  shape: Shape,
): Value {
  return createNode(op, inputs, attributes, [{ type, shape }])[0]!;
}

/**
 * The same numbers in another shape. The leading size is written as −1, so a graph whose batch leads every
 * reshaped tensor also runs with another batch size (the exported encoder).
 */
export function reshape(x: Value, shape: Shape): Value {
  if (sizeOf(x.shape) !== sizeOf(shape)) {
    throw new RangeError(`Reshape: expected ${sizeOf(x.shape)} elements, got ${formatShape(shape)}`);
  }
  if (sameShape(x.shape, shape)) return x;
  const written = shape.length === 0 ? [] : [-1, ...shape.slice(1)];
  return one('Reshape', [x, intVector(written)], {}, x.type, shape);
}

/** Axes in the order of `perm`: axis i of the result is axis perm[i] of x. */
export function transpose(x: Value, perm: readonly number[]): Value {
  const valid = perm.length === x.shape.length && [...perm].sort((a, b) => a - b).every((p, i) => p === i);
  if (!valid)
    throw new RangeError(`Transpose: expected a permutation of the axes of ${formatType(x)}, got [${perm}]`);
  return one(
    'Transpose',
    [x],
    { perm },
    x.type,
    perm.map((axis) => x.shape[axis]!),
  );
}

/** x[start:end] along one axis. */
export function slice(x: Value, axis: number, start: number, end: number): Value {
  axis = normalizeAxis(axis, x.shape.length, 'Slice');
  if (!(0 <= start && start < end && end <= x.shape[axis]!)) {
    throw new RangeError(`Slice: expected 0 ≤ start < end ≤ ${x.shape[axis]}, got ${start} and ${end}`);
  }
  const inputs = [x, intVector([start]), intVector([end]), intVector([axis])];
  return one('Slice', inputs, {}, x.type, x.shape.with(axis, end - start));
}

/** Tensors joined along one axis. */
export function concat(values: readonly Value[], axis: number): Value {
  const first = values[0]!;
  axis = normalizeAxis(axis, first.shape.length, 'Concat');
  const total = values.reduce((sum, value) => sum + value.shape[axis]!, 0);
  for (const value of values) {
    if (value.type !== first.type || !sameShape(value.shape.with(axis, 0), first.shape.with(axis, 0))) {
      throw new RangeError(
        `Concat: expected shapes that differ in axis ${axis} only, got ${values.map(formatType).join(', ')}`,
      );
    }
  }
  return one('Concat', [...values], { axis }, first.type, first.shape.with(axis, total));
}

/** x cut along one axis into parts of the given sizes. */
export function split(x: Value, sizes: readonly number[], axis: number): readonly Value[] {
  axis = normalizeAxis(axis, x.shape.length, 'Split');
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total !== x.shape[axis]) {
    throw new RangeError(
      `Split: expected sizes that sum to ${x.shape[axis]}, the size of axis ${axis}, got ${total}`,
    );
  }
  const outputs = sizes.map((size) => ({ type: x.type, shape: x.shape.with(axis, size) }));
  return createNode('Split', [x, intVector(sizes)], { axis }, outputs);
}

/** Rows of x picked by int64 indices: result[i…, …] = x[indices[i…], …]. */
export function gather(x: Value, indices: Value): Value {
  if (indices.type !== 'int64')
    throw new TypeError(`Gather: expected int64 indices, got ${formatType(indices)}`);
  return one('Gather', [x, indices], { axis: 0 }, x.type, [...indices.shape, ...x.shape.slice(1)]);
}

/** x repeated along its axes of size 1 to fill `shape`. */
export function expand(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  const result = broadcastShapes(x.shape, shape);
  if (result === undefined || !sameShape(result, shape)) {
    throw new RangeError(
      `Expand: expected a tensor that broadcasts to ${formatShape(shape)}, got ${formatType(x)}`,
    );
  }
  return one('Expand', [x, intVector(shape)], {}, x.type, shape);
}

/** x with `before` and `after` zeros around it along one axis. */
export function pad(x: Value, axis: number, before: number, after: number): Value {
  axis = normalizeAxis(axis, x.shape.length, 'Pad');
  const pads = x.shape.map(() => 0);
  const inputs = [x, intVector([...pads.with(axis, before), ...pads.with(axis, after)])];
  return one('Pad', inputs, {}, x.type, x.shape.with(axis, before + x.shape[axis]! + after));
}

/** x where the condition holds, y elsewhere. condition: bool; all three broadcast. */
export function where(condition: Value, x: Value, y: Value): Value {
  const both = broadcastShapes(x.shape, y.shape);
  const shape = both && broadcastShapes(condition.shape, both);
  if (condition.type !== 'bool' || x.type !== y.type || shape === undefined) {
    throw new RangeError(
      `Where: expected a bool and two tensors of one type that broadcast, got ${[condition, x, y].map(formatType).join(', ')}`,
    );
  }
  return one('Where', [condition, x, y], {}, x.type, shape);
}

/** A tensor of zeros, as a broadcast scalar. */
export function zeros(type: DType, shape: Shape): Value {
  return expand(
    reshape(
      scalarLike({ type }, 0),
      shape.map(() => 1),
    ),
    shape,
  );
}

/** Zeros of `shape` with updates[i…] added to row indices[i…]; rows named more than once add up. */
export function scatterAdd(shape: Shape, indices: Value, updates: Value): Value {
  const rows = reshape(indices, [...indices.shape, 1]);
  const inputs = [zeros(updates.type, shape), rows, updates];
  return createNode('ScatterND', inputs, { reduction: 'add' }, [{ type: updates.type, shape }])[0]!;
}
