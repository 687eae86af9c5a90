import { afterAll, beforeAll, expect, test } from 'vitest';
import { gradients } from '../../src/compiler/autodiff/gradients.js';
import { scalarLike } from '../../src/compiler/graph/constant.js';
import { type Graph, input } from '../../src/compiler/graph/graph.js';
import { exp, log } from '../../src/compiler/graph/ops/elementwise.js';
import { reduceSum } from '../../src/compiler/graph/ops/reduction.js';
import { rewrite } from '../../src/compiler/lowering/rewrite.js';
import { crossEntropies } from '../../src/model/cross-entropy.js';
import { Runtime } from '../../src/runtime/runtime.js';
import '../support/allclose.js';
import { graphOf, runGraph } from '../support/run-graph.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

const logits = [
  [5000, 4000, -5000, 4999, 0], // eˣ overflows
  [-5000, -4999, -6000, -5001, -5000], // eˣ is 0 for all
  [100_000, 1, 2, 3, 4],
  [0.5, -0.25, 2, 0, 1],
].map((row) => row.map(Math.fround));
const targets = [
  [0.25, 0, 0, 0.75, 0],
  [0, 0, 1, 0, 0],
  [0, 1, 0, 0, 0],
  [0.1, 0.2, 0.3, 0.2, 0.2],
].map((row) => row.map(Math.fround));

/** In float64. */
function softmaxOf(row: readonly number[]): { logs: number[]; shares: number[] } {
  const most = Math.max(...row);
  const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0));
  const logs = row.map((x) => x - most - total);
  return { logs, shares: logs.map(Math.exp) };
}

/** As ONNX Runtime's WebGPU provider computes it. */
const summingAsItIs = (graph: Graph): Graph =>
  rewrite(graph, ({ op, outputs, attributes }, [x]) =>
    op === 'ReduceLogSumExp'
      ? [log(reduceSum(exp(x!), [-1], attributes['keepdims'] === 1 || outputs[0]!.shape.length === 2))]
      : undefined,
  );

test.each([
  ['as the CPU adds up', (graph: Graph) => graph],
  ['where a device adds up eˣ as it is', summingAsItIs],
])('logits far from 0: loss and gradient, %s', async (_, changed) => {
  const [x, t] = [input('x', 'float32', [4, 5]), input('t', 'float32', [4, 5])];
  const losses = crossEntropies(x, t);
  const total = reduceSum(losses, [0]);
  const dx = gradients(total, scalarLike(total, 1), [x]).get(x)!;
  const graph = graphOf([x, t], { losses, dx });
  const results = await runGraph(runtime, changed(graph), {
    x: Float32Array.from(logits.flat()),
    t: Float32Array.from(targets.flat()),
  });
  const wanted = logits.map(softmaxOf);
  const lossOf = ({ logs }: { logs: number[] }, row: number) =>
    -logs.reduce((sum, each, i) => sum + each * targets[row]![i]!, 0);
  expect(results['losses']!).toBeAllclose(wanted.map(lossOf), { rtol: 1e-6, atol: 1e-6 });
  const gradient = wanted.flatMap(({ shares }, row) => shares.map((share, i) => share - targets[row]![i]!));
  expect(results['dx']!).toBeAllclose(gradient, { rtol: 1e-5, atol: 1e-6 });
});
