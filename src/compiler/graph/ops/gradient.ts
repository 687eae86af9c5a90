import { createNode, type Value } from '../graph.js';

/** [dx, y] of y = x · Φ(x): y once more, so that it need not be kept from the forward pass. */
export function geluGrad(dy: Value, x: Value): readonly Value[] {
  return createNode('GeluGrad', [dy, x], {}, [x, x]);
}

/** dx of y = softmax(x) over the last axis. */
export function softmaxGrad(dy: Value, y: Value): Value {
  return createNode('SoftmaxGrad', [dy, y], {}, [y])[0]!;
}

/**
 * [dx + addend, dscale, dbias, y] of y = `LayerNormalization` from its saved statistics; y once more, as in
 * `geluGrad`. x, addend: […, D]; scale, bias: [D].
 */
export function layerNormalizationGrad(
  dy: Value,
  x: Value,
  scale: Value,
  bias: Value,
  mean: Value,
  invStdDev: Value,
  epsilon: number,
  addend: Value | null = null,
): readonly Value[] {
  const inputs = [dy, x, scale, bias, mean, invStdDev, ...(addend === null ? [] : [addend])];
  return createNode('LayerNormalizationGrad', inputs, { epsilon }, [x, scale, bias, x]);
}

/** dqkv of `Attention` from its two outputs. */
export function attentionGrad(dy: Value, qkv: Value, output: Value, logSumExp: Value, scale: number): Value {
  return createNode('AttentionGrad', [dy, qkv, output, logSumExp], { scale }, [qkv])[0]!;
}
