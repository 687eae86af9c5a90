import { sameShape } from '../../../util/shape.js';
import { createNode, formatType, type Value } from '../graph.js';
import type { GemmOptions } from './linalg.js';

export interface FusedGemmOptions extends Omit<GemmOptions, 'c'> {
  /** Added to every row; [N]. */
  bias?: Value | null;
  /** Added to the product; [M, N]. */
  addend?: Value | null;
  /** Round both factors to bfloat16 and sum the products in float32. */
  bfloat16?: boolean;
}

/** [alpha · op(a) · op(b) + bias + addend, GELU of that]. `[M, K] · [K, N] → [M, N]`. */
export function fusedGemm(a: Value, b: Value, options: FusedGemmOptions = {}): readonly Value[] {
  const { transA = false, transB = false, alpha = 1, bias = null, addend = null, bfloat16 = false } = options;
  const shape = [a.shape[transA ? 1 : 0]!, b.shape[transB ? 0 : 1]!];
  if (a.shape[transA ? 0 : 1] !== b.shape[transB ? 1 : 0]) {
    throw new RangeError(
      `FusedGemm: expected two matrices that multiply, got ${formatType(a)} and ${formatType(b)}`,
    );
  }
  if (bias !== null && !sameShape(bias.shape, [shape[1]!])) {
    throw new RangeError(`FusedGemm: expected a bias of [${shape[1]}], got ${formatType(bias)}`);
  }
  if (addend !== null && !sameShape(addend.shape, shape)) {
    throw new RangeError(`FusedGemm: expected an addend of [${shape}], got ${formatType(addend)}`);
  }
  const attributes = {
    transA: Number(transA),
    transB: Number(transB),
    alpha,
    bfloat16: Number(bfloat16),
  };
  const output = { type: a.type, shape };
  return createNode('FusedGemm', [a, b, bias, addend], attributes, [output, output]);
}

/** x summed over every axis but the last, plus the addend. x: […, N]; addend: [N] → [N]. */
export function columnSums(x: Value, addend: Value | null = null): Value {
  const output = { type: x.type, shape: [x.shape.at(-1)!] };
  return createNode('ColumnSums', addend === null ? [x] : [x, addend], {}, [output])[0]!;
}

/** Σ x², a scalar. */
export function sumOfSquares(x: Value): Value {
  return createNode('SumOfSquares', [x], {}, [{ type: x.type, shape: [] }])[0]!;
}
