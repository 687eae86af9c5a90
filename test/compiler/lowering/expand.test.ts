import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Attributes,
  createNode,
  type Graph,
  input,
  nodesOf,
  type Value,
} from '../../../src/compiler/graph/graph.js';
import type { Op } from '../../../src/compiler/graph/op.js';
import { add, mul, neg } from '../../../src/compiler/graph/ops/elementwise.js';
import { columnSums, fusedGemm, sumOfSquares } from '../../../src/compiler/graph/ops/fused.js';
import {
  attentionGrad,
  geluGrad,
  layerNormalizationGrad,
  softmaxGrad,
} from '../../../src/compiler/graph/ops/gradient.js';
import { attention } from '../../../src/compiler/graph/ops/normalization.js';
import { isOwnOp, type OwnOp, ownOps } from '../../../src/compiler/graph/own-ops.js';
import { printGraph } from '../../../src/compiler/graph/print.js';
import { definitions } from '../../../src/compiler/lowering/definitions.js';
import { expandDefinitions } from '../../../src/compiler/lowering/expand.js';
import { rewrite } from '../../../src/compiler/lowering/rewrite.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import '../../support/allclose.js';
import { readGoldenJson, readGoldenTensors } from '../../support/goldens.js';
import { randomNormal } from '../../support/random.js';
import { graphOf, runGraph } from '../../support/run-graph.js';

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
const scalar = input('scalar', 'float32', []);
const square = input('square', 'float32', [2, 2]);
const adamWAttributes = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
const qkv = input('qkv', 'float32', [1, 3, 3, 2, 4]);
const heads = input('heads', 'float32', [1, 3, 2, 4]);
const logSumExp = input('log_sum_exp', 'float32', [1, 2, 3]);

const uses: { readonly [K in OwnOp]: readonly Value[] } = {
  Attention: [attention(qkv, 0.5)],
  AttentionGrad: [attentionGrad(heads, qkv, heads, logSumExp, 0.5)],
  GeluGrad: geluGrad(dy, x),
  LayerNormalizationGrad: layerNormalizationGrad(dy, x, row, row, statistics, statistics, 1e-6),
  SoftmaxGrad: [softmaxGrad(dy, x)],
  AdamW: createNode('AdamW', [x, x, x, x, scalar, scalar, scalar, scalar, scalar], adamWAttributes, [
    x,
    x,
    x,
  ]),
  ColumnSums: [columnSums(x, row)],
  FusedGemm: fusedGemm(x, dy, { transB: true, addend: square }),
  FusedLayerNormalization: createNode('FusedLayerNormalization', [x, row, row], { axis: -1, epsilon: 1e-6 }, [
    x,
    statistics,
    statistics,
  ]),
  SumOfSquares: [sumOfSquares(x)],
};
const everyInput = [x, dy, row, scalar, square, statistics, qkv, heads, logSumExp];
const everyUse = graphOf(
  everyInput,
  Object.fromEntries(
    Object.entries(uses).flatMap(([op, values]) => values.map((value, i) => [`${op}_${i}`, value])),
  ),
);

describe('expandDefinitions', () => {
  test('leaves operators of ONNX only', () => {
    expect(new Set(opsOf(everyUse).filter(isOwnOp))).toEqual(new Set(Object.keys(ownOps)));
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
  const { cases } = readGoldenJson<{
    cases: { name: string; op: string; inputs: string[]; attributes: Attributes }[];
  }>('rules');
  const golden = readGoldenTensors('rules');
  const of = (op: string) => cases.filter((each) => each.op === op).map(({ name }) => name);
  const inputOf = (name: string) => input(name, 'float32', golden(name).shape);
  const run = async (outputs: readonly Value[], used: readonly Value[]) => {
    const inputs = [...new Set(used)];
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
    const { inputs: given, attributes } = cases.find((each) => each.name === name)!;
    const hasBias = given.length === 3;
    const inputs = [
      `${name}.dy0`,
      `${name}.input0`,
      `${name}.input1`,
      `${name}.input${hasBias ? 2 : 1}`,
      `${name}.output1`,
      `${name}.output2`,
    ].map(inputOf);
    if (!hasBias) inputs[3] = inputs[2]!;
    const results = await run(definitions.LayerNormalizationGrad(inputs, attributes), inputs);
    // the statistics are rounded to float32 here, and 1/σ may be large
    expect(results['0']).toBeAllclose(golden(`${name}.gradient0`).data, { rtol: 1e-5, atol: 1e-5 });
    expect(results['1']).toBeAllclose(golden(`${name}.gradient1`).data, tolerance);
    if (hasBias) expect(results['3']).toBeAllclose(golden(`${name}.output0`).data, tolerance);
    if (hasBias) expect(results['2']).toBeAllclose(golden(`${name}.gradient2`).data, tolerance);
  });
});

test('Attention is softmax(s·q·kᵀ)·v, counted out by hand', async () => {
  const [batch, tokens, count, width] = [2, 5, 3, 4];
  const shape = [batch, tokens, 3, count, width];
  const numbers = randomNormal(11, shape, 0);
  const at = (b: number, token: number, part: number, head: number, c: number): number =>
    numbers[(((b * tokens + token) * 3 + part) * count + head) * width + c]!;
  const value = input('qkv', 'float64', shape);
  // a power of two: ONNX Runtime fuses the scale into the product as a float32
  const factor = 0.25;
  const [output, logSumExps] = definitions.Attention([value], { scale: factor });
  const graph = graphOf([value], { output: output!, logSumExp: logSumExps! });
  const results = await runGraph<Float64Array>(runtime, graph, { qkv: numbers });

  const expectedOutput = new Float64Array(batch * tokens * count * width);
  const expectedLogSumExp = new Float64Array(batch * count * tokens);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < count; head++) {
      for (let i = 0; i < tokens; i++) {
        const weights = Array.from({ length: tokens }, (_, j) => {
          let score = 0;
          for (let c = 0; c < width; c++) score += at(b, i, 0, head, c) * at(b, j, 1, head, c);
          return Math.exp(factor * score);
        });
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        expectedLogSumExp[(b * count + head) * tokens + i] = Math.log(total);
        for (let c = 0; c < width; c++) {
          expectedOutput[((b * tokens + i) * count + head) * width + c] =
            weights.reduce((sum, weight, j) => sum + weight * at(b, j, 2, head, c), 0) / total;
        }
      }
    }
  }
  expect(results['output']).toBeAllclose(expectedOutput, { rtol: 1e-12, atol: 1e-12 });
  expect(results['logSumExp']).toBeAllclose(expectedLogSumExp, { rtol: 1e-12, atol: 1e-12 });
});
