import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { constant } from '../../../src/compiler/graph/constant.js';
import { type Graph, input, nodesOf } from '../../../src/compiler/graph/graph.js';
import { add, cast } from '../../../src/compiler/graph/ops/elementwise.js';
import { gemm } from '../../../src/compiler/graph/ops/linalg.js';
import { concat, gather, reshape, slice, transpose } from '../../../src/compiler/graph/ops/movement.js';
import { softmax } from '../../../src/compiler/graph/ops/normalization.js';
import { printGraph } from '../../../src/compiler/graph/print.js';
import { expandDefinitions } from '../../../src/compiler/lowering/expand.js';
import { lowerForDevice } from '../../../src/compiler/lowering/for-device.js';
import { lowerGraph } from '../../../src/compiler/lowering/lower.js';
import { maeParameters } from '../../../src/model/parameters.js';
import { cudaDevice } from '../../../src/runtime/cuda/device.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { webgpuDevice } from '../../../src/runtime/webgpu/device.js';
import { trainingGraph } from '../../support/mae-graphs.js';
import '../../support/allclose.js';
import { tinyModel } from '../../support/cli-files.js';
import { randomBytes, randomNormal, randomShuffle } from '../../support/random.js';
import { type Arrays, graphOf, runGraph } from '../../support/run-graph.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

const nothing = { bytes: false, int64: false, inPlace: false, float32Sums: false };

test('softmax of half precision adds up in float32', () => {
  const x = input('x', 'float16', [2, 3]);
  const graph = graphOf([x], { p: softmax(x) });
  expect(lowerForDevice(graph, nothing)).toBe(graph);
  expect(printGraph(lowerForDevice(graph, { ...nothing, float32Sums: true }))).toMatchInlineSnapshot(`
    "test(
      x: float16[2, 3]
    ) {
      Cast_0: float32[2, 3] = Cast(x, to=float32)
      Softmax_1: float32[2, 3] = Softmax(Cast_0, axis=-1)
      Cast_2: float16[2, 3] = Cast(Softmax_1, to=float16)
      p: float16[2, 3] = Mul(Cast_2, 1)
      return p
    }"
  `);
  const wide = graphOf([x], { p: softmax(cast(x, 'float32')) });
  expect(printGraph(lowerForDevice(wide, { ...nothing, float32Sums: true }))).toBe(printGraph(wide));
});

test.each([
  ['CUDA', cudaDevice(0), 'float16'],
  ['WebGPU', webgpuDevice('an adapter', true), 'float32'],
] as const)('%s: softmax in the float16 training graph', (_, { lacks }, type) => {
  const graph = trainingGraph(tinyModel, 2, { kept: 4, normPixLoss: true, accumulate: false });
  const { outputs } = lowerGraph(graph, { graphPrecision: 'fp16', lacks });
  const softmaxes = nodesOf(outputs.map(({ value }) => value)).filter(({ op }) => op === 'Softmax');
  expect(new Set(softmaxes.map(({ outputs: [y] }) => y!.type))).toEqual(new Set([type]));
});

test('bytes become float32 where they enter, and indices int32 where they are read', () => {
  const bytes = input('bytes', 'uint8', [2, 3]);
  const ids = input('ids', 'int64', [4]);
  const first = constant('int64', [1], BigInt64Array.of(0n));
  const rows = concat([first, add(slice(ids, 0, 0, 2), constant('int64', [], BigInt64Array.of(1n)))], 0);
  const y = cast(gather(reshape(transpose(bytes, [1, 0]), [3, 2]), rows), 'float32');
  const graph: Graph = { name: 'g', inputs: [bytes, ids], outputs: [{ name: 'y', value: add(y, y) }] };
  expect(lowerForDevice(graph, nothing)).toBe(graph);
  expect(lowerForDevice(graph, undefined)).toBe(graph);
  expect(printGraph(lowerForDevice(graph, { ...nothing, bytes: true, int64: true }))).toMatchInlineSnapshot(`
    "g(
      bytes: uint8[2, 3]
      ids: int64[4]
    ) {
      Cast_0: float32[4] = Cast(ids, to=float32)
      Slice_1: float32[2] = Slice(Cast_0, [0], [2], [0])
      Add_2: float32[2] = Add(Slice_1, 1)
      Concat_3: float32[3] = Concat([0], Add_2, axis=0)
      Cast_4: float32[2, 3] = Cast(bytes, to=float32)
      Transpose_5: float32[3, 2] = Transpose(Cast_4, perm=[1,0])
      Cast_6: int32[3] = Cast(Concat_3, to=int32)
      Gather_7: float32[3, 2] = Gather(Transpose_5, Cast_6, axis=0)
      y: float32[3, 2] = Add(Gather_7, Gather_7)
      return y
    }"
  `);
});

