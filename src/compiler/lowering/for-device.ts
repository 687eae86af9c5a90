import { constant, scalarLike } from '../graph/constant.js';
import { createNode, type DType, type Graph, input, isHalf, nodesOf, type Value } from '../graph/graph.js';
import type { Op } from '../graph/op.js';
import { cast } from '../graph/ops/elementwise.js';
import { where } from '../graph/ops/movement.js';
import { softmax } from '../graph/ops/normalization.js';
import { rewrite } from './rewrite.js';

/** What the kernels of a device lack that the portable graph asks of them. */
export interface Lacks {
  /** Moving tensors of bytes: Transpose, Slice and Split of uint8. */
  readonly bytes: boolean;
  /** Adding, cutting and joining int64. */
  readonly int64: boolean;
  /** Writing over the memory of an input. */
  readonly inPlace: boolean;
  /** Adding up in float32 what Softmax takes in half precision. */
  readonly float32Sums: boolean;
}

/**
 * An input of the training graph where gradients are accumulated and `inPlace` is lacking: 1 in the first micro-batch of
 * a step, else 0.
 */
export const firstMicroBatchName = 'first_micro_batch';

/** The graph as such a device can run all of it; nothing changes where nothing is lacking. */
export function lowerForDevice(graph: Graph, lacks: Lacks | undefined): Graph {
  if (lacks === undefined) return graph;
  let lowered = graph;
  if (lacks.bytes) lowered = carryAsFloat32(lowered, 'uint8');
  if (lacks.int64) lowered = carryAsFloat32(lowered, 'int64');
  if (lacks.float32Sums) lowered = sumInFloat32(lowered);
  if (lacks.inPlace) lowered = copyBeforeWriting(lowered);
  return lowered;
}

/** Operators of which every input is of the type of the output; of the others, among those met here, only the first. */
const uniform: ReadonlySet<Op> = new Set(['Add', 'Concat', 'Div', 'Mul', 'Sub']);

/**
 * Inputs of a type are cast to float32 where they enter, and all that is made of them is float32, up to the Gather
 * that reads indices.
 */
function carryAsFloat32(graph: Graph, from: DType): Graph {
  const carried = new Map<Value, Value>();
  const asFloat = (value: Value): Value => {
    if (value.source.kind === 'constant') return float32Constant(value);
    if (value.source.kind === 'input' && !carried.has(value)) carried.set(value, cast(value, 'float32'));
    return carried.get(value)!;
  };
  for (const node of nodesOf(graph.outputs.map(({ value }) => value))) {
    const isCarried = node.outputs[0]!.type === from;
    const inputs = node.inputs.map((value, index) => {
      if (value === null) return null;
      const isData = isCarried && (index === 0 || uniform.has(node.op));
      if (isData || (value.type === from && node.op === 'Cast')) return asFloat(value);
      if (value.type === from && value.source.kind !== 'constant') {
        checkExact(node.inputs[0]!);
        return cast(asFloat(value), 'int32');
      }
      return carried.get(value) ?? value;
    });
    if (node.op === 'Cast' && inputs[0]!.type === node.attributes['to']) {
      carried.set(node.outputs[0]!, inputs[0]!);
      continue;
    }
    const types = node.outputs.map(({ type, shape }) => ({ type: type === from ? 'float32' : type, shape }));
    const outputs = createNode(node.op, inputs, node.attributes, types);
    node.outputs.forEach((value, index) => void carried.set(value, outputs[index]!));
  }
  const outputs = graph.outputs.map(({ name, value }) => ({ name, value: carried.get(value) ?? value }));
  return { ...graph, outputs };
}

/** Indices below 2²⁴ are what they were: to there float32 has every whole number. */
function checkExact({ shape }: Value): void {
  if (shape[0]! <= 2 ** 24) return;
  throw new RangeError(`lowerForDevice: expected at most 2^24 rows to gather from, got ${shape[0]}`);
}

function float32Constant(value: Value): Value {
  const { data } = value.source as { data: ArrayLike<number | bigint> };
  return constant('float32', value.shape, Float32Array.from(data, Number));
}

function sumInFloat32(graph: Graph): Graph {
  return rewrite(graph, ({ op }, [x]) => {
    if (op !== 'Softmax' || x == null || !isHalf(x.type)) return undefined;
    return [cast(softmax(cast(x, 'float32')), x.type)];
  });
}

/**
 * Running gradients are read by an operator of their own, whose result is what the sum is made of: the kernel that
 * writes a gradient reads temporaries alone. It reads zeros in the first micro-batch of a step, so nobody has to
 * clear the gradients; a plain copy the runtime would leave out.
 */
function copyBeforeWriting(graph: Graph): Graph {
  const running = graph.inputs.filter(
    ({ source }) => source.kind === 'input' && source.name.endsWith('.accumulation.buffer'),
  );
  if (running.length === 0) return graph;
  const first = input(firstMicroBatchName, 'float32', []);
  const isFirst = cast(first, 'bool');
  const current = new Map<Value, Value>();
  const copies = new Set(running);
  for (const node of nodesOf(graph.outputs.map(({ value }) => value))) {
    const inputs = node.inputs.map((value) => {
      if (value === null) return null;
      // made next to its reader: operators run in this order
      if (copies.has(value) && !current.has(value))
        current.set(value, where(isFirst, scalarLike(value, 0), value));
      return current.get(value) ?? value;
    });
    const outputs = createNode(node.op, inputs, node.attributes, node.outputs);
    node.outputs.forEach((value, index) => void current.set(value, outputs[index]!));
  }
  return {
    ...graph,
    inputs: [...graph.inputs, first],
    outputs: graph.outputs.map(({ name, value }) => ({ name, value: current.get(value) ?? value })),
  };
}
