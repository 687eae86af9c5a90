import { scalarLike } from '../graph/constant.js';
import { type Attributes, type HalfType, isHalf, producerOf, type Value } from '../graph/graph.js';
import {
  add,
  cast,
  div,
  erf,
  exp,
  gelu,
  hardSigmoid,
  mul,
  scale,
  shift,
  sqrt,
  square,
  sub,
} from '../graph/ops/elementwise.js';
import { gemm, matMul } from '../graph/ops/linalg.js';
import { concat, expand, reshape, split, transpose } from '../graph/ops/movement.js';
import { layerNormalization, softmax } from '../graph/ops/normalization.js';
import { reduceLogSumExp, reduceSum, reduceSumSquare } from '../graph/ops/reduction.js';
import type { OwnOp } from '../graph/own-ops.js';
import { scalarAfter } from './scalar-after.js';

/** The outputs of one of our operators, in operators of ONNX's own domain. */
export type Definition = (
  inputs: readonly (Value | null | undefined)[],
  attributes: Attributes,
) => readonly Value[];

/** [B, H, T, d] → [B, H, d, T] */
const transposeHead = (x: Value): Value => transpose(x, [0, 1, 3, 2]);

/** [B, T, H, d] ↔ [B, H, T, d] */
const swapTokensAndHeads = (x: Value): Value => transpose(x, [0, 2, 1, 3]);

/** [B, T, 3, H, d] → query, key, value [B, H, T, d] */
function headsOf(qkv: Value): [Value, Value, Value] {
  const [batch, tokens, , heads, width] = qkv.shape as [number, number, number, number, number];
  const parts = split(transpose(qkv, [2, 0, 3, 1, 4]), [1, 1, 1], 0);
  return parts.map((part) => reshape(part, [batch, heads, tokens, width])) as [Value, Value, Value];
}

/** The inverse of `headsOf`. */
function joinHeads(parts: readonly Value[]): Value {
  const stacked = parts.map((part) => reshape(part, [1, ...part.shape]));
  return transpose(concat(stacked, 0), [1, 3, 0, 2, 4]);
}

/** x in float32 where it is of half precision. */
const float32 = (x: Value): Value => (isHalf(x.type) ? cast(x, 'float32') : x);

/** What the forward pass left, no earlier than dy is there: a copy of it would wait for dy. x·1 is x. */
const after = (dy: Value, x: Value): Value => mul(x, scalarAfter(dy, 1));

/**
 * a·bᵀ − rows, rows one number a row of a. Of half precision the product takes the subtraction up, as columns of a
 * beside those of −1 of b: sums inside are float32, what is left is rounded once, and nothing passes over T² numbers.
 * Eight columns keep rows of a and b aligned.
 */
function productMinus(a: Value, b: Value, rows: Value): Value {
  if (!isHalf(a.type)) return sub(matMul(a, transposeHead(b)), rows);
  const parts = splitFloat32(rows, a.type);
  const zeros = expand(scalarLike(a, 0), a.shape.with(-1, 8 - parts.length));
  const minus = expand(scalarAfter(a, -1), b.shape.with(-1, 8));
  return matMul(concat([a, ...parts, zeros], -1), transposeHead(concat([b, minus], -1)));
}

/**
 * A float32 tensor as the sum of two of half precision (Dekker, "A floating-point technique for extending the available
 * precision", 1971). A cast there and back would be optimized away.
 */
function splitFloat32(x: Value, half: HalfType): Value[] {
  const product = scale(x, half === 'bfloat16' ? 2 ** 16 + 1 : 2 ** 13 + 1);
  const high = sub(product, sub(product, x));
  return [cast(high, half), cast(sub(x, high), half)];
}

function sum(...terms: readonly (Value | null | undefined)[]): Value {
  return terms.filter((term) => term !== null && term !== undefined).reduce((a, b) => add(a, b));
}

