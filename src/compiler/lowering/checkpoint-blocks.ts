import { createNode, type Graph, type Node, nodesOf, producerOf, type Value } from '../graph/graph.js';
import { add } from '../graph/ops/elementwise.js';
import { rewrite } from './rewrite.js';
import { scalarAfter } from './scalar-after.js';

/** A part of the forward pass, from its input to its output. */
export interface Block {
  readonly x: Value;
  readonly y: Value;
}

/**
 * The graph with the values inside each block made again in the backward pass, from the block's input, rather than
 * kept for it (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016). `forward` names the values whose
 * computation is the forward pass.
 *
 * Each copy starts from x + 0·dy₀, where dy is the gradient that arrives at the block: from x itself ONNX Runtime
 * would run it in the forward pass, and would take it for the original, whose results it would keep.
 */
export function checkpointBlocks(graph: Graph, forward: readonly Value[], blocks: readonly Block[]): Graph {
  const isForward = new Set(nodesOf(forward));
  const { inner, blockOf } = insideOf(blocks);
  const again = new Map<Value, Value>();
  const makeAgain = (value: Value): Value => {
    const made = again.get(value);
    if (made !== undefined) return made;
    const node = producerOf(value);
    if (node === undefined || !inner.has(node)) return value;
    const inputs = node.inputs.map((each) => each && makeAgain(each));
    const outputs = createNode(node.op, inputs, node.attributes, node.outputs);
    node.outputs.forEach((each, index) => void again.set(each, outputs[index]!));
    return again.get(value)!;
  };

  return rewrite(graph, (node, inputs) => {
    if (isForward.has(node)) return node.outputs;
    const isGradient = (value: Value | null, index: number) => value !== node.inputs[index];
    const dy = inputs.find(isGradient);
    for (const value of node.inputs) {
      const x = blockOf.get(value)?.x;
      if (x === undefined || again.has(x)) continue;
      if (dy == null) throw new Error(`checkpointBlocks: expected ${node.op} to read a gradient`);
      again.set(x, add(x, scalarAfter(dy, 0)));
    }
    const read = inputs.map((value, index) => (isGradient(value, index) ? value : value && makeAgain(value)));
    return createNode(node.op, read, node.attributes, node.outputs);
  });
}

/**
 * The nodes inside the blocks, and the block of each value that is read or made there. A block's backward pass begins
 * with the first node that reads one of them: the product of dy with its last weight.
 */
function insideOf(blocks: readonly Block[]) {
  const inner = new Set<Node>();
  const blockOf = new Map<Value | null, Block>();
  for (const block of blocks) {
    const outside = new Set([...nodesOf([block.x]), producerOf(block.y)]);
    for (const node of nodesOf([block.y])) {
      if (outside.has(node)) continue;
      inner.add(node);
      for (const value of [...node.inputs, ...node.outputs]) blockOf.set(value, block);
    }
    blockOf.delete(block.x);
  }
  blockOf.delete(null);
  return { inner, blockOf };
}
