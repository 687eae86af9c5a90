import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Graph, input, nodesOf } from '../../../src/compiler/graph/graph.js';
import { add, gelu } from '../../../src/compiler/graph/ops/elementwise.js';
import { gemm } from '../../../src/compiler/graph/ops/linalg.js';
import { reshape } from '../../../src/compiler/graph/ops/movement.js';
import { reduceSum } from '../../../src/compiler/graph/ops/reduction.js';
import { printGraph } from '../../../src/compiler/graph/print.js';
import { fuseForKernels } from '../../../src/compiler/lowering/fuse.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { relativeError } from '../../support/allclose.js';
import { readMaeGolden } from '../../support/mae-golden.js';
import { trainingGraph } from '../../support/mae-graphs.js';
import { runGraph } from '../../support/run-graph.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

const x = input('x', 'float32', [2, 3, 4]);
const weight = input('weight', 'float32', [5, 4]);
const bias = input('bias', 'float32', [5]);
const residual = input('residual', 'float32', [2, 3, 5]);
const linear = () => reshape(gemm(reshape(x, [6, 4]), weight, { transB: true, c: bias }), [2, 3, 5]);
const fusedOps = (graph: Graph) =>
  nodesOf(fuseForKernels(graph, { bfloat16: false }).outputs.map(({ value }) => value))
    .map(({ op }) => op)
    .filter((op) => op !== 'Reshape');

test('a product takes up its bias and the residual', () => {
  const graph: Graph = {
    name: 'g',
    inputs: [x, weight, bias, residual],
    outputs: [{ name: 'y', value: add(residual, linear()) }],
  };
  expect(printGraph(fuseForKernels(graph, { bfloat16: true }))).toMatchInlineSnapshot(`
    "g(
      x: float32[2, 3, 4]
      weight: float32[5, 4]
      bias: float32[5]
      residual: float32[2, 3, 5]
    ) {
      Reshape_0: float32[6, 4] = Reshape(x, [-1, 4])
      Reshape_1: float32[6, 5] = Reshape(residual, [-1, 5])
      FusedGemm_2: float32[6, 5], FusedGemm_3: float32[6, 5] = FusedGemm(Reshape_0, weight, bias, Reshape_1, transA=0, transB=1, alpha=1, bfloat16=1)
      y: float32[2, 3, 5] = Reshape(FusedGemm_2, [-1, 3, 5])
      return y
    }"
  `);
});

test('a product gives its GELU, and itself where the backward pass reads it', () => {
  const hidden = linear();
  const graph: Graph = {
    name: 'g',
    inputs: [x, weight, bias],
    outputs: [
      { name: 'y', value: gelu(hidden) },
      { name: 'hidden', value: hidden },
    ],
  };
  expect(fusedOps(graph)).toEqual(['FusedGemm']);
});

test('an addition that is broadcast, or whose term is read twice, stays', () => {
  const row = input('row', 'float32', [1, 3, 5]);
  const y = linear();
  const outputs = [
    { name: 'broadcast', value: add(row, linear()) },
    { name: 'twice', value: add(residual, y) },
    { name: 'again', value: gelu(y) },
  ];
  const ops = fusedOps({ name: 'g', inputs: [x, weight, bias, residual, row], outputs });
  expect(ops).toEqual(['FusedGemm', 'FusedGemm', 'Add', 'Add']);
});

test('sums over rows are one operator, other sums stay', () => {
  const outputs = [
    { name: 'columns', value: reduceSum(x, [0, 1]) },
    { name: 'rows', value: reduceSum(x, [2]) },
  ];
  expect(fusedOps({ name: 'g', inputs: [x], outputs })).toEqual(['ColumnSums', 'ReduceSum']);
});

test.each([false, true])('the training graph computes the same, accumulating: %s', async (accumulate) => {
  const { config, batch, inputs, images, normPixLoss } = readMaeGolden('mae-small');
  const graph = trainingGraph(config, batch, { kept: 4, normPixLoss, accumulate });
  const fused = fuseForKernels(graph, { bfloat16: false });
  const left = new Set(nodesOf(fused.outputs.map(({ value }) => value)).map(({ op }) => op));
  for (const op of ['Gemm', 'Gelu', 'LayerNormalization'] as const) expect(left).not.toContain(op);

  const given = {
    ...inputs,
    images,
    loss_scale: Float32Array.of(1),
    ...Object.fromEntries(
      graph.inputs.flatMap((value) => {
        const { name } = value.source as { name: string };
        const size = value.shape.reduce((a, b) => a * b, 1);
        return name.endsWith('.buffer') ? [[name, new Float32Array(size).fill(0.01)]] : [];
      }),
    ),
  };
  const [plain, other] = [await runGraph(runtime, graph, given), await runGraph(runtime, fused, given)];
  for (const [name, expected] of Object.entries(plain)) {
    expect(relativeError(other[name]!, expected), name).toBeLessThan(2e-6);
  }
});
