/** Shape rules: what each builder refuses, with the numbers in the message, and the shapes it gives. */
import { describe, expect, test } from 'vitest';
import { constant, intsOf, intVector, scalarLike } from '../../../src/compiler/graph/constant.js';
import { type DType, formatType, input, type Value } from '../../../src/compiler/graph/graph.js';
import * as elementwise from '../../../src/compiler/graph/ops/elementwise.js';
import * as inference from '../../../src/compiler/graph/ops/inference.js';
import { gemm, matMul } from '../../../src/compiler/graph/ops/linalg.js';
import * as movement from '../../../src/compiler/graph/ops/movement.js';
import { attention, layerNormalization } from '../../../src/compiler/graph/ops/normalization.js';
import { reduceMean, reduceSum } from '../../../src/compiler/graph/ops/reduction.js';

const tensor = (shape: number[], type: DType = 'float32'): Value => input('x', type, shape);
const ids = (shape: number[]): Value => input('ids', 'int64', shape);

describe('errors state the numbers', () => {
  test.each<[string, () => unknown, string]>([
    [
      'a broadcast',
      () => elementwise.add(tensor([2, 3]), tensor([2])),
      'Add: expected two tensors of one type that broadcast, got float32[2, 3] and float32[2]',
    ],
    [
      'types',
      () => elementwise.mul(tensor([2]), tensor([2], 'float64')),
      'Mul: expected two tensors of one type that broadcast, got float32[2] and float64[2]',
    ],
    [
      'a product',
      () => matMul(tensor([2, 3]), tensor([4, 2])),
      'MatMul: expected […, M, K] and […, K, N] of one type, got float32[2, 3] and float32[4, 2]',
    ],
    ['a product of a vector', () => matMul(tensor([3]), tensor([3, 2])), 'got float32[3] and float32[3, 2]'],
    [
      'batches',
      () => matMul(tensor([2, 2, 3]), tensor([3, 3, 2])),
      'got float32[2, 2, 3] and float32[3, 3, 2]',
    ],
    [
      'a Gemm',
      () => gemm(tensor([2, 3]), tensor([3, 4]), { transB: true }),
      'Gemm (transA false, transB true): expected two matrices that multiply, got float32[2, 3] and float32[3, 4]',
    ],
    [
      'the c of a Gemm',
      () => gemm(tensor([2, 3]), tensor([3, 4]), { c: tensor([3]) }),
      'Gemm: expected c to broadcast to [2,4], got float32[3]',
    ],
    [
      'a c that is larger',
      () => gemm(tensor([1, 3]), tensor([3, 4]), { c: tensor([2, 4]) }),
      'got float32[2, 4]',
    ],
    [
      'patches',
      () => inference.patchConv(tensor([1, 3, 9, 8]), tensor([5, 3, 4, 4]), tensor([5])),
      'Conv: expected [B, C, H, W], [D, C, P, P] and [D] of whole patches, got float32[1, 3, 9, 8]',
    ],
    [
      'a product of bytes',
      () => inference.matMulInteger(tensor([2, 3], 'uint8'), tensor([2, 3], 'uint8'), tensor([]), tensor([])),
      'MatMulInteger: expected two matrices that multiply, got uint8[2, 3] and uint8[2, 3]',
    ],
    ['a reshape', () => movement.reshape(tensor([2, 3]), [4, 2]), 'Reshape: expected 6 elements, got [4, 2]'],
    [
      'a permutation',
      () => movement.transpose(tensor([2, 3]), [0, 0]),
      'Transpose: expected a permutation of the axes of float32[2, 3], got [0,0]',
    ],
    [
      'a slice',
      () => movement.slice(tensor([2, 3]), 1, 1, 4),
      'Slice: expected 0 ≤ start < end ≤ 3, got 1 and 4',
    ],
    ['an empty slice', () => movement.slice(tensor([2, 3]), 1, 1, 1), 'got 1 and 1'],
    ['an axis', () => movement.slice(tensor([2, 3]), 2, 0, 1), 'Slice: expected an axis in [-2, 1], got 2'],
    [
      'a concatenation',
      () => movement.concat([tensor([2, 3]), tensor([2, 4])], 0),
      'Concat: expected shapes that differ in axis 0 only, got float32[2, 3], float32[2, 4]',
    ],
    [
      'a split',
      () => movement.split(tensor([2, 7]), [3, 3], 1),
      'Split: expected sizes that sum to 7, the size of axis 1, got 6',
    ],
    [
      'indices',
      () => movement.gather(tensor([2, 3]), tensor([2])),
      'Gather: expected int64 indices, got float32[2]',
    ],
    [
      'an expansion',
      () => movement.expand(tensor([2, 3]), [2, 4]),
      'Expand: expected a tensor that broadcasts to [2, 4], got float32[2, 3]',
    ],
    ['an expansion to less', () => movement.expand(tensor([2, 3]), [3]), 'got float32[2, 3]'],
    [
      'a reduced axis',
      () => reduceSum(tensor([2, 3]), [-3]),
      'ReduceSum: expected an axis in [-2, 1], got -3',
    ],
    [
      'a layer norm',
      () => layerNormalization(tensor([2, 3]), tensor([3]), tensor([2]), 1e-6),
      'LayerNormalization: expected scale and bias of [3], got float32[3] and float32[2]',
    ],
    [
      'attention',
      () => attention(tensor([1, 2, 4, 3, 4]), 1),
      'Attention: expected qkv [B, T, 3, H, d], got float32[1, 2, 4, 3, 4]',
    ],
    [
      'a constant',
      () => constant('float32', [2, 2], new Float32Array(3)),
      'constant: expected 4 numbers for [2, 2], got 3',
    ],
    ['axes that are no constant', () => intsOf(ids([2])), 'intsOf: expected a constant'],
  ])('%s', (_, build, message) => {
    expect(build).toThrow(message);
  });
});

