import { type Graph, type Node, nodesOf, type Value } from './graph.js';

/** Names for the values of a graph: inputs and outputs keep theirs, the rest are numbered in order of execution. */
export function nameValues(graph: Graph): { nodes: Node[]; nameOf: (value: Value) => string } {
  const nodes = nodesOf(graph.outputs.map(({ value }) => value));
  const names = new Map<Value, string>();
  for (const { name, value } of graph.outputs) {
    if (value.source.kind === 'node') names.set(value, name);
  }
  let counter = 0;
  for (const node of nodes) {
    for (const value of node.outputs) if (!names.has(value)) names.set(value, `${node.op}_${counter++}`);
  }
  const nameOf = (value: Value): string => {
    if (value.source.kind === 'input') return value.source.name;
    const name = names.get(value);
    if (name === undefined) throw new Error('nameValues: a value of another graph');
    return name;
  };
  return { nodes, nameOf };
}
