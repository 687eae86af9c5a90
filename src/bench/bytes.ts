import { elementBytes, type Graph, type Node, nodesOf, type Value } from '../compiler/graph/graph.js';
import type { Op } from '../compiler/graph/op.js';
import { sizeOf } from '../util/shape.js';

/** What the nodes of one operator move, each by itself: every input read once, every output written once. */
export interface OperatorBytes {
  readonly operator: Op;
  readonly nodes: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
}

export interface GraphBytes {
  readonly operators: readonly OperatorBytes[];
  readonly totalBytes: number;
  /** What matrix products alone move. */
  readonly productBytes: number;
  /** What all else moves: elementwise work, sums, norms, softmax and copies. */
  readonly otherBytes: number;
}

const products: readonly Op[] = ['Gemm', 'MatMul'];

/**
 * The bytes that each operator of a graph moves between memory and processor where nodes are not fused, the most
 * first. On a card all but the products are as fast as memory is.
 */
export function graphBytes({ outputs }: Graph): GraphBytes {
  const totals = new Map<Op, OperatorBytes>();
  for (const node of nodesOf(outputs.map(({ value }) => value))) {
    const { nodes = 0, readBytes = 0, writtenBytes = 0 } = totals.get(node.op) ?? {};
    totals.set(node.op, {
      operator: node.op,
      nodes: nodes + 1,
      readBytes: readBytes + readBy(node),
      writtenBytes: writtenBytes + writtenBy(node),
    });
  }
  const operators = [...totals.values()].sort((a, b) => bytesOf(b) - bytesOf(a));
  const sum = (list: readonly OperatorBytes[]) => list.reduce((all, each) => all + bytesOf(each), 0);
  const productBytes = sum(operators.filter(({ operator }) => products.includes(operator)));
  const totalBytes = sum(operators);
  return { operators, totalBytes, productBytes, otherBytes: totalBytes - productBytes };
}

function bytesOf({ readBytes, writtenBytes }: OperatorBytes): number {
  return readBytes + writtenBytes;
}

/** A reshape moves nothing; a slice reads what it writes, and so does a gather beside its indices. */
function readBy({ op, inputs, outputs }: Node): number {
  if (op === 'Reshape') return 0;
  if (op === 'Slice') return size(outputs[0]!);
  if (op === 'Gather') return size(outputs[0]!) + size(inputs[1]!);
  if (op === 'Expand') return size(inputs[0]!);
  // x·x reads x once
  return [...new Set(inputs)].reduce((sum, value) => sum + (value === null ? 0 : size(value)), 0);
}

function writtenBy({ op, outputs }: Node): number {
  return op === 'Reshape' ? 0 : outputs.reduce((sum, value) => sum + size(value), 0);
}

function size({ shape, type }: Value): number {
  return sizeOf(shape) * elementBytes[type];
}
