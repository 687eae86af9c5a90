import { type Graph, type Node, nodesOf } from '../compiler/graph/graph.js';
import { expandDefinitions } from '../compiler/lowering/expand.js';
import type { Task } from '../model/task.js';
import { sizeOf } from '../util/shape.js';
import { trainingGraph } from './graphs.js';

/** Operations in the matrix products of a training step, for one image; what is done again to save memory is not counted. */
export function imageFlops(task: Task): number {
  const batchSize = 2; // what mixes a batch takes a pair
  return matmulFlops(expandDefinitions(trainingGraph(task, { batchSize, accumulate: false }))) / batchSize;
}

/** Floating-point operations of the matrix products of a graph, 2·m·n·k each; what else it does is not counted. */
export function matmulFlops({ outputs }: Graph): number {
  return nodesOf(outputs.map(({ value }) => value)).reduce((sum, node) => sum + flopsOf(node), 0);
}

function flopsOf({ op, inputs, outputs, attributes }: Node): number {
  if (op !== 'Gemm' && op !== 'MatMul') return 0;
  // a: [m, k], or [k, m] where a Gemm transposes it
  const k = inputs[0]!.shape.at(attributes['transA'] === 1 ? -2 : -1)!;
  return 2 * k * sizeOf(outputs[0]!.shape);
}
