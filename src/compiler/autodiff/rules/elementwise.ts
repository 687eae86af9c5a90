import type { ElementwiseOp } from '../../graph/op.js';
import { cast, div, exp, mul, neg, scale, square } from '../../graph/ops/elementwise.js';
import { geluGrad } from '../../graph/ops/gradient.js';
import type { Rules } from '../rule.js';

export const elementwiseRules: Rules<ElementwiseOp> = {
  // y = −x;  dx = −dy
  Neg: ({ dy }) => [neg(dy)],
  // y = eˣ;  dx = dy·y
  Exp: ({ outputs: [y], dy }) => [mul(dy, y!)],
  // y = log x;  dx = dy / x
  Log: ({ inputs: [x], dy }) => [div(dy, x!)],
  // y = √x;  dx = dy / 2y
  Sqrt: ({ outputs: [y], dy }) => [div(scale(dy, 0.5), y!)],
  // y = 1/x;  dx = −dy·y²
  Reciprocal: ({ outputs: [y], dy }) => [neg(mul(dy, square(y!)))],
  // y = erf(x);  dx = dy · 2/√π · exp(−x²)
  Erf: ({ inputs: [x], dy }) => [mul(dy, scale(exp(neg(square(x!))), 2 / Math.sqrt(Math.PI)))],
  Gelu: ({ inputs: [x], dy }) => [geluGrad(dy, x!)[0]!],
  // y = a + b;  da = db = dy
  Add: ({ dy }) => [dy, dy],
  // y = a − b;  da = dy, db = −dy
  Sub: ({ dy }) => [dy, neg(dy)],
  // y = a·b;  da = dy·b, db = a·dy
  Mul: ({ inputs: [a, b], dy }) => [mul(dy, b!), mul(a!, dy)],
  // y = a/b;  da = dy/b, db = −dy·y/b
  Div: ({ inputs: [, b], outputs: [y], dy }) => [div(dy, b!), div(mul(neg(dy), y!), b!)],
  // between floating-point types the gradient is the gradient in the other type; integers carry none
  Cast: ({ inputs: [x], dy }) => [x!.type.startsWith('float') ? cast(dy, x!.type) : null],
};
