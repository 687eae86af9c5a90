import { createNode, type Graph, type Node, nodesOf, producerOf, type Value } from '../graph/graph.js';
import { reshape } from '../graph/ops/movement.js';

/** Gradient operators whose last output is the output of the forward operator once more. */
const forwardOf = { GeluGrad: 'Gelu', LayerNormalizationGrad: 'LayerNormalization' } as const;

/**
 * The graph with the outputs of GELU and layer norms made again in the backward pass rather than kept for it: the
 * weight gradients read those that the gradient operators give, and run right after them. `forward` names the
 * values whose computation is the forward pass.
 */
export function recomputeActivations(graph: Graph, forward: readonly Value[]): Graph {
  const forwardNodes = nodesOf(forward);
  const { backward, again } = recomputed(graph, forwardNodes);
  const rewritten = new Map<Value, Value>();
  const waiting = new Map<Value, Node[]>();
  const made = new Set(forwardNodes);

  const create = (first: Node): void => {
    const ready = [first];
    for (let node = ready.pop(); node !== undefined; node = ready.pop()) {
      const inputs = node.inputs.map((value) => (value === null ? null : (again.get(value) ?? value)));
      const missing = inputs.find((value) => value !== null && !isMade(value, made));
      if (missing) {
        waiting.set(missing, [...(waiting.get(missing) ?? []), node]);
        continue;
      }
      const current = inputs.map((value) => (value === null ? null : (rewritten.get(value) ?? value)));
      const outputs = createNode(node.op, current, node.attributes, node.outputs);
      made.add(node);
      node.outputs.forEach((value, index) => {
        rewritten.set(value, outputs[index]!);
        ready.push(...(waiting.get(value) ?? []).reverse());
      });
    }
  };
  for (const node of backward) create(node);
  const outputs = graph.outputs.map(({ name, value }) => ({ name, value: rewritten.get(value) ?? value }));
  return { ...graph, outputs };
}

/** The nodes of the backward pass in order, and what takes the place of values of the forward pass in them. */
function recomputed(graph: Graph, forwardNodes: readonly Node[]) {
  const isForward = new Set(forwardNodes);
  const readers = new Map<Value, Node[]>();
  for (const node of forwardNodes) {
    const first = node.inputs[0];
    if (first) readers.set(first, [...(readers.get(first) ?? []), node]);
  }
  const again = new Map<Value, Value>();
  const backward: Node[] = [];
  for (const node of nodesOf(graph.outputs.map(({ value }) => value))) {
    if (isForward.has(node)) continue;
    backward.push(node);
    if (!(node.op in forwardOf)) continue;
    const op = forwardOf[node.op as keyof typeof forwardOf];
    const kept = readers.get(node.inputs[1]!)?.find((reader) => reader.op === op)?.outputs[0];
    if (kept === undefined) continue;
    const value = node.outputs.at(-1)!;
    again.set(kept, value);
    for (const reader of readers.get(kept) ?? []) {
      if (reader.op !== 'Reshape') continue;
      const rows = reshape(value, reader.outputs[0]!.shape);
      again.set(reader.outputs[0]!, rows);
      backward.push(producerOf(rows)!);
    }
  }
  return { backward, again };
}

function isMade(value: Value, made: ReadonlySet<Node>): boolean {
  const producer = producerOf(value);
  return producer === undefined || made.has(producer);
}
