import { type Graph, nodesOf, type Value } from './graph.js';

/**
 * Throws where a graph could not be written: names given twice, inputs used but not declared, outputs that are
 * no node's result, a node that uses what comes after it. Shapes and types were checked by the builders.
 */
export function checkGraph(graph: Graph): void {
  const declared = new Set<Value>(graph.inputs);
  const names = new Set<string>();
  const claim = (name: string) => {
    if (names.has(name)) throw new Error(`checkGraph: ${graph.name} gives the name ${name} twice`);
    names.add(name);
  };
  for (const value of graph.inputs) {
    if (value.source.kind !== 'input')
      throw new Error(`checkGraph: an input of ${graph.name} is not an input`);
    claim(value.source.name);
  }
  const results = new Set<Value>();
  for (const { name, value } of graph.outputs) {
    claim(name);
    if (value.source.kind !== 'node') throw new Error(`checkGraph: output ${name} is no node's result`);
    if (results.has(value)) throw new Error(`checkGraph: output ${name} is another output too`);
    results.add(value);
  }
  const made = new Set<Value>();
  for (const node of nodesOf([...results])) {
    for (const value of node.inputs) {
      if (value === null || value.source.kind === 'constant') continue;
      if (value.source.kind === 'input' ? !declared.has(value) : !made.has(value)) {
        const what =
          value.source.kind === 'input' ? `undeclared input ${value.source.name}` : 'a later value';
        throw new Error(`checkGraph: ${node.op} of ${graph.name} uses ${what}`);
      }
    }
    for (const value of node.outputs) made.add(value);
  }
}
