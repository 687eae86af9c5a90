import { formatShape, sameShape } from '../../util/shape.js';
import { createNode, formatType, type Value } from '../graph.js';

/** `Attention` is ours, with a definition in `lowering/definitions.ts`; the others are ONNX's. */
export type NormalizationOp = 'Softmax' | 'LayerNormalization' | 'Attention';

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
 * softmax(query · keyᵀ · scale) · value for each head. query: [B, H, Tq, d]; key, value: [B, H, Tk, d].
 * The second output, the probabilities [B, H, Tq, Tk], is for the backward pass.
 */
export function attention(query: Value, key: Value, value: Value, scale: number): Value {
  const [batch, heads, , width] = query.shape;
  const expected = [batch!, heads!, key.shape[2]!, width!];
  if (query.shape.length !== 4 || !sameShape(key.shape, expected) || !sameShape(value.shape, expected)) {
    const got = [query, key, value].map(formatType).join(', ');
    throw new RangeError(`Attention: expected query [B, H, Tq, d], key and value [B, H, Tk, d], got ${got}`);
  }
  const probabilities = { type: query.type, shape: query.shape.with(3, key.shape[2]!) };
  return createNode('Attention', [query, key, value], { scale }, [query, probabilities])[0]!;
}
