import { type DType, type Graph, input, type Value } from '../../src/compiler/graph/graph.js';
import { scale } from '../../src/compiler/graph/ops/elementwise.js';
import { expandDefinitions } from '../../src/compiler/lowering/expand.js';
import { encodeModel } from '../../src/compiler/onnx/encode.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import type { Session } from '../../src/runtime/session.js';
import type { HostArray, Tensor } from '../../src/runtime/tensor.js';
import { type Shape, sizeOf } from '../../src/util/shape.js';

export type Arrays<T extends HostArray = HostArray> = Record<string, T>;

/** Expands our operators, encodes the graph, runs it once; the outputs by name. */
export async function runGraph<T extends HostArray = Float32Array>(
  runtime: Runtime,
  graph: Graph,
  inputs: Arrays,
): Promise<Arrays<T>> {
  const session = runtime.createSession(encodeModel(expandDefinitions(graph)));
  try {
    return (await runSession(runtime, session, graph, inputs)) as Arrays<T>;
  } finally {
    session.release();
  }
}

/** Runs a session made from `graph` once. */
export async function runSession(
  runtime: Runtime,
  session: Session,
  graph: Graph,
  inputs: Arrays,
): Promise<Arrays> {
  const results: Arrays = {};
  const tensors: Tensor[] = [];
  const tensor = (data: HostArray, shape: Shape): Tensor => {
    tensors.push(runtime.tensor(data, shape));
    return tensors.at(-1)!;
  };
  const given = graph.inputs.map((value) => {
    const name = inputName(value);
    const data = inputs[name];
    if (data === undefined) throw new Error(`runGraph: no array for the input ${name}`);
    return [name, tensor(data, value.shape)] as const;
  });
  const wanted = graph.outputs.map(({ name, value }) => {
    results[name] = emptyArray(value.type, sizeOf(value.shape));
    return [name, tensor(results[name], value.shape)] as const;
  });
  const binding = session.bind(Object.fromEntries(given), Object.fromEntries(wanted));
  try {
    await binding.run();
  } finally {
    binding.release();
    for (const each of tensors) each.release();
  }
  return results;
}

/** A graph of the given outputs. Each passes through a multiplication by 1, so it is a node's result of its own. */
export function graphOf(inputs: readonly Value[], outputs: Readonly<Record<string, Value>>): Graph {
  return {
    name: 'test',
    inputs,
    outputs: Object.entries(outputs).map(([name, value]) => ({ name, value: scale(value, 1) })),
  };
}

export function inputName(value: Value): string {
  if (value.source.kind !== 'input') throw new Error('inputName: not an input');
  return value.source.name;
}

/** x0, x1, …: inputs of one type. */
export function inputsOf(type: DType, shapes: readonly Shape[]): Value[] {
  return shapes.map((shape, i) => input(`x${i}`, type, shape));
}

export function emptyArray(type: DType, length: number): HostArray {
  switch (type) {
    case 'float32':
      // NaN where nothing is written
      return new Float32Array(length).fill(Number.NaN);
    case 'float64':
      return new Float64Array(length).fill(Number.NaN);
    case 'int64':
      return new BigInt64Array(length);
    default:
      return new Uint8Array(length);
  }
}
