import { scalarLike } from '../graph/constant.js';
import { type Attributes, isHalf, producerOf, type Value } from '../graph/graph.js';
import {
  add,
  cast,
  div,
  erf,
  exp,
  gelu,
  mul,
  scale,
  shift,
  sqrt,
  square,
  sub,
} from '../graph/ops/elementwise.js';
import { gemm, matMul } from '../graph/ops/linalg.js';
import { concat, reshape, split, transpose } from '../graph/ops/movement.js';
import { layerNormalization, softmax } from '../graph/ops/normalization.js';
import { reduceLogSumExp, reduceMean, reduceSum, reduceSumSquare } from '../graph/ops/reduction.js';
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

/**
 * The same for what the forward pass left, and no earlier than dy is there: the wider copy of it would wait for dy
 * (see `scalarAfter`). x·1 is x.
 */
const float32After = (dy: Value, x: Value): Value =>
  isHalf(x.type) ? cast(mul(x, scalarAfter(dy, 1)), 'float32') : x;

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
  // Of half precision it takes and gives only the ends: a chain of roundings would leave few of bfloat16's 8 bits
  // where Φ is small, and ½ + ½·erf(z) none for z below −2. PyTorch's kernel computes in float32 too.
  GeluGrad: ([dy, x]) => {
    const [g, v] = [float32(dy!), float32After(dy!, x!)];
    const z = mul(v, scalarAfter(g, Math.SQRT1_2));
    const cumulative = shift(scale(erf(z), 0.5), 0.5);
    const density = exp(sub(scalarLike(z, -Math.log(2 * Math.PI) / 2), square(z)));
    const outputs = [mul(g, add(cumulative, mul(v, density))), mul(v, cumulative)];
    return outputs.map((output) => cast(output, x!.type));
  },

  // dx = y∘(dy − Σ dy∘y)
  SoftmaxGrad: ([dy, y]) => [mul(y!, sub(dy!, reduceSum(mul(dy!, y!), [-1], true)))],

  // x̂ = (x − mean)·σ⁻¹, g = dy·γ;  dx = σ⁻¹·(g − ⟨g⟩ − x̂·⟨g∘x̂⟩), dγ = Σ dy∘x̂, dβ = Σ dy, y = x̂·γ + β;
  // g∘x̂ is (dy∘x̂)·γ, whose factor dγ needs as well
  // the addend, if any, is added to dx
  LayerNormalizationGrad: ([dy, x, gamma, beta, mean, invStdDev, addend]) => {
    const rows = x!.shape.slice(0, -1).map((_, axis) => axis);
    const normalized = mul(sub(x!, add(mean!, scalarAfter(dy!, 0))), invStdDev!);
    const g = mul(dy!, gamma!);
    const product = mul(dy!, normalized);
    const projection = mul(normalized, reduceMean(mul(product, gamma!), [-1], true));
    const dx = mul(sub(sub(g, reduceMean(g, [-1], true)), projection), invStdDev!);
    const y = add(mul(normalized, gamma!), beta!);
    return [sum(dx, addend), reduceSum(product, rows), reduceSum(dy!, rows), y];
  },

  // P = softmax(s·q·kᵀ), y = P·v; the softmax is computed in float32. s multiplies q, which is smaller than q·kᵀ: in
  // float16 q·kᵀ alone may pass 65504. Rounded to half precision, s is 1.2e-4 off at most for the published widths.
  Attention: ([qkv], attributes) => {
    const [query, key, value] = headsOf(qkv!);
    const scores = matMul(scale(query, attributes['scale'] as number), transposeHead(key));
    const probabilities = cast(softmax(float32(scores)), value.type);
    return [swapTokensAndHeads(matMul(probabilities, value)), reduceLogSumExp(float32(scores), [-1])];
  },

  // P once more; it is T² numbers a head, the largest thing to keep.  dP = dy·vᵀ, dS = P∘(dP − rowsum(dy∘y)): the
  // row sum Σ dP∘P equals Σ dy∘y, over d numbers and not over T (Dao et al., "FlashAttention", 2022, eq. 4);
  // dv = Pᵀ·dy, dq = s·dS·k, dk = s·dSᵀ·q
  AttentionGrad: ([dy, qkv, output], attributes) => {
    const s = attributes['scale'] as number;
    const [query, key, value] = headsOf(qkv!);
    const scaledQuery = mul(query, scalarAfter(dy!, s));
    const probabilities = softmax(float32(matMul(scaledQuery, transposeHead(key))));
    const dOutput = swapTokensAndHeads(dy!);
    const dProbabilities = float32(matMul(dOutput, transposeHead(value)));
    const terms = mul(float32(dy!), float32After(dy!, output!));
    const rowSum = swapTokensAndHeads(reduceSum(terms, [-1], true));
    const dScores = cast(mul(probabilities, sub(dProbabilities, rowSum)), qkv!.type);
    return [
      joinHeads([
        scale(matMul(dScores, key), s),
        matMul(transposeHead(dScores), scaledQuery),
        matMul(transposeHead(cast(probabilities, qkv!.type)), dOutput),
      ]),
    ];
  },
};
