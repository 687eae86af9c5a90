import { bfloat16Bits, float16Bits } from '../../util/half.js';
import { formatShape, type Shape, sizeOf } from '../../util/shape.js';
import type { DType, TensorData, Value } from './graph.js';

/** A constant tensor of the given type, its numbers in row-major order. */
export function constant(type: DType, shape: Shape, data: TensorData): Value {
  if (data.length !== sizeOf(shape)) {
    throw new RangeError(
      `constant: expected ${sizeOf(shape)} numbers for ${formatShape(shape)}, got ${data.length}`,
    );
  }
  return { type, shape, source: { kind: 'constant', data } };
}

/** A scalar of the same type as `like`. */
export function scalarLike(like: { type: DType }, number: number): Value {
  return constant(like.type, [], numbersOf(like.type, [number]));
}

/** A one-dimensional int64 constant: a shape, a list of axes, bounds. */
export function intVector(numbers: readonly number[]): Value {
  return constant('int64', [numbers.length], BigInt64Array.from(numbers, BigInt));
}

/** The numbers of a constant that holds a shape, axes or bounds. */
export function intsOf(value: Value | null): number[] {
  if (value?.source.kind !== 'constant') throw new TypeError('intsOf: expected a constant');
  return Array.from(value.source.data, Number);
}

function numbersOf(type: DType, numbers: readonly number[]): TensorData {
  switch (type) {
    case 'float32':
      return Float32Array.from(numbers);
    case 'float64':
      return Float64Array.from(numbers);
    case 'int32':
      return Int32Array.from(numbers);
    case 'int64':
      return BigInt64Array.from(numbers, BigInt);
    case 'uint8':
    case 'bool':
      return Uint8Array.from(numbers);
    case 'float16':
      return Uint16Array.from(numbers, float16Bits);
    case 'bfloat16':
      return Uint16Array.from(numbers, bfloat16Bits);
  }
}
