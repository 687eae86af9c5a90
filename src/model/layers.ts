import type { Value } from '../compiler/graph/graph.js';
import { add, gelu, mul } from '../compiler/graph/ops/elementwise.js';
import { gemm } from '../compiler/graph/ops/linalg.js';
import { reshape, slice } from '../compiler/graph/ops/movement.js';
import { attention, layerNormalization } from '../compiler/graph/ops/normalization.js';
import { sizeOf } from '../util/shape.js';
import { layerNormEpsilon } from './config.js';

/** Finds a parameter of the model by its published name. */
export type Parameters = (name: string) => Value;

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

/** Tokens from one to before another: [start, end). */
export type TokenRange = readonly [start: number, end: number];

/**
 * Multi-head self-attention with one fused qkv matrix. x: [B, T, D].
 *
 * @param read the tokens that are read afterwards, all where not given: no others pass the projection.
 */
export function selfAttention(
  x: Value,
  p: Parameters,
  name: string,
  heads: number,
  read?: TokenRange,
): Value {
  const [batch, tokens, width] = x.shape as [number, number, number];
  const headWidth = width / heads;
  const qkv = reshape(linear(x, p, `${name}.qkv`), [batch, tokens, 3, heads, headWidth]);
  const y = attention(qkv, 1 / Math.sqrt(headWidth)); // [B, T, H, d]
  return linear(tokensOf(reshape(y, [batch, tokens, width]), read), p, `${name}.proj`);
}

export interface BlockOptions {
  readonly heads: number;
  readonly epsilon?: number;
  /** The tokens that are read afterwards, all where not given: the block gives no others. */
  readonly read?: TokenRange | undefined;
  /** What the residuals of attention and of the MLP are multiplied by, each [B, 1, 1]; by nothing where not given. */
  readonly dropPath?: readonly [attention: Value, mlp: Value] | undefined;
}

/** A pre-norm transformer block. x: [B, T, D] → [B, T, D], or fewer tokens where no more are read. */
export function block(
  x: Value,
  p: Parameters,
  name: string,
  { heads, epsilon = layerNormEpsilon, read, dropPath }: BlockOptions,
): Value {
  const attended = selfAttention(layerNorm(x, p, `${name}.norm1`, epsilon), p, `${name}.attn`, heads, read);
  x = add(tokensOf(x, read), times(attended, dropPath?.[0]));
  const hidden = gelu(linear(layerNorm(x, p, `${name}.norm2`, epsilon), p, `${name}.mlp.fc1`));
  return add(x, times(linear(hidden, p, `${name}.mlp.fc2`), dropPath?.[1]));
}

function times(x: Value, factor: Value | undefined): Value {
  return factor === undefined ? x : mul(x, factor);
}

function tokensOf(x: Value, range: TokenRange | undefined): Value {
  return range === undefined ? x : slice(x, 1, ...range);
}
