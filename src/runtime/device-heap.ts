import { type Shape, sizeOf } from '../util/shape.js';
import type { OnnxRuntimeApi, Pointer } from './api.js';
import type { Device } from './device.js';
import type { Session } from './session.js';
import type { BoundTensor, Tensor } from './tensor.js';

/** ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; OrtDeviceAllocator, OrtMemTypeDefault */
const float32 = 1;
const deviceAllocator = 0;
const defaultMemory = 0;

/** float32 numbers in a device's memory. They stay there until they are released. */
export class DeviceTensor implements BoundTensor {
  readonly shape: Shape;
  readonly #api: OnnxRuntimeApi;
  #handle: Pointer | undefined;

  constructor(api: OnnxRuntimeApi, handle: Pointer, shape: Shape) {
    this.#api = api;
    this.#handle = handle;
    this.shape = shape;
  }

  get handle(): Pointer {
    if (this.#handle === undefined) throw new Error('DeviceTensor: used after release');
    return this.#handle;
  }

  release(): void {
    if (this.#handle !== undefined) this.#api.release('ReleaseValue', this.#handle);
    this.#handle = undefined;
  }
}

/** A device's memory. What is between it and the host goes through a session of one Identity. */
export class DeviceHeap {
  readonly #api: OnnxRuntimeApi;
  readonly #device: Device;
  readonly #session: Session;
  readonly #info: Pointer;
  readonly #allocator: Pointer;

  /** @param session of an Identity of float32, on the device. */
  constructor(api: OnnxRuntimeApi, device: Device, session: Session) {
    const { name, id } = device.memory!;
    this.#api = api;
    this.#device = device;
    this.#session = session;
    this.#info = api.create('CreateMemoryInfo', name, deviceAllocator, id, defaultMemory);
    this.#allocator = api.create('CreateAllocator', session.handle, this.#info);
  }

  /** Memory of its own, not cleared. */
  allocate(shape: Shape): DeviceTensor {
    const dims = dimensions(shape);
    const handle = this.#api.create('CreateTensorAsOrtValue', this.#allocator, dims, shape.length, float32);
    return new DeviceTensor(this.#api, handle, shape);
  }

  /** A tensor of the host's numbers. */
  copyOf(source: Tensor): DeviceTensor {
    const tensor = this.allocate(source.shape);
    this.copy(source, tensor);
    return tensor;
  }

  /** The same memory in another shape, from an element of it on; its owner has to outlive it. */
  view(owner: DeviceTensor, shape: Shape, offset = 0): DeviceTensor {
    if (offset !== 0 && !this.#device.hasArena) {
      throw new Error(`DeviceHeap: ${this.#device.name} has no slices, its pointers are handles of buffers`);
    }
    const start = this.#api.create('GetTensorMutableData', owner.handle);
    const handle = this.#api.create(
      'CreateTensorWithDataAsOrtValue',
      this.#info,
      start + BigInt(4 * offset),
      4 * sizeOf(shape),
      dimensions(shape),
      shape.length,
      float32,
    );
    return new DeviceTensor(this.#api, handle, shape);
  }

  /** Copies either way, from the host to the device or back. Both have the same shape. */
  copy(source: BoundTensor, target: BoundTensor): void {
    const binding = this.#session.bind({ x: source }, { y: target });
    try {
      binding.runSync();
    } finally {
      binding.release();
    }
  }

  /** A copy to make again and again, of what the source has then: the host's array, or memory of the device. */
  copier(source: BoundTensor, target: BoundTensor): () => Promise<void> {
    const binding = this.#session.bind({ x: source }, { y: target });
    return async () => {
      binding.send('x');
      await binding.run();
    };
  }

  /** Bindings keep tensors, which their allocator frees, which belongs to the session: in this order. */
  release(): void {
    this.#session.releaseBindings();
    this.#api.release('ReleaseAllocator', this.#allocator);
    this.#api.release('ReleaseMemoryInfo', this.#info);
    this.#session.release();
  }
}

/** A scalar has no dimensions, and a pointer to them all the same. */
function dimensions(shape: Shape): BigInt64Array {
  return BigInt64Array.from(shape.length === 0 ? [1n] : shape.map(BigInt));
}
