import { intsOf } from '../graph/constant.js';
import { createNode, type Graph } from '../graph/graph.js';
import type { Opset } from '../graph/op.js';
import { erf, mul, scale, shift } from '../graph/ops/elementwise.js';
import { rewrite } from './rewrite.js';

/**
 * The graph in the operators of an opset. Before 20 there is no Gelu, which is x·½(1 + erf(x/√2)) then; before 18 axes of
 * means are attributes.
 */
export function forOpset(graph: Graph, opset: Opset): Graph {
  if (opset >= 20) return graph;
  return rewrite(graph, ({ op, attributes, outputs }, inputs) => {
    const x = inputs[0]!;
    if (op === 'Gelu') return [mul(x, shift(scale(erf(scale(x, Math.SQRT1_2)), 0.5), 0.5))];
    if (op !== 'ReduceMean') return undefined;
    return createNode(op, [x], { ...attributes, axes: intsOf(inputs[1]!) }, outputs);
  });
}
