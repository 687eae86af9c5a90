import { constant, scalarLike } from '../graph/constant.js';
import { type Graph, input, type Value } from '../graph/graph.js';
import type { Initializer } from '../graph/initializer.js';
import { add, cast, mul } from '../graph/ops/elementwise.js';
import { dynamicQuantizeLinear, matMulInteger } from '../graph/ops/inference.js';
import { rewrite } from './rewrite.js';

/** What stands for 0 in weights of 8 bits. */
const zeroPoint = 128;

/**
 * The graph with each product x·Wᵀ + b of a weight in 8 bits, as ONNX Runtime's quantize_dynamic makes it: x is quantised
 * by its own range when the model runs, W before, with a scale for each of its rows. The rest stays float32, products of
 * two computed factors, as in attention, too. Returns the weights with it.
 *
 * Weights are uint8 around 128, not int8: processors without VNNI add products of uint8 and int8 up in 16 bits, which
 * overflow. So the numbers are the same everywhere.
 */
export function quantizeWeights(
  graph: Graph,
  weights: readonly Initializer[],
): { graph: Graph; weights: Initializer[] } {
  const kept = new Map(weights.map((weight) => [weight.name, weight]));
  const made = new Map<string, { weights: Initializer[]; inputs: Value[] }>();
  const zero = constant('uint8', [], Uint8Array.of(zeroPoint));
  const quantizedWeight = (name: string): [values: Value, scales: Value] => {
    const found = made.get(name) ?? withInputs(quantizeRows(kept.get(name)!));
    made.set(name, found);
    return found.inputs as [Value, Value];
  };
  const quantized = rewrite(graph, ({ op, attributes }, [x, w, bias]) => {
    if (op !== 'Gemm' || w?.source.kind !== 'input' || attributes['transB'] !== 1) return undefined;
    const [values, scales] = quantizedWeight(w.source.name);
    const { quantized, scale, zeroPoint } = dynamicQuantizeLinear(x!);
    const product = cast(matMulInteger(quantized, values, zeroPoint, zero), 'float32');
    return [add(mul(product, mul(scale, scales)), bias ?? scalarLike(scales, 0))];
  });
  const isRead = ({ source }: Value) => source.kind !== 'input' || !made.has(source.name);
  const all = [...made.values()];
  return {
    graph: { ...quantized, inputs: [...graph.inputs.filter(isRead), ...all.flatMap(({ inputs }) => inputs)] },
    weights: [...weights.filter(({ name }) => !made.has(name)), ...all.flatMap((each) => each.weights)],
  };
}

function withInputs(weights: Initializer[]): { weights: Initializer[]; inputs: Value[] } {
  return { weights, inputs: weights.map(({ name, type, shape }) => input(name, type!, shape)) };
}

/** float32 [N, K] → uint8 [K, N], 128 + w / scale, and float32 [N], the scales: 127 of them are a row's largest number. */
function quantizeRows({ name, shape, data }: Initializer): Initializer[] {
  const [rows, columns] = shape as [number, number];
  const values = new Uint8Array(data.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const numbers = (data as Float32Array).subarray(row * columns, (row + 1) * columns);
    const largest = numbers.reduce((most, number) => Math.max(most, Math.abs(number)), 0);
    scales[row] = largest === 0 ? 1 : largest / 127;
    for (let column = 0; column < columns; column++) {
      values[column * rows + row] = zeroPoint + Math.round(numbers[column]! / scales[row]!);
    }
  }
  return [
    { name: `${name}_quantized`, type: 'uint8', shape: [columns, rows], data: values },
    { name: `${name}_scale`, type: 'float32', shape: [rows], data: scales },
  ];
}
