/** Types of tensors as safetensors names them, and their numbers as JavaScript's arrays. */
import { UserError } from '../../util/errors.js';
import { bfloat16ToFloat32, float16ToFloat32 } from '../../util/half.js';

/** Bytes of one element. Types that pack several elements into a byte (F4, F6_…) are not read. */
export const dtypeBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
  C64: 8,
} as const;
export type Dtype = keyof typeof dtypeBytes;

/** The 16-bit floats as their bits, the 8-bit ones as bytes, C64 as pairs. */
const arrayOf = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
  F8_E8M0: Uint8Array,
  U16: Uint16Array,
  I16: Int16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  U32: Uint32Array,
  I32: Int32Array,
  F32: Float32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
  C64: Float32Array,
} as const satisfies Record<Dtype, unknown>;
export type TensorArray = InstanceType<(typeof arrayOf)[Dtype]>;

/** Little-endian bytes as an array of their type; see `arrayOf`. */
export function arrayFrom(dtype: Dtype, bytes: ArrayBuffer): TensorArray {
  return new arrayOf[dtype](bytes);
}

/** Bytes of a tensor, or undefined beyond 2^53. */
export function byteLength(dtype: Dtype, shape: readonly number[]): number | undefined {
  let bytes: number = dtypeBytes[dtype];
  for (const size of shape) {
    bytes *= size;
    if (!Number.isSafeInteger(bytes)) return undefined;
  }
  return bytes;
}

type FloatDtype = 'F32' | 'F16' | 'BF16' | 'F64';

/** `expected` begins the error: where, and of which tensor. */
export function checkFloat(dtype: Dtype, expected: string): asserts dtype is FloatDtype {
  if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16' || dtype === 'F64') return;
  throw new UserError(
    `${expected} to be F32, F16, BF16 or F64, got ${dtype}; give a file of the model that is asked for`,
  );
}

/** Numbers of a float type as float32: exact but for F64, which is rounded. */
export function toFloat32(dtype: FloatDtype, array: TensorArray): Float32Array {
  if (dtype === 'F32') return array as Float32Array;
  if (dtype === 'F16') return float16ToFloat32(array as Uint16Array);
  if (dtype === 'BF16') return bfloat16ToFloat32(array as Uint16Array);
  return Float32Array.from(array as Float64Array);
}