test('a running gradient is read by an operator of its own', () => {
  const [a, b] = [input('a', 'float32', [2, 3]), input('b', 'float32', [3, 4])];
  const running = input('w_grad.accumulation.buffer', 'float32', [2, 4]);
  const graph: Graph = {
    name: 'g',
    inputs: [a, b, running],
    outputs: [{ name: 'w_grad', value: gemm(a, b, { c: running }) }],
  };
  expect(printGraph(lowerForDevice(graph, { ...nothing, inPlace: true }))).toMatchInlineSnapshot(`
    "g(
      a: float32[2, 3]
      b: float32[3, 4]
      w_grad.accumulation.buffer: float32[2, 4]
      first_micro_batch: float32[]
    ) {
      Cast_0: bool[] = Cast(first_micro_batch, to=bool)
      Where_1: float32[2, 4] = Where(Cast_0, 0, w_grad.accumulation.buffer)
      w_grad: float32[2, 4] = Gemm(a, b, Where_1, transA=0, transB=0, alpha=1)
      return w_grad
    }"
  `);
});

describe('the training graph', () => {
  const batchSize = 2;
  const options = { kept: 4, normPixLoss: true, accumulate: true };
  const portable = expandDefinitions(trainingGraph(tinyModel, batchSize, options));
  const specs = maeParameters(tinyModel);
  const patches = 16;
  const inputs: Arrays = {
    images: randomBytes(1, batchSize * tinyModel.inputSize ** 2 * 3),
    ids_shuffle: randomShuffle(1, batchSize, patches),
    loss_scale: Float32Array.of(0.5),
  };
  specs.forEach(({ name, shape }, i) => {
    inputs[name] = Float32Array.from(randomNormal(i, shape), (value) => 0.1 * value);
  });
  const withRunning = (values: (size: number) => Float32Array): Arrays => ({
    ...inputs,
    ...Object.fromEntries(
      specs.map(({ name }) => [`${name}_grad.accumulation.buffer`, values(inputs[name]!.length)]),
    ),
  });
  const zeros = withRunning((size) => new Float32Array(size));
  const ones = withRunning((size) => new Float32Array(size).fill(1));
  const garbage = withRunning((size) => new Float32Array(size).fill(Number.NaN));

  test('gives the same numbers where a device lacks much', async () => {
    const lowered = lowerForDevice(portable, { ...nothing, bytes: true, int64: true, inPlace: true });
    const run = (graph: Graph, given: Arrays, first?: number) =>
      runGraph(runtime, graph, {
        ...given,
        ...(first !== undefined && { first_micro_batch: Float32Array.of(first) }),
      });
    // what is left over from another step does not count in the first micro-batch, not even NaN
    for (const [given, first, plain] of [
      [garbage, 1, zeros],
      [ones, 0, ones],
    ] as const) {
      const [got, wanted] = [await run(lowered, given, first), await run(portable, plain)];
      for (const [name, values] of Object.entries(wanted))
        expect(got[name], name).toBeAllclose(values, { rtol: 1e-5, atol: 1e-7 });
    }
  });
});
