/** The kernels, as ONNX Runtime calls them, against their definitions in ONNX's operators. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createNode, type Graph, input, producerOf, type Value } from '../../src/compiler/graph/graph.js';
import { columnSums, fusedGemm, sumOfSquares } from '../../src/compiler/graph/ops/fused.js';
import { attentionGrad, geluGrad, layerNormalizationGrad } from '../../src/compiler/graph/ops/gradient.js';
import { attention, layerNormalization } from '../../src/compiler/graph/ops/normalization.js';
import { kernelOps, type OwnOp } from '../../src/compiler/graph/own-ops.js';
import { encodeModel } from '../../src/compiler/onnx/encode.js';
import { findKernels } from '../../src/runtime/kernels.js';
import { Runtime } from '../../src/runtime/runtime.js';
import type { Shape } from '../../src/util/shape.js';
import { relativeError } from '../support/allclose.js';
import { randomNormal } from '../support/random.js';
import { type Arrays, graphOf, inputName, runGraph, runSession } from '../support/run-graph.js';

const kernels = findKernels();
const skipped = 'reason' in kernels;
if (skipped) console.warn(`the kernels are not tested: ${kernels.reason}`);

interface Case {
  readonly op: OwnOp;
  readonly what: string;
  readonly inputs: Readonly<Record<string, Shape>>;
  readonly build: (x: (name: string) => Value) => readonly Value[];
  /** Largest relative error, in the Frobenius norm. */
  readonly tolerance?: number;
  /** Inputs that hold positive numbers. */
  readonly positive?: readonly string[];
}

const gemmCases: Case[] = [
  [1, 1, 1],
  [7, 5, 3],
  [33, 70, 65],
  [130, 96, 257],
].flatMap(([m, n, k]) =>
  [0, 1, 2, 3].flatMap((bits) => {
    const [transA, transB] = [(bits & 1) === 1, (bits & 2) === 2];
    return [false, true].map(
      (bfloat16): Case => ({
        op: 'FusedGemm',
        what: `${m} × ${n} × ${k}${transA ? ' Aᵀ' : ''}${transB ? ' Bᵀ' : ''}${bfloat16 ? ' bfloat16' : ''}`,
        inputs: {
          a: transA ? [k!, m!] : [m!, k!],
          b: transB ? [n!, k!] : [k!, n!],
          bias: [n!],
          addend: [m!, n!],
        },
        build: (x) =>
          fusedGemm(x('a'), x('b'), {
            transA,
            transB,
            alpha: 0.5,
            bias: x('bias'),
            addend: x('addend'),
            bfloat16,
          }),
        tolerance: bfloat16 ? 5e-3 : 1e-6,
      }),
    );
  }),
);

const geluCases = [false, true].map(
  (bfloat16): Case => ({
    op: 'FusedGemm',
    what: `GELU alone${bfloat16 ? ' bfloat16' : ''}`,
    inputs: { a: [33, 65], b: [65, 70], bias: [70] },
    build: (x) => fusedGemm(x('a'), x('b'), { bias: x('bias'), bfloat16 }).slice(1),
    tolerance: bfloat16 ? 5e-3 : 1e-6,
  }),
);

const attentionCases = [
  [2, 5, 3, 8],
  [1, 50, 2, 64],
  [2, 67, 3, 20],
  [1, 197, 2, 32],
].flatMap(([batch, tokens, heads, width]): Case[] => {
  const qkv = [batch!, tokens!, 3, heads!, width!];
  const y = [batch!, tokens!, heads!, width!];
  const scale = 0.25;
  return [
    {
      op: 'Attention',
      what: `${tokens} tokens, ${heads} heads of ${width}`,
      inputs: { qkv },
      build: (x) => {
        const output = attention(x('qkv'), scale);
        return output.source.kind === 'node' ? output.source.node.outputs : [];
      },
    },
    {
      op: 'AttentionGrad',
      what: `${tokens} tokens, ${heads} heads of ${width}`,
      inputs: { qkv, dy: y },
      build: (x) => {
        const output = attention(x('qkv'), scale);
        const [, logSumExp] = output.source.kind === 'node' ? output.source.node.outputs : [];
        return [attentionGrad(x('dy'), x('qkv'), output, logSumExp!, scale)];
      },
      tolerance: 3e-6,
    },
  ];
});

