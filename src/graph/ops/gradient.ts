import { createNode, type Value } from '../graph.js';

/**
 * Operators of the backward pass, made for one-pass kernels (see `own-ops.ts`). `lowering` replaces them by their
 * definitions where the device has no kernel. They are not differentiable themselves.
 */
export type GradientOp = 'GeluGrad' | 'SoftmaxGrad' | 'LayerNormalizationGrad' | 'AttentionGrad';

/** dx of y = x · Φ(x). */
export function geluGrad(dy: Value, x: Value): Value {
  return createNode('GeluGrad', [dy, x], {}, [x])[0]!;
}

/** dx of y = softmax(x) over the last axis. */
export function softmaxGrad(dy: Value, y: Value): Value {
  return createNode('SoftmaxGrad', [dy, y], {}, [y])[0]!;
}

/** [dx, dscale, dbias] of `LayerNormalization` from its saved statistics. x: […, D]; scale: [D]. */
export function layerNormalizationGrad(
  dy: Value,
  x: Value,
  scale: Value,
  mean: Value,
  invStdDev: Value,
): readonly Value[] {
  return createNode('LayerNormalizationGrad', [dy, x, scale, mean, invStdDev], {}, [x, scale, scale]);
}

/** [dquery, dkey, dvalue] of `Attention` from its two outputs. */
export function attentionGrad(
  dy: Value,
  query: Value,
  key: Value,
  value: Value,
  output: Value,
  probabilities: Value,
  scale: number,
): readonly Value[] {
  const inputs = [dy, query, key, value, output, probabilities];
  return createNode('AttentionGrad', inputs, { scale }, [query, key, value]);
}
