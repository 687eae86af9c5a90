import { type DeviceMemory, hostMemory, hostOverhead, type MemoryOverhead } from './device-memory.js';
import { type DevicePrecisions, noTf32 } from './device-precisions.js';
import type { Provider } from './provider.js';

/** Where graphs run. Whatever deals with a device asks for these properties, never which one it is. */
export interface Device extends Provider {
  /** What `--device` takes for it: cpu, cuda:0, webgpu. */
  readonly name: string;
  /** For people. */
  readonly description: string;
  /** Its memory as ONNX Runtime names it; undefined where that is the host's and tensors are read where they are. */
  readonly memory?: { readonly name: string; readonly id: number };
  /** Whether tensors may be slices of one arena: pointers are addresses, not handles of buffers. */
  readonly hasArena: boolean;
  /** What its kernels lack; see `lowering/for-device.ts`. */
  readonly lacks: Record<'bytes' | 'int64' | 'inPlace' | 'float32Sums', boolean>;
  /** Whether inputs may be sent to it while a graph runs there. */
  readonly uploadsDuringRun: boolean;
  /** Elements that one run of the optimizer takes where it need not fit a processor's cache. */
  readonly optimizerElements?: number;
  /** Whether it runs the custom operators of `src/kernels`. */
  readonly customOperators: boolean;
  readonly precisions: DevicePrecisions;
  readonly memoryOverhead: MemoryOverhead;
  /** What it has at the moment; undefined where nobody tells. */
  readMemory(): DeviceMemory | undefined;
}

const cpuPrecisions: DevicePrecisions = {
  auto: 'fp32',
  lacks: {
    tf32: noTf32('the CPU'),
    bf16: 'expected the kernels, which alone have bfloat16 products on the CPU, got none',
  },
  forChecks: { fp16: "ONNX Runtime's CPU operators widen to float32 around most of it: slow, for checks" },
};

export const cpuDevice: Device = {
  name: 'cpu',
  description: 'CPU',
  hasArena: true,
  // ONNX Runtime casts to float32 around operators that have no float16 kernel
  lacks: { bytes: false, int64: false, inPlace: false, float32Sums: false },
  uploadsDuringRun: false, // nothing is sent, graphs read the host's memory
  customOperators: true,
  precisions: cpuPrecisions,
  memoryOverhead: hostOverhead,
  readMemory: hostMemory,
  append() {},
  explain: (error) => error,
};
