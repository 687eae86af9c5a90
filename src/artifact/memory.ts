import { elementBytes, type Graph, nodesOf, producerOf, type Value } from '../compiler/graph/graph.js';
import { sizeOf } from '../util/shape.js';

/**
 * The most memory that values between inputs and outputs hold at once when nodes run in order and each value is
 * freed after its last reader, in bytes. ONNX Runtime's own order differs a little; allocators round up.
 */
export function peakActivationBytes(graph: Graph): number {
  const outputs = graph.outputs.map(({ value }) => value);
  const nodes = nodesOf(outputs);
  const bound = new Set(outputs.map(storageOf));
  const lastReader = new Map<Value, number>();
  nodes.forEach((node, index) => {
    for (const value of node.inputs) if (value !== null) lastReader.set(storageOf(value), index);
  });
  const freedAfter: Value[][] = nodes.map(() => []);
  for (const [value, index] of lastReader) freedAfter[index]!.push(value);
  let live = 0;
  let peak = 0;
  const held = new Map<Value, number>();
  nodes.forEach((node, index) => {
    for (const value of node.outputs) {
      if (storageOf(value) !== value || bound.has(value) || !lastReader.has(value)) continue;
      const bytes = sizeOf(value.shape) * elementBytes[value.type];
      held.set(value, bytes);
      live += bytes;
    }
    peak = Math.max(peak, live);
    for (const value of freedAfter[index]!) live -= held.get(value) ?? 0;
  });
  return peak;
}

/** The value whose memory a value shares: a reshape copies nothing. */
function storageOf(value: Value): Value {
  let storage = value;
  for (let node = producerOf(storage); node?.op === 'Reshape'; node = producerOf(storage))
    storage = node.inputs[0]!;
  return storage;
}
