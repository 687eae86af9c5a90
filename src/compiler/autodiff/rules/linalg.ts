import type { Value } from '../../graph/graph.js';
import type { LinalgOp } from '../../graph/op.js';
import { gemm, matMul } from '../../graph/ops/linalg.js';
import { transpose } from '../../graph/ops/movement.js';
import type { Rules } from '../rule.js';

/** […, M, N] → […, N, M] */
function swapLastTwo(x: Value): Value {
  const axes = x.shape.map((_, axis) => axis);
  const [m, n] = axes.splice(-2);
  return transpose(x, [...axes, n!, m!]);
}

export const linalgRules: Rules<LinalgOp> = {
  // y = a·b;  da = dy·bᵀ, db = aᵀ·dy
  MatMul: ({ inputs: [a, b], dy }) => [matMul(dy, swapLastTwo(b!)), matMul(swapLastTwo(a!), dy)],
  // y = α·op(a)·op(b) + c;  d op(a) = α·dy·op(b)ᵀ, d op(b) = α·op(a)ᵀ·dy, dc = dy
  Gemm: ({ inputs: [a, b, c], attributes, dy }) => {
    const transA = attributes['transA'] === 1;
    const transB = attributes['transB'] === 1;
    const alpha = attributes['alpha'] as number;
    const da = transA
      ? gemm(b!, dy, { transA: transB, transB: true, alpha })
      : gemm(dy, b!, { transB: !transB, alpha });
    const db = transB
      ? gemm(dy, a!, { transA: true, transB: transA, alpha })
      : gemm(a!, dy, { transA: !transA, alpha });
    return c === undefined ? [da, db] : [da, db, dy];
  },
};
