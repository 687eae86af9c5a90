import { broadcastShapes, type Shape } from '../../../util/shape.js';
import { scalarLike } from '../constant.js';
import { createNode, type DType, formatType, type Value } from '../graph.js';
import type { BinaryOp, UnaryOp } from '../op.js';

function unary(op: UnaryOp, x: Value): Value {
  return createNode(op, [x], {}, [x])[0]!;
}

/** The shape of a broadcast pair; a RangeError that names the operator and both types where they do not fit. */
function broadcast(op: string, a: Value, b: Value): { type: DType; shape: Shape } {
  const shape = broadcastShapes(a.shape, b.shape);
  if (shape === undefined || a.type !== b.type) {
    throw new RangeError(
      `${op}: expected two tensors of one type that broadcast, got ${formatType(a)} and ${formatType(b)}`,
    );
  }
  return { type: a.type, shape };
}

function binary(op: BinaryOp, a: Value, b: Value): Value {
  return createNode(op, [a, b], {}, [broadcast(op, a, b)])[0]!;
}

export const neg = (x: Value): Value => unary('Neg', x);
export const exp = (x: Value): Value => unary('Exp', x);
export const log = (x: Value): Value => unary('Log', x);
export const sqrt = (x: Value): Value => unary('Sqrt', x);
export const reciprocal = (x: Value): Value => unary('Reciprocal', x);
export const erf = (x: Value): Value => unary('Erf', x);
/** x · Φ(x), the exact (erf) form. Opset 20. */
export const gelu = (x: Value): Value => unary('Gelu', x);

/** min(1, max(0, alpha·x + beta)). */
export function hardSigmoid(x: Value, alpha: number, beta: number): Value {
  return createNode('HardSigmoid', [x], { alpha, beta }, [x])[0]!;
}

export const add = (a: Value, b: Value): Value => binary('Add', a, b);
export const sub = (a: Value, b: Value): Value => binary('Sub', a, b);
export const mul = (a: Value, b: Value): Value => binary('Mul', a, b);
export const div = (a: Value, b: Value): Value => binary('Div', a, b);

/** Whether a < b, as bool: false too where one is no number. */
export function less(a: Value, b: Value): Value {
  return createNode('Less', [a, b], {}, [{ ...broadcast('Less', a, b), type: 'bool' }])[0]!;
}

export const square = (x: Value): Value => mul(x, x);
/** x · factor, for a number known when the graph is built. */
export const scale = (x: Value, factor: number): Value => mul(x, scalarLike(x, factor));
/** x + term, for a number known when the graph is built. */
export const shift = (x: Value, term: number): Value => add(x, scalarLike(x, term));

/** x in another type; x itself where it has that type. */
export function cast(x: Value, to: DType): Value {
  if (x.type === to) return x;
  return createNode('Cast', [x], { to }, [{ type: to, shape: x.shape }])[0]!;
}
