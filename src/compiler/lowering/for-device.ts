import { constant, scalarLike } from '../graph/constant.js';
import { createNode, type DType, type Graph, input, isHalf, type Value } from '../graph/graph.js';
import type { Op } from '../graph/op.js';
import { cast } from '../graph/ops/elementwise.js';
import { where } from '../graph/ops/movement.js';
import { softmax } from '../graph/ops/normalization.js';
import { firstMicroBatchName, isAccumulation } from '../training-names.js';
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
  const entered = new Map<Value, Value>();
  // what nodes make is carried already
  const asFloat = (value: Value): Value => {
    if (value.source.kind === 'constant') return float32Constant(value);
    if (value.source.kind === 'node') return value;
    const float = entered.get(value) ?? cast(value, 'float32');
    entered.set(value, float);
    return float;
  };
  return rewrite(graph, (node, current) => {
    const isCarried = node.outputs[0]!.type === from;
    const inputs = node.inputs.map((value, index) => {
      if (value === null) return null;
      const isData = isCarried && (index === 0 || uniform.has(node.op));
      if (isData || (value.type === from && node.op === 'Cast')) return asFloat(current[index]!);
      if (value.type === from && value.source.kind !== 'constant') {
        checkExact(node.inputs[0]!);
        return cast(asFloat(current[index]!), 'int32');
      }
      return current[index]!;
    });
    if (node.op === 'Cast' && inputs[0]!.type === node.attributes['to']) return [inputs[0]!];
    const types = node.outputs.map(({ type, shape }) => ({ type: type === from ? 'float32' : type, shape }));
    return createNode(node.op, inputs, node.attributes, types);
  });
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
  const running = graph.inputs.filter(({ source }) => source.kind === 'input' && isAccumulation(source.name));
  if (running.length === 0) return graph;
  const first = input(firstMicroBatchName, 'float32', []);
  const isFirst = cast(first, 'bool');
  const copied = new Map<Value, Value>();
  const copyOf = (value: Value): Value => {
    const copy = copied.get(value) ?? where(isFirst, scalarLike(value, 0), value);
    copied.set(value, copy);
    return copy;
  };
  const rewritten = rewrite(graph, ({ op, attributes, outputs }, inputs) => {
    // made next to its reader: operators run in this order
    const read = inputs.map((value) => (value !== null && running.includes(value) ? copyOf(value) : value));
    return createNode(op, read, attributes, outputs);
  });
  return { ...rewritten, inputs: [...graph.inputs, first] };
}
