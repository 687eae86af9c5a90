/** Every operator's value and gradients against torch: `test/goldens/rules`. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gradients } from '../../../src/compiler/autodiff/gradients.js';
import { constant, scalarLike } from '../../../src/compiler/graph/constant.js';
import { type DType, input, type Value } from '../../../src/compiler/graph/graph.js';
import * as elementwise from '../../../src/compiler/graph/ops/elementwise.js';
import { gemm, matMul } from '../../../src/compiler/graph/ops/linalg.js';
import * as movement from '../../../src/compiler/graph/ops/movement.js';
import { layerNormalization, softmax } from '../../../src/compiler/graph/ops/normalization.js';
import { reduceMean, reduceSum } from '../../../src/compiler/graph/ops/reduction.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { type Shape, sizeOf } from '../../../src/util/shape.js';
import '../../support/allclose.js';
import { readGoldenJson, readGoldenTensors } from '../../support/goldens.js';
import { type Arrays, graphOf, runGraph } from '../../support/run-graph.js';

interface RuleCase {
  readonly name: string;
  readonly op: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly inputs: readonly string[];
  readonly inputTypes: readonly DType[];
  readonly inputShapes: readonly Shape[];
  readonly constants: readonly (readonly number[] | null)[];
  readonly outputs: readonly string[];
  readonly dy: readonly (string | null)[];
  readonly gradients: readonly (string | null)[];
}

type Build = (x: readonly Value[], golden: RuleCase) => Value | readonly Value[];

/** The int64 input that ONNX takes as a shape, axes, sizes or pads. */
function ints(golden: RuleCase, index: number): readonly number[] {
  const numbers = golden.constants[index];
  if (numbers === null || numbers === undefined)
    throw new Error(`${golden.name}: input ${index} is no constant`);
  return numbers;
}

/** Throws where a case asks for what our builder does not write. */
function fixed(golden: RuleCase, attribute: string, value: unknown): void {
  if (golden.attributes[attribute] !== value)
    throw new Error(`${golden.name}: expected ${attribute} = ${value}`);
}

const unary =
  (build: (x: Value) => Value): Build =>
  ([x]) =>
    build(x!);
const binary =
  (build: (a: Value, b: Value) => Value): Build =>
  ([a, b]) =>
    build(a!, b!);

const builders: Readonly<Record<string, Build>> = {
  Neg: unary(elementwise.neg),
  Exp: unary(elementwise.exp),
  Log: unary(elementwise.log),
  Sqrt: unary(elementwise.sqrt),
  Reciprocal: unary(elementwise.reciprocal),
  Erf: unary(elementwise.erf),
  Gelu: unary(elementwise.gelu),
  Add: binary(elementwise.add),
  Sub: binary(elementwise.sub),
  Mul: binary(elementwise.mul),
  Div: binary(elementwise.div),
  Cast: ([x], golden) => {
    fixed(golden, 'to', 1);
    return elementwise.cast(x!, 'float32');
  },
  MatMul: binary(matMul),
  Gemm: ([a, b, c], golden) => {
    fixed(golden, 'beta', 1);
    const { transA, transB, alpha } = golden.attributes as Record<string, number>;
    return gemm(a!, b!, { transA: transA === 1, transB: transB === 1, alpha: alpha!, c: c ?? null });
  },
  Reshape: ([x], golden) => movement.reshape(x!, ints(golden, 1)),
  Transpose: ([x], golden) => movement.transpose(x!, golden.attributes['perm'] as number[]),
  // one axis a node: a cut of two axes is two nodes
  Slice: ([x], golden) =>
    ints(golden, 3).reduce(
      (y, axis, i) => movement.slice(y, axis, ints(golden, 1)[i]!, ints(golden, 2)[i]!),
      x!,
    ),
  Concat: (x, golden) => movement.concat(x, golden.attributes['axis'] as number),
  Split: ([x], golden) => movement.split(x!, ints(golden, 1), golden.attributes['axis'] as number),
  Gather: ([x, indices], golden) => {
    fixed(golden, 'axis', 0);
    return movement.gather(x!, indices!);
  },
  // ONNX's Expand broadcasts both ways, ours to the shape given
  Expand: ([x], golden) => {
    const wanted = ints(golden, 1);
    const own = x!.shape.length > wanted.length ? x!.shape : wanted;
    return movement.expand(x!, own);
  },
  Pad: ([x], golden) => {
    const rank = x!.shape.length;
    const pads = ints(golden, 1);
    return x!.shape.reduce((y, _, axis) => movement.pad(y, axis, pads[axis]!, pads[axis + rank]!), x!);
  },
  ReduceSum: ([x], golden) => reduceSum(x!, ints(golden, 1), golden.attributes['keepdims'] === 1),
  ReduceMean: ([x], golden) => reduceMean(x!, ints(golden, 1), golden.attributes['keepdims'] === 1),
  Softmax: ([x], golden) => {
    fixed(golden, 'axis', -1);
    return softmax(x!);
  },
  LayerNormalization: ([x, scale, bias], golden) => {
    fixed(golden, 'axis', -1);
    const none = constant('float32', scale!.shape, new Float32Array(sizeOf(scale!.shape)));
    return layerNormalization(x!, scale!, bias ?? none, golden.attributes['epsilon'] as number);
  },
};

