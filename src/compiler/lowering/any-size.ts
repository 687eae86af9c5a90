import { constant, intsOf, intVector, scalarLike } from '../graph/constant.js';
import { createNode, type Graph, type Node, type Value } from '../graph/graph.js';
import { shapeOf } from '../graph/ops/inference.js';
import { concat, gather, slice } from '../graph/ops/movement.js';
import { rewrite } from './rewrite.js';

/** As the end of a slice: that of the axis. */
const end = constant('int64', [1], BigInt64Array.of(2n ** 63n - 1n));

/**
 * The graph of a transformer for any number of images and of tokens: the sizes that it was built with, of which that of the
 * batch is not 1, remain in no reshape and in no slice that ends where its axis does. For graphs that are lowered.
 */
export function forAnySize(graph: Graph): Graph {
  let flattened: Value | undefined; // [B, T, D], which rows were made of
  return rewrite(graph, (node, inputs) => {
    const x = inputs[0]!;
    if (node.op === 'Slice') return [sliceToEnd(node, inputs)];
    if (node.op !== 'Reshape' || intsOf(node.inputs[1]!).includes(0)) return undefined;
    const [before, after] = [node.inputs[0]!.shape, node.outputs[0]!.shape];
    if (before[0] === 1 && before.length === after.length + 1) return [gather(x, scalarLike(int64, 0))];
    if (before.length === 3 && after.length === 2) flattened = x;
    if (before.length === 2 && after.length === 3 && flattened !== undefined) {
      const leading = slice(shapeOf(flattened), 0, 0, 2);
      return reshapeTo(node, x, concat([leading, intVector(after.slice(2))], 0));
    }
    const alike = after.length > 2 && before[0] === after[0] && before[1] === after[1];
    return alike ? reshapeTo(node, x, intVector([0, 0, ...after.slice(2)])) : undefined; // 0: as it is
  });
}

const int64 = { type: 'int64' } as const;

function reshapeTo({ op, outputs }: Node, x: Value, shape: Value): readonly Value[] {
  return createNode(op, [x, shape], {}, outputs);
}

function sliceToEnd({ op, inputs, outputs }: Node, current: readonly (Value | null)[]): Value {
  const [x, start, stop, axis] = inputs as [Value, Value, Value, Value];
  const [at] = (axis.source as { data: BigInt64Array }).data;
  const [last] = (stop.source as { data: BigInt64Array }).data;
  const isWhole = x.shape[Number(at)] === Number(last);
  return createNode(op, [current[0]!, start, isWhole ? end : stop, axis], {}, outputs)[0]!;
}
