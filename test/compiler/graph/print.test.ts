import { expect, test } from 'vitest';
import { constant } from '../../../src/compiler/graph/constant.js';
import { type Graph, input } from '../../../src/compiler/graph/graph.js';
import { add, cast, mul, shift } from '../../../src/compiler/graph/ops/elementwise.js';
import { gemm } from '../../../src/compiler/graph/ops/linalg.js';
import { gather, slice, split, transpose } from '../../../src/compiler/graph/ops/movement.js';
import { attention, layerNormalization } from '../../../src/compiler/graph/ops/normalization.js';
import { reduceMean } from '../../../src/compiler/graph/ops/reduction.js';
import { printGraph } from '../../../src/compiler/graph/print.js';

function rows(): Graph {
  const pixels = input('pixels', 'uint8', [6, 4]);
  const ids = input('ids', 'int64', [3]);
  const weight = input('weight', 'float32', [2, 4]);
  const picked = cast(gather(pixels, ids), 'float32');
  const y = gemm(shift(picked, -0.5), weight, { transB: true, alpha: 2 });
  return {
    name: 'rows',
    inputs: [pixels, ids, weight],
    outputs: [
      { name: 'y', value: y },
      { name: 'mean', value: reduceMean(y, [0, 1]) },
    ],
  };
}

test('a graph prints inputs, one line a node with types, attributes and constants, and outputs', () => {
  expect(printGraph(rows())).toMatchInlineSnapshot(`
    "rows(
      pixels: uint8[6, 4]
      ids: int64[3]
      weight: float32[2, 4]
    ) {
      Gather_0: uint8[3, 4] = Gather(pixels, ids, axis=0)
      Cast_1: float32[3, 4] = Cast(Gather_0, to=float32)
      Add_2: float32[3, 4] = Add(Cast_1, -0.5)
      y: float32[3, 2] = Gemm(Add_2, weight, transA=0, transB=1, alpha=2)
      mean: float32[] = ReduceMean(y, [0, 1], keepdims=0)
      return y, mean
    }"
  `);
});

test('the same graph prints the same, however many nodes were made before', () => {
  const first = printGraph(rows());
  mul(input('other', 'float32', [2]), input('another', 'float32', [2]));
  expect(printGraph(rows())).toBe(first);
});

test('several outputs, large constants and long attributes', () => {
  const x = input('x', 'float32', [3, 1, 3, 4, 4]);
  const [left] = split(transpose(x, [1, 0, 2, 3, 4]), [2, 2], 3);
  const y = attention(left!, 0.5); // [1, 3, 2, 4]
  const scale = constant('float32', [4], Float32Array.of(1, 2, 3, 4));
  const bias = constant('float32', [4], new Float32Array(4));
  const table = constant('float32', [3, 2, 4], new Float32Array(24));
  const z = add(layerNormalization(slice(y, 1, 0, 1), scale, bias, 1e-6), table);
  const graph: Graph = { name: 'attention', inputs: [x], outputs: [{ name: 'z', value: z }] };
  expect(printGraph(graph)).toMatchInlineSnapshot(`
    "attention(
      x: float32[3, 1, 3, 4, 4]
    ) {
      Transpose_0: float32[1, 3, 3, 4, 4] = Transpose(x, perm=[1,0,2,3,4])
      Split_1: float32[1, 3, 3, 2, 4], Split_2: float32[1, 3, 3, 2, 4] = Split(Transpose_0, [2, 2], axis=3)
      Attention_3: float32[1, 3, 2, 4], Attention_4: float32[1, 2, 3] = Attention(Split_1, scale=0.5)
      Slice_5: float32[1, 1, 2, 4] = Slice(Attention_3, [0], [1], [1])
      LayerNormalization_6: float32[1, 1, 2, 4], LayerNormalization_7: float32[1, 1, 2, 1], LayerNormalization_8: float32[1, 1, 2, 1] = LayerNormalization(Slice_5, [1, 2, 3, 4], [0, 0, 0, 0], axis=-1, epsilon=0.000001)
      z: float32[1, 3, 2, 4] = Add(LayerNormalization_6, <float32[3, 2, 4]>)
      return z
    }"
  `);
});

test('an output that is an input of the graph prints both names', () => {
  const x = input('x', 'float32', [2]);
  expect(printGraph({ name: 'same', inputs: [x], outputs: [{ name: 'y', value: x }] })).toContain(
    'return y: x',
  );
});
