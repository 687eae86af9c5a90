import koffi, { type KoffiFunc } from 'koffi';
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

/**
 * A float32 array of zeros that starts at a multiple of 64 bytes, a cache line and an AVX-512 register. A large one
 * lies on huge pages where Linux gives them: AdamW over 112 M parameters takes 60 ms on them, 67 on small ones.
 */
export function alignedFloat32Array(length: number): Float32Array {
  const isLarge = length * 4 >= 4 * hugePage;
  const alignment = isLarge ? hugePage : 64;
  const buffer = new ArrayBuffer(length * 4 + alignment);
  const address = koffi.address(new Uint8Array(buffer));
  const start = (alignment - Number(address % BigInt(alignment))) % alignment;
  if (isLarge) adviseHugePages(address + BigInt(start), length * 4);
  return new Float32Array(buffer, start, length);
}

const hugePage = 2 ** 21;

/** MADV_HUGEPAGE. Only advice: without it, and on other systems, everything works on small pages. */
function adviseHugePages(address: Pointer, bytes: number): void {
  if (process.platform !== 'linux') return;
  try {
    const advice = 14;
    madvise ??= koffi.load(null).func('madvise', 'int', ['uintptr_t', 'size_t', 'int']);
    madvise(address, bytes, advice);
  } catch {
    // a C library without it
  }
}

let madvise: KoffiFunc<(address: Pointer, bytes: number, advice: number) => number> | undefined;

/** A tensor over host memory that the caller owns: no copy, and the array lives as long as the tensor. */
export class Tensor {
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
