import { broadcastShapes } from '../../../util/shape.js';
import { createNode, formatType, type Value } from '../graph.js';

/** a · b over the last two axes; leading axes broadcast. `[…, M, K] · […, K, N] → […, M, N]`. */
export function matMul(a: Value, b: Value): Value {
  const [m, k] = a.shape.slice(-2);
  const [kb, n] = b.shape.slice(-2);
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const fits = a.shape.length >= 2 && b.shape.length >= 2 && k === kb && a.type === b.type;
  if (!fits || batch === undefined) {
    throw new RangeError(
      `MatMul: expected […, M, K] and […, K, N] of one type, got ${formatType(a)} and ${formatType(b)}`,
    );
  }
  return createNode('MatMul', [a, b], {}, [{ type: a.type, shape: [...batch, m!, n!] }])[0]!;
}

export interface GemmOptions {
  transA?: boolean;
  transB?: boolean;
  alpha?: number;
  /** Added to the product; broadcasts to [M, N]. */
  c?: Value | null;
}

/** alpha · op(a) · op(b) + c, with op the transposition asked for. `[M, K] · [K, N] → [M, N]`. */
export function gemm(
  a: Value,
  b: Value,
  { transA = false, transB = false, alpha = 1, c = null }: GemmOptions = {},
): Value {
  const [m, k] = transA ? [a.shape[1], a.shape[0]] : a.shape;
  const [kb, n] = transB ? [b.shape[1], b.shape[0]] : b.shape;
  if (a.shape.length !== 2 || b.shape.length !== 2 || k !== kb || a.type !== b.type) {
    const t = `transA ${transA}, transB ${transB}`;
    throw new RangeError(
      `Gemm (${t}): expected two matrices that multiply, got ${formatType(a)} and ${formatType(b)}`,
    );
  }
  const shape = [m!, n!];
  if (c !== null && broadcastShapes(c.shape, shape)?.join() !== shape.join()) {
    throw new RangeError(`Gemm: expected c to broadcast to [${shape}], got ${formatType(c)}`);
  }
  const attributes = { transA: Number(transA), transB: Number(transB), alpha };
  return createNode('Gemm', c === null ? [a, b] : [a, b, c], attributes, [{ type: a.type, shape }])[0]!;
}
