import { float16Bits } from '../../util/half.js';
import { type Graph, input, nodesOf, type Value } from '../graph/graph.js';
import type { Initializer } from '../graph/initializer.js';
import { rewrite } from './rewrite.js';

/**
 * A graph of `mixedPrecision` with the weights that it reads in float16 alone stored so: half the size. Returns all weights
 * with it. A RangeError where one is too large for float16.
 */
export function storeFloat16(
  graph: Graph,
  weights: readonly Initializer[],
): { graph: Graph; weights: Initializer[] } {
  const others = new Set<Value>(); // read in float32
  for (const { op, attributes, inputs } of nodesOf(graph.outputs.map(({ value }) => value))) {
    if (op === 'Cast' && attributes['to'] === 'float16') continue;
    for (const value of inputs) if (value !== null) others.add(value);
  }
  const byName = new Map(weights.map((weight) => [weight.name, weight]));
  const halves = new Map<Value, Value>();
  for (const value of graph.inputs) {
    const { name } = value.source as { name: string };
    if (!others.has(value) && byName.has(name)) {
      byName.set(name, inFloat16(byName.get(name)!));
      halves.set(value, input(name, 'float16', value.shape));
    }
  }
  const stored = rewrite(graph, ({ op }, [x]) => {
    const half = op === 'Cast' && x != null ? halves.get(x) : undefined;
    return half && [half];
  });
  return {
    graph: { ...stored, inputs: graph.inputs.map((value) => halves.get(value) ?? value) },
    weights: [...byName.values()],
  };
}

function inFloat16({ name, shape, data }: Initializer): Initializer {
  const bits = Uint16Array.from(data as Float32Array, float16Bits);
  const infinite = bits.findIndex((each) => (each & 0x7fff) === 0x7c00);
  if (infinite >= 0) {
    throw new RangeError(`float16: expected numbers up to 65504 in ${name}, got ${data[infinite]}`);
  }
  return { name, type: 'float16', shape, data: bits };
}
