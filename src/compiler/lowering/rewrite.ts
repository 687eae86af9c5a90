import { createNode, type Graph, type Node, nodesOf, type Value } from '../graph/graph.js';

/** What takes the place of a node: its new outputs, given its new inputs; undefined keeps the node as it is. */
export type Replacement = (
  node: Node,
  inputs: readonly (Value | null)[],
) => readonly (Value | undefined)[] | undefined;

/** The graph with every node offered to `replace`, in order of execution. */
export function rewrite(graph: Graph, replace: Replacement): Graph {
  const rewritten = new Map<Value, Value>();
  const current = (value: Value): Value => rewritten.get(value) ?? value;
  for (const node of nodesOf(graph.outputs.map(({ value }) => value))) {
    const inputs = node.inputs.map((value) => (value === null ? null : current(value)));
    const outputs = replace(node, inputs) ?? createNode(node.op, inputs, node.attributes, node.outputs);
    node.outputs.forEach((value, index) => {
      const replacement = outputs[index];
      if (replacement !== undefined) rewritten.set(value, replacement);
    });
  }
  const outputs = graph.outputs.map(({ name, value }) => ({ name, value: current(value) }));
  return { ...graph, outputs };
}
