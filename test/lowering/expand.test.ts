import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Graph, input, nodesOf, type Op, type Value } from '../../src/graph/graph.js';
import { add, mul, neg } from '../../src/graph/ops/elementwise.js';
import {
  attentionGrad,
  geluGrad,
  layerNormalizationGrad,
  softmaxGrad,
} from '../../src/graph/ops/gradient.js';
import { attention } from '../../src/graph/ops/normalization.js';
import { isOwnOp, type OwnOp, ownOps } from '../../src/graph/own-ops.js';
import { printGraph } from '../../src/graph/print.js';
import { definitions } from '../../src/lowering/definitions.js';
import { expandDefinitions } from '../../src/lowering/expand.js';
import { rewrite } from '../../src/lowering/rewrite.js';
import { Runtime } from '../../src/runtime/runtime.js';
import '../support/allclose.js';
import { readGoldenJson, readGoldenTensors } from '../support/goldens.js';
import { randomNormal } from '../support/random.js';
import { graphOf, runGraph } from '../support/run-graph.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

const opsOf = (graph: Graph): Op[] => nodesOf(graph.outputs.map(({ value }) => value)).map(({ op }) => op);

const x = input('x', 'float32', [2, 4]);
const dy = input('dy', 'float32', [2, 4]);
const row = input('row', 'float32', [4]);
const statistics = input('statistics', 'float32', [2, 1]);
const heads = input('heads', 'float32', [1, 2, 3, 4]);
const square = input('square', 'float32', [1, 2, 3, 3]);

const uses: { readonly [K in OwnOp]: readonly Value[] } = {
  Attention: [attention(heads, heads, heads, 0.5)],
  AttentionGrad: attentionGrad(heads, heads, heads, heads, heads, square, 0.5),
  GeluGrad: [geluGrad(dy, x)],
  LayerNormalizationGrad: layerNormalizationGrad(dy, x, row, statistics, statistics),
  SoftmaxGrad: [softmaxGrad(dy, x)],
};
const everyInput = [x, dy, row, statistics, heads, square];
const everyUse = graphOf(
  everyInput,
  Object.fromEntries(
    Object.entries(uses).flatMap(([op, values]) => values.map((value, i) => [`${op}_${i}`, value])),
  ),
);

describe('expandDefinitions', () => {
  test('leaves operators of ONNX only', () => {
    expect(new Set(opsOf(everyUse).filter(isOwnOp))).toEqual(new Set(ownOps));
    expect(opsOf(expandDefinitions(everyUse)).filter(isOwnOp)).toEqual([]);
  });

  test('keeps the shape and type of every output', () => {
    const expanded = expandDefinitions(everyUse);
    const types = (graph: Graph) =>
      graph.outputs.map(({ name, value: { type, shape } }) => ({ name, type, shape }));
    expect(types(expanded)).toEqual(types(everyUse));
    expect(expanded.inputs).toEqual(everyUse.inputs);
  });

  test('leaves in place what the device has a kernel for', () => {
    const expanded = expandDefinitions(everyUse, new Set<OwnOp>(['GeluGrad', 'Attention']));
    expect(new Set(opsOf(expanded).filter(isOwnOp))).toEqual(new Set(['GeluGrad', 'Attention']));
  });

  test('returns a new graph and leaves the old one as it was', () => {
    const before = printGraph(everyUse);
    expandDefinitions(everyUse);
    expect(printGraph(everyUse)).toBe(before);
  });

  test('an operator without own operators around it stays the same, in the same order', () => {
    const graph = graphOf([x], { y: neg(mul(x, x)) });
    expect(printGraph(expandDefinitions(graph))).toBe(printGraph(graph));
  });

  test('SoftmaxGrad as printed', () => {
    const graph: Graph = { name: 'g', inputs: [dy, x], outputs: [{ name: 'dx', value: softmaxGrad(dy, x) }] };
    expect(printGraph(expandDefinitions(graph))).toMatchInlineSnapshot(`
      "g(
        dy: float32[2, 4]
        x: float32[2, 4]
      ) {
        Mul_0: float32[2, 4] = Mul(dy, x)
        ReduceSum_1: float32[2, 1] = ReduceSum(Mul_0, [1], keepdims=1)
        Sub_2: float32[2, 4] = Sub(dy, ReduceSum_1)
        dx: float32[2, 4] = Mul(x, Sub_2)
        return dx
      }"
    `);
  });
});

