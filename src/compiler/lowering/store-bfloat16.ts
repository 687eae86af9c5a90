import { createNode, type Graph, type Node, nodesOf, type Value } from '../graph/graph.js';
import type { Op } from '../graph/op.js';
import { isOwnOp, ownOps } from '../graph/own-ops.js';
import { rewrite } from './rewrite.js';

const none: readonly number[] = [];
/** The positions where an operator's kernel takes, or gives, bfloat16 too. */
const takenBy = (op: Op) => (isOwnOp(op) ? ownOps[op].takes : none);
const givenBy = (op: Op) => (isOwnOp(op) ? ownOps[op].gives : none);

/**
 * The graph with every value in bfloat16 that only products, attention and the operators between them read: they
 * round it to bfloat16 anyway. The residual stream, norms' inputs and all that leaves the graph stay float32, as
 * under PyTorch's autocast.
 */
export function storeBfloat16(graph: Graph): Graph {
  const nodes = nodesOf(graph.outputs.map(({ value }) => value));
  const stored = storable(graph, nodes);
  return rewrite(graph, ({ op, attributes, outputs }, inputs) => {
    const types = outputs.map((value) => ({
      type: stored.has(value) ? ('bfloat16' as const) : value.type,
      shape: value.shape,
    }));
    return createNode(op, inputs, attributes, types);
  });
}

/** The values to store, with the reshapes of them. */
function storable(graph: Graph, nodes: readonly Node[]): Set<Value> {
  const results = new Set(graph.outputs.map(({ value }) => value));
  const readers = new Map<Value, [Node, number][]>();
  for (const node of nodes) {
    node.inputs.forEach((value, index) => {
      if (value !== null) readers.set(value, [...(readers.get(value) ?? []), [node, index]]);
    });
  }
  const isTaken = (value: Value): boolean =>
    !results.has(value) &&
    (readers.get(value) ?? []).every(([node, index]) =>
      node.op === 'Reshape' ? isTaken(node.outputs[0]!) : takenBy(node.op).includes(index),
    );
  const stored = new Set<Value>();
  for (const node of nodes) {
    if (node.op === 'Reshape' && stored.has(node.inputs[0]!)) stored.add(node.outputs[0]!);
    for (const index of givenBy(node.op)) {
      const value = node.outputs[index]!;
      if (value.type === 'float32' && readers.has(value) && isTaken(value)) stored.add(value);
    }
  }
  return stored;
}
