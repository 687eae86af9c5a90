import koffi from 'koffi';
import { formatShape, type Shape, sizeOf } from '../util/shape.js';
import type { OnnxRuntimeApi, Pointer } from './api.js';

export type HostArray = Float32Array | BigInt64Array | Uint8Array | Float64Array;

/** ONNXTensorElementDataType by typed array. */
function elementType(data: HostArray): number {
  if (data instanceof Float32Array) return 1;
  if (data instanceof Uint8Array) return 2;
  if (data instanceof BigInt64Array) return 7;
  return 11;
}

/** The address of an array's first element. V8 never moves the memory of an array buffer while it lives. */
export function addressOf(data: HostArray): Pointer {
  return koffi.address(data);
}

/** A float32 array of zeros that starts at a multiple of 64 bytes, a cache line and an AVX-512 register. */
export function alignedFloat32Array(length: number): Float32Array {
  const alignment = 64;
  const buffer = new ArrayBuffer(length * 4 + alignment);
  const address = Number(koffi.address(new Uint8Array(buffer)) % BigInt(alignment));
  return new Float32Array(buffer, (alignment - address) % alignment, length);
}

/** What a session's inputs and outputs are bound to. */
export interface BoundTensor {
  readonly shape: Shape;
  /** Throws once it is released. */
  readonly handle: Pointer;
  release(): void;
}

/** A tensor over host memory that the caller owns: no copy, and the array lives as long as the tensor. */
export class Tensor implements BoundTensor {
  readonly data: HostArray;
  readonly shape: Shape;
  readonly #api: OnnxRuntimeApi;
  #handle: Pointer | undefined;

  constructor(api: OnnxRuntimeApi, memoryInfo: Pointer, data: HostArray, shape: Shape) {
    if (data.length !== sizeOf(shape)) {
      throw new RangeError(
        `Tensor: expected ${sizeOf(shape)} elements for ${formatShape(shape)}, got ${data.length}`,
      );
    }
    this.#api = api;
    this.data = data;
    this.shape = shape;
    const dims = BigInt64Array.from(shape.length === 0 ? [1n] : shape.map(BigInt));
    this.#handle = api.create(
      'CreateTensorWithDataAsOrtValue',
      memoryInfo,
      addressOf(data),
      data.byteLength,
      dims,
      shape.length,
      elementType(data),
    );
  }

  get handle(): Pointer {
    if (this.#handle === undefined) throw new Error('Tensor: used after release');
    return this.#handle;
  }

  release(): void {
    if (this.#handle !== undefined) this.#api.release('ReleaseValue', this.#handle);
    this.#handle = undefined;
  }
}