/** Operators of the goldens that our graphs do not have. */
const without: Readonly<Record<string, string>> = {
  Where: 'nothing in the model selects by condition: masks are slices of a shuffled order',
};

const { cases } = readGoldenJson<{ cases: RuleCase[] }>('rules');
const tensors = readGoldenTensors('rules');

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

test('every operator of the goldens is built here or left out for a reason', () => {
  const ops = [...new Set(cases.map(({ op }) => op))].sort();
  expect(ops).toEqual([...Object.keys(builders), ...Object.keys(without)].sort());
  expect(cases.length).toBeGreaterThan(150);
});

const judged = cases.filter(({ op }) => !(op in without)).map((golden) => [golden.name, golden] as const);

describe('against torch', () => {
  test.each(judged)('%s', async (_, golden) => {
    const build = builders[golden.op];
    if (build === undefined) throw new Error(`${golden.name}: no builder for ${golden.op}`);
    const values = golden.inputs.map((name, i) => input(name, golden.inputTypes[i]!, golden.inputShapes[i]!));
    const built = build(values, golden);
    const outputs = Array.isArray(built) ? (built as readonly Value[]) : [built as Value];
    const dys = golden.dy.map((name, i) =>
      name === null ? null : input(name, 'float32', outputs[i]!.shape),
    );
    const differentiated = values.filter((_, i) => golden.gradients[i] !== null);
    const found = gradientsOf(outputs, dys, differentiated);

    const used = values.filter((_, i) => golden.constants[i] === null);
    const graph = graphOf([...used, ...dys.filter((dy) => dy !== null)], {
      ...Object.fromEntries(outputs.map((value, i) => [golden.outputs[i]!, value])),
      ...Object.fromEntries(
        values.flatMap((value, i) => {
          const name = golden.gradients[i];
          if (name === null || name === undefined) return [];
          const gradient = found.get(value);
          if (gradient === undefined) throw new Error(`${golden.name}: no gradient for input ${i}`);
          return [[name, gradient]];
        }),
      ),
    });
    const arrays: Arrays = Object.fromEntries(
      [...golden.inputs, ...golden.dy].flatMap((name) => (name === null ? [] : [[name, tensors(name).data]])),
    );
    const results = await runGraph(runtime, graph, arrays);
    for (const { name, value } of graph.outputs) {
      expect(value.shape, name).toEqual(tensors(name).shape);
      expect(results[name], name).toBeAllclose(tensors(name).data, { rtol: 2e-6, atol: 2e-6 });
    }
    expect(Object.keys(results)).toHaveLength(outputs.length + differentiated.length);
  });
});

/** The gradients of one output under its dy; of several outputs, those of Σ output·dy over the outputs that have one. */
function gradientsOf(
  outputs: readonly Value[],
  dys: readonly (Value | null)[],
  parameters: readonly Value[],
): Map<Value, Value> {
  if (outputs.length === 1) return gradients(outputs[0]!, dys[0]!, parameters);
  const sums = outputs.flatMap((output, i) => {
    const dy = dys[i];
    if (dy === null || dy === undefined) return [];
    return [
      reduceSum(
        elementwise.mul(output, dy),
        output.shape.map((_, axis) => axis),
      ),
    ];
  });
  const total = sums.reduce(elementwise.add);
  return gradients(total, scalarLike(total, 1), parameters);
}
