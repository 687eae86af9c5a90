import { formatShape, sameShape } from '../../../util/shape.js';
import { createNode, formatType, type Value } from '../graph.js';

/** Softmax over the last axis. */
export function softmax(x: Value): Value {
  return createNode('Softmax', [x], { axis: -1 }, [x])[0]!;
}

/**
 * (x − mean) / √(variance + epsilon) · scale + bias over the last axis (biased variance).
 * x: […, D]; scale, bias: [D]. Mean and InvStdDev ([…, 1]) are kept for the backward pass.
 */
export function layerNormalization(x: Value, scale: Value, bias: Value, epsilon: number): Value {
  const width = [x.shape.at(-1)!];
  if (!sameShape(scale.shape, width) || !sameShape(bias.shape, width)) {
    throw new RangeError(
      `LayerNormalization: expected scale and bias of ${formatShape(width)}, got ${formatType(scale)} and ${formatType(bias)}`,
    );
  }
  const statistics = { type: x.type, shape: x.shape.with(-1, 1) };
  const outputs = [x, statistics, statistics];
  return createNode('LayerNormalization', [x, scale, bias], { axis: -1, epsilon }, outputs)[0]!;
}

/**
 * Self-attention, softmax(q·kᵀ·scale)·v for each head. qkv: [B, T, 3, H, d] → [B, T, H, d].
 * The second output, the logarithm of each softmax's denominator [B, H, T], is for the backward pass.
 */
export function attention(qkv: Value, scale: number): Value {
  const [batch, tokens, three, heads, width] = qkv.shape;
  if (qkv.shape.length !== 5 || three !== 3) {
    throw new RangeError(`Attention: expected qkv [B, T, 3, H, d], got ${formatType(qkv)}`);
  }
  const y = { type: qkv.type, shape: [batch!, tokens!, heads!, width!] };
  const logSumExp = { type: qkv.type, shape: [batch!, heads!, tokens!] };
  return createNode('Attention', [qkv], { scale }, [y, logSumExp])[0]!;
}
