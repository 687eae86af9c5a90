import type { Value } from '../compiler/graph/graph.js';
import { mul, neg, sub } from '../compiler/graph/ops/elementwise.js';
import { softmax } from '../compiler/graph/ops/normalization.js';
import { reduceLogSumExp, reduceSum } from '../compiler/graph/ops/reduction.js';

/** −Σ t·log softmax(x) for each image, where the targets of an image add up to 1. [B, C], [B, C] → [B]. */
export function crossEntropies(logits: Value, targets: Value): Value {
  return neg(reduceSum(mul(targets, logSoftmax(logits)), [-1]));
}

/**
 * x − log Σeˣ, of x less m = Σ softmax(x)·x: log Σeˣ⁻ᵐ is softmax's entropy, between 0 and log C, so that nothing overflows
 * where a device adds up eˣ as it is (ONNX Runtime's WebGPU provider), and no digits of the difference are lost. Whatever
 * is taken from all of x, its gradient is 0.
 */
function logSoftmax(x: Value): Value {
  const centred = sub(x, reduceSum(mul(softmax(x), x), [-1], true));
  return sub(centred, reduceLogSumExp(centred, [-1], true));
}
