/** Types of numbers that go to a graph from typed arrays, by their names in ONNX. */
export type NumberType = 'uint8' | 'int64' | 'float32';

/** The typed array of each. */
export interface TypedArrays<B extends ArrayBufferLike> {
  uint8: Uint8Array<B>;
  int64: BigInt64Array<B>;
  float32: Float32Array<B>;
}

export const bytesPerNumber: Readonly<Record<NumberType, number>> = { uint8: 1, int64: 8, float32: 4 };

/** The numbers in a buffer as an array of their type. */
export function typedArray<B extends ArrayBufferLike>(
  type: NumberType,
  buffer: B,
): TypedArrays<B>[NumberType] {
  switch (type) {
    case 'uint8':
      return new Uint8Array(buffer);
    case 'int64':
      return new BigInt64Array(buffer);
    case 'float32':
      return new Float32Array(buffer);
  }
}