test.each<[string, Value, string]>([
  ['a broadcast', elementwise.add(tensor([2, 1, 4]), tensor([3, 1])), 'float32[2, 3, 4]'],
  ['a scalar', elementwise.div(tensor([]), tensor([1, 2])), 'float32[1, 2]'],
  ['a cast', elementwise.cast(tensor([2]), 'float64'), 'float64[2]'],
  ['a batch of products', matMul(tensor([2, 1, 3, 4]), tensor([5, 4, 6])), 'float32[2, 5, 3, 6]'],
  ['a Gemm', gemm(tensor([4, 3]), tensor([5, 4]), { transA: true, transB: true }), 'float32[3, 5]'],
  ['a transposition', movement.transpose(tensor([2, 3, 4]), [2, 0, 1]), 'float32[4, 2, 3]'],
  ['a slice', movement.slice(tensor([2, 7]), -1, 2, 4), 'float32[2, 2]'],
  ['a concatenation', movement.concat([tensor([2, 1]), tensor([2, 4])], -1), 'float32[2, 5]'],
  ['a gather', movement.gather(tensor([7, 3, 2], 'uint8'), ids([4, 5])), 'uint8[4, 5, 3, 2]'],
  ['a scatter', movement.scatterAdd([7, 3], ids([2, 2]), tensor([2, 2, 3])), 'float32[7, 3]'],
  ['padding', movement.pad(tensor([2, 3]), 1, 1, 2), 'float32[2, 6]'],
  [
    'patches',
    inference.patchConv(tensor([2, 3, 8, 12]), tensor([5, 3, 4, 4]), tensor([5])),
    'float32[2, 5, 2, 3]',
  ],
  ['a flat grid', inference.flattenGrid(tensor([2, 5, 2, 3])), 'float32[2, 5, 6]'],
  ['a shape', inference.shapeOf(tensor([2, 5, 2])), 'int64[3]'],
  ['a range', inference.range(ids([]), ids([]), ids([]), 7), 'int64[7]'],
  [
    'what is resized',
    inference.resizeCubic(tensor([1, 5, 2, 2]), ids([4]), [1, 5, 3, 4]),
    'float32[1, 5, 3, 4]',
  ],
  ['bytes', inference.dynamicQuantizeLinear(tensor([2, 3])).quantized, 'uint8[2, 3]'],
  [
    'a product of bytes',
    inference.matMulInteger(tensor([2, 3], 'uint8'), tensor([3, 4], 'uint8'), tensor([]), tensor([])),
    'int32[2, 4]',
  ],
  ['zeros', movement.zeros('float64', [2, 3]), 'float64[2, 3]'],
  ['a sum', reduceSum(tensor([2, 3, 4]), [0, -1]), 'float32[3]'],
  ['a mean that keeps its axes', reduceMean(tensor([2, 3, 4]), [0, -1], true), 'float32[1, 3, 1]'],
  ['a scalar like', scalarLike({ type: 'float64' }, 2), 'float64[]'],
  ['a vector of integers', intVector([1, 2, 3]), 'int64[3]'],
])('the shape of %s', (_, value, type) => {
  expect(formatType(value)).toBe(type);
});

test('builders that change nothing return their input', () => {
  const x = tensor([2, 3]);
  expect(movement.reshape(x, [2, 3])).toBe(x);
  expect(movement.expand(x, [2, 3])).toBe(x);
  expect(reduceSum(x, [])).toBe(x);
});
