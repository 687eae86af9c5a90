/** Devices without one: their memory is the CPU's own here, taken for a device's. */
import { afterEach, expect, test } from 'vitest';
import { cpuDevice, type Device } from '../../src/runtime/device.js';
import type { DeviceTensor } from '../../src/runtime/device-heap.js';
import { withoutPlace } from '../../src/runtime/provider.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { type Adapter, formatAdapter, preferredAdapter } from '../../src/runtime/webgpu/adapters.js';

const memory = { name: 'Cpu', id: 0 };
let runtime: Runtime | undefined;
const tensors: DeviceTensor[] = [];
afterEach(() => {
  for (const tensor of tensors.splice(0).reverse()) tensor.release();
  runtime?.release();
  runtime = undefined;
});

function heapOf(device: Device) {
  const created = new Runtime({ threads: 1, device });
  runtime = created;
  const heap = created.heap!;
  const keep = (tensor: DeviceTensor) => {
    tensors.push(tensor);
    return tensor;
  };
  const read = (tensor: DeviceTensor): Float32Array => {
    const values = new Float32Array(tensor.shape.reduce((size, axis) => size * axis, 1));
    const host = created.tensor(values, tensor.shape);
    heap.copy(tensor, host);
    host.release();
    return values;
  };
  return { runtime: created, heap, keep, read };
}

test('numbers go to the device and back, in other shapes and by slices', () => {
  const { runtime, heap, keep, read } = heapOf({ ...cpuDevice, memory });
  const host = runtime.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
  const tensor = keep(heap.copyOf(host));
  (host.data as Float32Array).fill(0);
  host.release();
  expect(read(keep(heap.view(tensor, [6])))).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
  expect(read(keep(heap.view(tensor, [1, 2], 3)))).toEqual(Float32Array.of(4, 5));
});

test('an upload takes what is in the array each time', async () => {
  const { runtime, heap, keep, read } = heapOf({ ...cpuDevice, memory });
  const host = runtime.tensor(Float32Array.of(1), []);
  const tensor = keep(heap.allocate([]));
  const upload = heap.copier(host, tensor);
  for (const value of [2, 3]) {
    host.data[0] = value;
    await upload();
    expect(read(tensor)).toEqual(Float32Array.of(value));
  }
  host.release();
});

test('where pointers are handles there are no slices', () => {
  const { heap, keep } = heapOf({ ...cpuDevice, memory, hasArena: false });
  const tensor = keep(heap.allocate([4]));
  keep(heap.view(tensor, [2, 2]));
  expect(() => heap.view(tensor, [2], 2)).toThrow(/no slices/);
});

test('a GPU before software', () => {
  const adapters: Adapter[] = [
    { name: 'llvmpipe', kind: 'software' },
    { name: 'small', kind: 'integrated' },
    { name: 'large', kind: 'discrete' },
  ];
  expect(preferredAdapter(adapters)?.name).toBe('large');
  expect(preferredAdapter(adapters.slice(0, 2))?.name).toBe('small');
  expect(preferredAdapter([])).toBeUndefined();
  expect(formatAdapter(adapters[0]!)).toBe('llvmpipe (software)');
});

test('a message says what is wrong, not where in the runtime', () => {
  const message =
    'ONNX Runtime F: /src/webgpu_context.cc:136 f(const T&) x == y was false. No adapter.\n at g';
  expect(withoutPlace(message)).toBe('No adapter');
  expect(withoutPlace('plain')).toBe('plain');
});