describe('rewrite', () => {
  test('hands replacements on to later nodes and to the outputs', () => {
    const [a, b] = [input('a', 'float32', [2]), input('b', 'float32', [2])];
    const sum = add(a, b);
    const graph: Graph = {
      name: 'g',
      inputs: [a, b],
      outputs: [
        { name: 'sum', value: sum },
        { name: 'twice', value: add(sum, sum) },
      ],
    };
    const products = rewrite(graph, (node, inputs) =>
      node.op === 'Add' ? [mul(inputs[0]!, inputs[1]!)] : undefined,
    );
    expect(printGraph(products)).toMatchInlineSnapshot(`
      "g(
        a: float32[2]
        b: float32[2]
      ) {
        sum: float32[2] = Mul(a, b)
        twice: float32[2] = Mul(sum, sum)
        return sum, twice
      }"
    `);
  });
});

describe('definitions against torch', () => {
  const { cases } = readGoldenJson<{ cases: { name: string; op: string; inputs: string[] }[] }>('rules');
  const golden = readGoldenTensors('rules');
  const of = (op: string) => cases.filter((each) => each.op === op).map(({ name }) => name);
  const inputOf = (name: string) => input(name, 'float32', golden(name).shape);
  const run = async (outputs: readonly Value[], inputs: readonly Value[]) => {
    const graph = graphOf(inputs, Object.fromEntries(outputs.map((value, i) => [String(i), value])));
    const names = inputs.map((value) => (value.source as { name: string }).name);
    return runGraph(runtime, graph, Object.fromEntries(names.map((name) => [name, golden(name).data])));
  };
  const tolerance = { rtol: 2e-6, atol: 2e-6 };

  test.each(of('Gelu'))('GeluGrad: %s', async (name) => {
    const inputs = [`${name}.dy0`, `${name}.input0`].map(inputOf);
    const results = await run(definitions.GeluGrad(inputs, {}), inputs);
    expect(results['0']).toBeAllclose(golden(`${name}.gradient0`).data, tolerance);
  });

  test.each(of('Softmax'))('SoftmaxGrad: %s', async (name) => {
    const inputs = [`${name}.dy0`, `${name}.output0`].map(inputOf);
    const results = await run(definitions.SoftmaxGrad(inputs, {}), inputs);
    expect(results['0']).toBeAllclose(golden(`${name}.gradient0`).data, tolerance);
  });

  test.each(of('LayerNormalization'))('LayerNormalizationGrad: %s', async (name) => {
    const inputs = [
      `${name}.dy0`,
      `${name}.input0`,
      `${name}.input1`,
      `${name}.output1`,
      `${name}.output2`,
    ].map(inputOf);
    const results = await run(definitions.LayerNormalizationGrad(inputs, {}), inputs);
    // the statistics are rounded to float32 here, and 1/σ may be large
    expect(results['0']).toBeAllclose(golden(`${name}.gradient0`).data, { rtol: 1e-5, atol: 1e-5 });
    expect(results['1']).toBeAllclose(golden(`${name}.gradient1`).data, tolerance);
    const hasBias = cases.find((each) => each.name === name)!.inputs.length === 3;
    if (hasBias) expect(results['2']).toBeAllclose(golden(`${name}.gradient2`).data, tolerance);
  });
});

test('Attention is softmax(s·q·kᵀ)·v, counted out by hand', async () => {
  const [batch, count, queries, keys, width] = [2, 2, 3, 5, 4];
  const shapes = [
    [batch, count, queries, width],
    [batch, count, keys, width],
    [batch, count, keys, width],
  ];
  const [q, k, v] = shapes.map((shape, i) => randomNormal(11, shape, i)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const values = ['q', 'k', 'v'].map((name, i) => input(name, 'float64', shapes[i]!));
  // a power of two: ONNX Runtime fuses the scale into the product as a float32
  const scale = 0.25;
  const [output, probabilities] = definitions.Attention(values, { scale });
  const graph = graphOf(values, { output: output!, probabilities: probabilities! });
  const results = await runGraph<Float64Array>(runtime, graph, { q, k, v });

  const expectedOutput: number[] = [];
  const expectedProbabilities: number[] = [];
  for (let head = 0; head < batch * count; head++) {
    for (let i = 0; i < queries; i++) {
      const weights = Array.from({ length: keys }, (_, j) => {
        let score = 0;
        for (let c = 0; c < width; c++)
          score += q[(head * queries + i) * width + c]! * k[(head * keys + j) * width + c]!;
        return Math.exp(scale * score);
      });
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const shares = weights.map((weight) => weight / total);
      expectedProbabilities.push(...shares);
      for (let c = 0; c < width; c++) {
        expectedOutput.push(
          shares.reduce((sum, share, j) => sum + share * v[(head * keys + j) * width + c]!, 0),
        );
      }
    }
  }
  expect(results['output']).toBeAllclose(expectedOutput, { rtol: 1e-12, atol: 1e-12 });
  expect(results['probabilities']).toBeAllclose(expectedProbabilities, { rtol: 1e-12, atol: 1e-12 });
});
