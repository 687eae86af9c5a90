import type { Value } from '../graph/graph.js';
import { add, gelu } from '../graph/ops/elementwise.js';
import { gemm } from '../graph/ops/linalg.js';
import { reshape } from '../graph/ops/movement.js';
import { attention, layerNormalization } from '../graph/ops/normalization.js';
import { sizeOf } from '../util/shape.js';

/** Finds a parameter of the model by its published name. */
export type Parameters = (name: string) => Value;

/** The epsilon of every layer norm of the published models (timm's ViT). */
export const layerNormEpsilon = 1e-6;

/** x·Wᵀ + b over the last axis. x: […, in]; weight: [out, in]; bias: [out]. */
export function linear(x: Value, p: Parameters, name: string): Value {
  const weight = p(`${name}.weight`);
  const rows = reshape(x, [sizeOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);
  const y = gemm(rows, weight, { transB: true, c: p(`${name}.bias`) });
  return reshape(y, x.shape.with(-1, weight.shape[0]!));
}

export function layerNorm(x: Value, p: Parameters, name: string, epsilon = layerNormEpsilon): Value {
  return layerNormalization(x, p(`${name}.weight`), p(`${name}.bias`), epsilon);
}

/** Multi-head self-attention with one fused qkv matrix. x: [B, T, D]. */
export function selfAttention(x: Value, p: Parameters, name: string, heads: number): Value {
  const [batch, tokens, width] = x.shape as [number, number, number];
  const headWidth = width / heads;
  const qkv = reshape(linear(x, p, `${name}.qkv`), [batch, tokens, 3, heads, headWidth]);
  const y = attention(qkv, 1 / Math.sqrt(headWidth)); // [B, T, H, d]
  return linear(reshape(y, [batch, tokens, width]), p, `${name}.proj`);
}

/** A pre-norm transformer block. x: [B, T, D]. */
export function block(
  x: Value,
  p: Parameters,
  name: string,
  heads: number,
  epsilon = layerNormEpsilon,
): Value {
  x = add(x, selfAttention(layerNorm(x, p, `${name}.norm1`, epsilon), p, `${name}.attn`, heads));
  const hidden = gelu(linear(layerNorm(x, p, `${name}.norm2`, epsilon), p, `${name}.mlp.fc1`));
  return add(x, linear(hidden, p, `${name}.mlp.fc2`));
}
