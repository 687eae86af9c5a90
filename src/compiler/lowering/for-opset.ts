import { intsOf, scalarLike } from '../graph/constant.js';
import { createNode, type Graph, type Value } from '../graph/graph.js';
import type { Opset } from '../graph/op.js';
import { div, erf, mul, scale, shift } from '../graph/ops/elementwise.js';
import { rewrite } from './rewrite.js';

/**
 * The graph in the operators of an opset. Before 20 there is no Gelu, which is ½·x·(1 + erf(x/√2)) then; before 18 axes of
 * means are attributes.
 */
export function forOpset(graph: Graph, opset: Opset): Graph {
  if (opset >= 20) return graph;
  return rewrite(graph, ({ op, attributes, outputs }, inputs) => {
    const x = inputs[0]!;
    if (op === 'Gelu') return [geluByErf(x)];
    if (op !== 'ReduceMean') return undefined;
    return createNode(op, [x], { ...attributes, axes: intsOf(inputs[1]!) }, outputs);
  });
}

/** In the order in which ONNX Runtime finds it and makes one operator of it. */
function geluByErf(x: Value): Value {
  return scale(mul(x, shift(erf(div(x, scalarLike(x, Math.SQRT2))), 1)), 0.5);
}