const rowShapes = [
  [1, 5],
  [3, 7],
  [2, 25, 96],
  [130, 257],
];
const rowCases = rowShapes.flatMap((shape): Case[] => {
  const width = [shape.at(-1)!];
  const statistics = shape.with(-1, 1);
  const norm = { dy: shape, x: shape, scale: width, bias: width };
  const grad = (x: (name: string) => Value, addend?: Value) => {
    const [rows, scale, bias, epsilon] = [x('x'), x('scale'), x('bias'), 1e-3];
    const [, mean, inv] = producerOf(layerNormalization(rows, scale, bias, epsilon))!.outputs;
    return layerNormalizationGrad(x('dy'), rows, scale, bias, mean!, inv!, epsilon, addend);
  };
  const what = `[${shape}]`;
  return [
    { op: 'ColumnSums', what, inputs: { x: shape }, build: (x) => [columnSums(x('x'))] },
    {
      op: 'ColumnSums',
      what: `${what} with an addend`,
      inputs: { x: shape, addend: width },
      build: (x) => [columnSums(x('x'), x('addend'))],
    },
    { op: 'SumOfSquares', what, inputs: { x: shape }, build: (x) => [sumOfSquares(x('x'))] },
    { op: 'GeluGrad', what, inputs: { dy: shape, x: shape }, build: (x) => geluGrad(x('dy'), x('x')) },
    { op: 'LayerNormalizationGrad', what, inputs: norm, build: (x) => grad(x) },
    {
      op: 'LayerNormalizationGrad',
      what: `${what} with an addend`,
      inputs: { ...norm, addend: shape },
      build: (x) => grad(x, x('addend')),
    },
    {
      op: 'FusedLayerNormalization',
      what,
      inputs: { x: shape, scale: width, bias: width },
      build: (x) => {
        const outputs = [
          x('x'),
          { type: 'float32', shape: statistics },
          { type: 'float32', shape: statistics },
        ];
        const inputs = [x('x'), x('scale'), x('bias')];
        const attributes = { axis: -1, epsilon: 1e-3 };
        return createNode('FusedLayerNormalization', inputs, attributes, outputs as Value[]);
      },
    },
  ];
});

const cases = [...gemmCases, ...geluCases, ...attentionCases, ...rowCases];

/** The case's graph, and numbers for its inputs. */
function problemOf({ inputs, build, positive = [] }: Case): { graph: Graph; arrays: Arrays } {
  const values = Object.entries(inputs).map(([name, shape]) => input(name, 'float32', shape));
  const byName = new Map(values.map((value) => [inputName(value), value]));
  const outputs = build((name) => byName.get(name)!);
  const graph = graphOf(values, Object.fromEntries(outputs.map((value, i) => [`y${i}`, value])));
  const arrays = values.map((value, place) => {
    const numbers = Float32Array.from(randomNormal(5, value.shape, place));
    const name = inputName(value);
    return [name, positive.includes(name) ? numbers.map(Math.abs) : numbers];
  });
  return { graph, arrays: Object.fromEntries(arrays) };
}

describe.skipIf(skipped)('kernels against definitions', () => {
  const runtimes: Runtime[] = [];
  beforeAll(() => {
    const kernelsPath = 'path' in kernels ? kernels.path : undefined;
    for (const threads of [1, 2]) runtimes.push(new Runtime({ threads, kernelsPath }));
  });
  afterAll(() => {
    for (const runtime of runtimes) runtime.release();
  });

  test('every kernel has a case', () => {
    expect(new Set([...cases.map(({ op }) => op), 'AdamW'])).toEqual(kernelOps);
  });

  test.each(cases)('$op: $what', async (each) => {
    const { graph, arrays } = problemOf(each);
    const expected = await runGraph(runtimes[0]!, graph, arrays);
    const model = encodeModel(graph);
    const results: Arrays[] = [];
    for (const runtime of runtimes) {
      const session = runtime.createSession(model);
      results.push(await runSession(runtime, session, graph, arrays));
      session.release();
    }
    for (const [name, y] of Object.entries(expected)) {
      const [one, two] = results.map((result) => result[name] as Float32Array);
      expect(relativeError(one!, y), name).toBeLessThan(each.tolerance ?? 1e-6);
      expect(Buffer.from(two!.buffer).equals(Buffer.from(one!.buffer)), `${name}, two threads`).toBe(true);
    }
  });

  test('what does not fit is an error, not a crash', async () => {
    const [a, b] = [input('a', 'float32', [2, 3]), input('b', 'float32', [4, 5])];
    const [y] = createNode('FusedGemm', [a, b], { transA: 0, transB: 0, alpha: 1, bfloat16: 0 }, [
      { type: 'float32', shape: [2, 5] },
    ]);
    const graph = graphOf([a, b], { y: y! });
    const session = runtimes[0]!.createSession(encodeModel(graph));
    const arrays = { a: new Float32Array(6), b: new Float32Array(20) };
    await expect(runSession(runtimes[0]!, session, graph, arrays)).rejects.toThrow(
      'two matrices that multiply',
    );
    session.release();
  });
});
