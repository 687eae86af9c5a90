import ort from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { input } from '../../../src/compiler/graph/graph.js';
import { gemm } from '../../../src/compiler/graph/ops/linalg.js';
import { printGraph } from '../../../src/compiler/graph/print.js';
import { quantizeWeights } from '../../../src/compiler/lowering/quantize.js';
import { encodeModel } from '../../../src/compiler/onnx/encode.js';
import '../../support/allclose.js';

const [x, w, b] = [input('x', 'float32', [2, 3]), input('w', 'float32', [2, 3]), input('b', 'float32', [2])];
const graph = {
  name: 'linear',
  inputs: [x, w, b],
  outputs: [{ name: 'y', value: gemm(x, w, { transB: true, c: b }) }],
};
// the largest of a row is 127 steps; a row of zeros is none
const weights = [
  { name: 'w', shape: [2, 3], data: Float32Array.of(-2.54, 1.27, 0.02, 0, 0, 0) },
  { name: 'b', shape: [2], data: Float32Array.of(10, -10) },
];

test('a product with a weight becomes one of bytes', () => {
  const { graph: quantized, weights: stored } = quantizeWeights(graph, weights);
  expect(
    stored.map(({ name, type, shape, data }) => [name, type, shape, [...(data as Float32Array)]]),
  ).toEqual([
    ['b', undefined, [2], [10, -10]],
    ['w_quantized', 'uint8', [3, 2], [1, 128, 192, 128, 129, 128]],
    ['w_scale', 'float32', [2], [Math.fround(Math.fround(2.54) / 127), 1]],
  ]);
  expect(printGraph(quantized)).toMatch(
    /DynamicQuantizeLinear[\s\S]*MatMulInteger[\s\S]*Cast[\s\S]*Mul[\s\S]*Add/,
  );
});

test('it gives the product of what was rounded', async () => {
  const { graph: quantized, weights: initializers } = quantizeWeights(graph, weights);
  const session = await ort.InferenceSession.create(encodeModel(quantized, { initializers, opset: 17 }));
  expect(session.inputNames).toEqual(['x']);
  // 0 to 255 in steps of 1: nothing of x is rounded
  const given = new ort.Tensor('float32', Float32Array.of(0, 255, 100, 1, 2, 3), [2, 3]);
  const { y } = await session.run({ x: given });
  const step = 2.54 / 127;
  const row = [-127 * step, 64 * step, 1 * step]; // 63.5 steps, rounded up
  const product = (a: number[]) => a.reduce((sum, value, i) => sum + value * row[i]!, 0);
  expect(y!.data as Float32Array).toBeAllclose(
    [10 + product([0, 255, 100]), -10, 10 + product([1, 2, 3]), -10],
    {
      rtol: 1e-5,
      atol: 1e-5,
    },
  );
});
