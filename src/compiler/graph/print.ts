import { bfloat16ToFloat32, float16ToFloat32 } from '../../util/half.js';
import { type DType, formatType, type Graph, type Value } from './graph.js';
import { nameValues } from './names.js';

/** A graph as text: one line a node, with types, shapes and small constants. For people and for tests. */
export function printGraph(graph: Graph): string {
  const { nodes, nameOf } = nameValues(graph);
  const show = (value: Value | null): string => {
    if (value === null) return '_';
    return value.source.kind === 'constant' ? printConstant(value) : nameOf(value);
  };
  const inputs = graph.inputs.map((value) => `  ${nameOf(value)}: ${formatType(value)}`);
  const lines = nodes.map((node) => {
    const results = node.outputs.map((value) => `${nameOf(value)}: ${formatType(value)}`).join(', ');
    const attributes = Object.entries(node.attributes).map(
      ([name, value]) => `${name}=${Array.isArray(value) ? `[${value}]` : value}`,
    );
    return `  ${results} = ${node.op}(${[...node.inputs.map(show), ...attributes].join(', ')})`;
  });
  const outputs = graph.outputs.map(({ name, value }) =>
    show(value) === name ? name : `${name}: ${show(value)}`,
  );
  return [`${graph.name}(`, ...inputs, ') {', ...lines, `  return ${outputs.join(', ')}`, '}'].join('\n');
}

function printConstant(value: Value): string {
  const { data } = value.source as { data: ArrayLike<number | bigint> };
  if (data.length > 8) return `<${formatType(value)}>`;
  const numbers = Array.from(decoded(value.type, data), String).join(', ');
  return value.shape.length === 0 ? numbers : `[${numbers}]`;
}

function decoded(type: DType, data: ArrayLike<number | bigint>): ArrayLike<number | bigint> {
  if (type === 'float16') return float16ToFloat32(data as Uint16Array);
  return type === 'bfloat16' ? bfloat16ToFloat32(data as Uint16Array) : data;
}