export const definitions: { readonly [K in OwnOp]: Definition } = {
  // m ← β₁m + share₁·g, v ← β₂v + share₂·g², p ← decay·p − step·m / (√v·scale + ε): see optim/adamw.ts
  AdamW: ([param, grad, m, v, decay, step, vScale, mShare, vShare], { beta1, beta2, epsilon }) => {
    const nextM = add(mul(grad!, mShare!), scale(m!, beta1 as number));
    const nextV = add(mul(square(grad!), vShare!), scale(v!, beta2 as number));
    const denominator = shift(mul(sqrt(nextV), vScale!), epsilon as number);
    return [sub(mul(param!, decay!), mul(div(nextM, denominator), step!)), nextM, nextV];
  },

  ColumnSums: ([x, addend]) => {
    const rows = x!.shape.slice(0, -1).map((_, axis) => axis);
    return [sum(reduceSum(x!, rows), addend)];
  },

  // c = α·op(a)·op(b) + bias + addend, GELU(c); the rounding to bfloat16 is the kernel's alone
  FusedGemm: ([a, b, bias, addend], { transA, transB, alpha }) => {
    const options = { transA: transA === 1, transB: transB === 1, alpha: alpha as number };
    const c = sum(gemm(a!, b!, { ...options, c: bias ?? null }), addend);
    return [c, gelu(c)];
  },

  FusedLayerNormalization: ([x, gamma, beta], { epsilon }) => {
    const node = producerOf(layerNormalization(x!, gamma!, beta!, epsilon as number))!;
    return node.outputs;
  },

  // each row by itself first, which keeps float32 sums short
  SumOfSquares: ([x]) => {
    const rows = x!.shape.length > 1 ? reduceSumSquare(x!, [-1]) : x!;
    const axes = rows.shape.map((_, axis) => axis);
    return [rows === x ? reduceSumSquare(rows, axes) : reduceSum(rows, axes)];
  },

  // y = x·Φ(x);  dx = dy·(Φ(x) + x·φ(x)), Φ(x) = ½(1 + erf(z)), φ(x) = exp(−z²)/√2π = exp(−½ln 2π − z²), z = x/√2:
  // one pass over memory instead of two for the sign and the factor.
  // For half precision the slope is computed in float16, of which half as much moves as of float32: it is between −0.13
  // and 1.13, and a few roundings of 2⁻¹² are little beside the one of dx in bfloat16. dy may be too small for float16.
  GeluGrad: ([dy, x]) => {
    const half = isHalf(x!.type);
    const given = half ? after(dy!, x!) : x!;
    const v = half ? cast(given, 'float16') : given;
    const z = half ? scale(v, Math.SQRT1_2) : mul(v, scalarAfter(dy!, Math.SQRT1_2));
    const cumulative = hardSigmoid(erf(z), 0.5, 0.5);
    const density = exp(sub(scalarLike(z, -Math.log(2 * Math.PI) / 2), square(z)));
    const slope = add(cumulative, mul(v, density));
    return [mul(dy!, cast(slope, dy!.type)), half ? gelu(given) : mul(v, cumulative)];
  },

  // dx = y∘(dy − Σ dy∘y)
  SoftmaxGrad: ([dy, y]) => [mul(y!, sub(dy!, reduceSum(mul(dy!, y!), [-1], true)))],

  // x̂ = (x − mean)·σ⁻¹, g = dy·γ;  dx = σ⁻¹·(g − ⟨g⟩ − x̂·⟨g∘x̂⟩), dγ = Σ dy∘x̂, dβ = Σ dy, y = x̂·γ + β.
  // The means are products with γ/D: ⟨g⟩ = dy·γ/D, ⟨g∘x̂⟩ = (dy∘x̂)·γ/D, of what dx and dγ need as well. The forward
  // operator makes x̂ and y in one pass each.
  // The addend, if any, is added to dx.
  LayerNormalizationGrad: ([dy, x, gamma, beta, , invStdDev, addend], attributes) => {
    const width = x!.shape.at(-1)!;
    const rows = x!.shape.slice(0, -1).map((_, axis) => axis);
    const epsilon = attributes['epsilon'] as number;
    const [ones, zeros] = [1, 0].map((value) => expand(scalarAfter(dy!, value), [width])) as [Value, Value];
    const normalized = layerNormalization(x!, ones, zeros, epsilon);
    const y = layerNormalization(x!, gamma!, add(beta!, zeros), epsilon);
    const share = reshape(scale(gamma!, 1 / width), [width, 1]);
    const product = mul(dy!, normalized);
    const projection = mul(normalized, matMul(product, share));
    const dx = mul(sub(sub(mul(dy!, gamma!), matMul(dy!, share)), projection), invStdDev!);
    return [sum(dx, addend), reduceSum(product, rows), reduceSum(dy!, rows), y];
  },

  // P = softmax(s·q·kᵀ), y = P·v; the softmax computes in float32 inside, whatever it takes and gives. s multiplies q,
  // which is smaller than q·kᵀ: in float16 q·kᵀ alone may pass 65504. Rounded to half precision, s is 1.2e-4 off at
  // most for the published widths.
  Attention: ([qkv], attributes) => {
    const [query, key, value] = headsOf(qkv!);
    const scores = matMul(scale(query, attributes['scale'] as number), transposeHead(key));
    return [swapTokensAndHeads(matMul(softmax(scores), value)), reduceLogSumExp(float32(scores), [-1])];
  },

  // P once more; it is T² numbers a head, the largest thing to keep.  dP = dy·vᵀ, dS = P∘(dP − rowsum(dy∘y)): the
  // row sum Σ dP∘P equals Σ dy∘y, over d numbers and not over T (Dao et al., "FlashAttention", 2022, eq. 4);
  // dv = Pᵀ·dy, dq = s·dS·k, dk = s·dSᵀ·q
  AttentionGrad: ([dy, qkv, output], attributes) => {
    const s = attributes['scale'] as number;
    const [query, key, value] = headsOf(qkv!);
    const scaledQuery = mul(query, scalarAfter(dy!, s));
    const probabilities = softmax(matMul(scaledQuery, transposeHead(key)));
    const dOutput = swapTokensAndHeads(dy!);
    const terms = mul(float32(dy!), float32(isHalf(output!.type) ? after(dy!, output!) : output!));
    const rowSum = swapTokensAndHeads(reduceSum(terms, [-1], true));
    const dScores = mul(probabilities, productMinus(dOutput, value, rowSum));
    return [
      joinHeads([
        scale(matMul(dScores, key), s),
        matMul(transposeHead(dScores), scaledQuery),
        matMul(transposeHead(probabilities), dOutput),
      ]),
    ];
  },
};
