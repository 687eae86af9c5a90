import type { Attributes, Value } from '../graph/graph.js';
import { add, erf, exp, mul, scale, shift, square, sub } from '../graph/ops/elementwise.js';
import { matMul } from '../graph/ops/linalg.js';
import { transpose } from '../graph/ops/movement.js';
import { softmax } from '../graph/ops/normalization.js';
import { reduceMean, reduceSum } from '../graph/ops/reduction.js';
import type { OwnOp } from '../graph/own-ops.js';

/** The outputs of one of our operators, in operators of ONNX's own domain. */
export type Definition = (inputs: readonly Value[], attributes: Attributes) => readonly Value[];

/** [B, H, T, d] → [B, H, d, T] */
const transposeHead = (x: Value): Value => transpose(x, [0, 1, 3, 2]);

export const definitions: { readonly [K in OwnOp]: Definition } = {
  // y = x·Φ(x);  dx = dy·(Φ(x) + x·φ(x)), Φ(x) = ½(1 + erf(x/√2)), φ(x) = exp(−x²/2)/√2π
  GeluGrad: ([dy, x]) => {
    const z = scale(x!, Math.SQRT1_2);
    const cumulative = shift(scale(erf(z), 0.5), 0.5);
    const density = scale(exp(scale(square(x!), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return [mul(dy!, add(cumulative, mul(x!, density)))];
  },

  // dx = y∘(dy − Σ dy∘y)
  SoftmaxGrad: ([dy, y]) => [mul(y!, sub(dy!, reduceSum(mul(dy!, y!), [-1], true)))],

  // x̂ = (x − mean)·σ⁻¹, g = dy·scale;  dx = σ⁻¹·(g − ⟨g⟩ − x̂·⟨g∘x̂⟩), dscale = Σ dy∘x̂, dbias = Σ dy
  LayerNormalizationGrad: ([dy, x, gamma, mean, invStdDev]) => {
    const rows = x!.shape.slice(0, -1).map((_, axis) => axis);
    const normalized = mul(sub(x!, mean!), invStdDev!);
    const g = mul(dy!, gamma!);
    const projection = mul(normalized, reduceMean(mul(g, normalized), [-1], true));
    const dx = mul(sub(sub(g, reduceMean(g, [-1], true)), projection), invStdDev!);
    return [dx, reduceSum(mul(dy!, normalized), rows), reduceSum(dy!, rows)];
  },

  // P = softmax(s·q·kᵀ), y = P·v
  Attention: ([query, key, value], attributes) => {
    const scores = scale(matMul(query!, transposeHead(key!)), attributes['scale'] as number);
    const probabilities = softmax(scores);
    return [matMul(probabilities, value!), probabilities];
  },

  // dP = dy·vᵀ, dS = P∘(dP − rowsum(dy∘y)): the row sum Σ dP∘P equals Σ dy∘y, over d numbers and not over T
  // (Dao et al., "FlashAttention", 2022, eq. 4);  dv = Pᵀ·dy, dq = s·dS·k, dk = s·dSᵀ·q
  AttentionGrad: ([dy, query, key, value, output, probabilities], attributes) => {
    const s = attributes['scale'] as number;
    const dProbabilities = matMul(dy!, transposeHead(value!));
    const rowSum = reduceSum(mul(dy!, output!), [-1], true);
    const dScores = mul(probabilities!, sub(dProbabilities, rowSum));
    return [
      scale(matMul(dScores, key!), s),
      scale(matMul(transposeHead(dScores), query!), s),
      matMul(transposeHead(probabilities!), dy!),
    ];
  },
};
