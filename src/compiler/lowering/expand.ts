import type { Graph } from '../graph/graph.js';
import { isOwnOp, type OwnOp } from '../graph/own-ops.js';
import { definitions } from './definitions.js';
import { rewrite } from './rewrite.js';

/** The graph with each of our operators that the device has no kernel for replaced by its definition. */
export function expandDefinitions(graph: Graph, kernels: ReadonlySet<OwnOp> = new Set()): Graph {
  return rewrite(graph, (node, inputs) => {
    if (!isOwnOp(node.op) || kernels.has(node.op)) return undefined;
    return definitions[node.op](inputs, node.attributes);
  });
}
