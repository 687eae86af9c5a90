import { bfloat16ToFloat32, float16ToFloat32 } from '../../util/half.js';
import { type DType, formatType, type Graph, type Node, type Value } from './graph.js';
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
    return `  ${results} = ${printCall(node, show)}`;
  });
  const outputs = graph.outputs.map(({ name, value }) =>
    show(value) === name ? name : `${name}: ${show(value)}`,
  );
  return [`${graph.name}(`, ...inputs, ') {', ...lines, `  return ${outputs.join(', ')}`, '}'].join('\n');
}

/**
 * One node by itself, for errors: its inputs by name or by the operator that makes them, with their types.
 * `Reshape(Gemm: float32[6, 2], [-1, 3, 2]): float32[2, 3, 2]`
 */
export function printNode(node: Node): string {
  const show = (value: Value | null): string => {
    if (value === null) return '_';
    const { source } = value;
    if (source.kind === 'constant') return printConstant(value);
    return `${source.kind === 'input' ? source.name : source.node.op}: ${formatType(value)}`;
  };
  return `${printCall(node, show)}: ${node.outputs.map(formatType).join(', ')}`;
}

function printCall({ op, inputs, attributes }: Node, show: (value: Value | null) => string): string {
  const named = Object.entries(attributes).map(
    ([name, value]) => `${name}=${Array.isArray(value) ? `[${value}]` : value}`,
  );
  return `${op}(${[...inputs.map(show), ...named].join(', ')})`;
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
