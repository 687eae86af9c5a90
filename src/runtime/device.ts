import { tmpdir } from 'node:os';
import { messageOf, UserError } from '../util/errors.js';
import type { OnnxRuntimeApi, Pointer } from './api.js';
import type { CudaCard } from './cuda/driver.js';
import { cudaProvider } from './cuda/provider.js';
import {
  cardMemory,
  cardOverhead,
  type DeviceMemory,
  hostMemory,
  hostOverhead,
  type MemoryOverhead,
} from './device-memory.js';
import {
  cpuPrecisions,
  cudaPrecisions,
  type DevicePrecisions,
  webgpuPrecisions,
} from './device-precisions.js';

/** An execution provider: how sessions get it, and what people are told where it does not start. */
export interface Provider {
  /** Adds it to the options of a session; a UserError where it does not start. */
  append(api: OnnxRuntimeApi, sessionOptions: Pointer): void;
  /** What to throw in place of an error that came when a session was made. */
  explain(error: unknown, api: OnnxRuntimeApi): unknown;
}

/** Where graphs run. Whatever deals with a device asks for these properties, never which one it is. */
export interface Device extends Provider {
  /** As `--device` takes it: cpu, cuda:0, webgpu. */
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

interface CudaDeviceOptions {
  /** Whether float32 products may round their factors to TensorFloat-32. */
  readonly tf32?: boolean;
  /** What its driver says of the card. */
  readonly card?: Pick<CudaCard, 'name' | 'computeCapability'> | undefined;
}

/** A card, as CUDA counts them. */
export function cudaDevice(index: number, { tf32 = false, card }: CudaDeviceOptions = {}): Device {
  return {
    name: `cuda:${index}`,
    description: card === undefined ? `CUDA, card ${index}` : `CUDA, cuda:${index}: ${card.name}`,
    memory: { name: 'Cuda', id: index },
    hasArena: true,
    // its Gemm copies C to the output before it adds the product
    lacks: { bytes: false, int64: false, inPlace: true, float32Sums: false },
    uploadsDuringRun: true,
    // 64 MiB a tensor: few launches, and temporaries that fit beside the activations
    optimizerElements: 2 ** 24,
    customOperators: false,
    precisions: cudaPrecisions(card?.computeCapability),
    memoryOverhead: cardOverhead,
    readMemory: () => cardMemory(index),
    ...cudaProvider({ deviceId: index, tf32 }),
  };
}

/**
 * The GPU that Dawn, the WebGPU inside ONNX Runtime, prefers: through Vulkan, Metal or Direct3D 12.
 *
 * @param adapter its name, where it is known
 * @param shaderF16 whether it is known to have the feature shader-f16
 */
export function webgpuDevice(adapter?: string, shaderF16 = false): Device {
  return {
    name: 'webgpu',
    description: adapter === undefined ? 'WebGPU' : `WebGPU on ${adapter}`,
    memory: { name: 'WebGPU_Buf', id: 0 },
    hasArena: false,
    lacks: { bytes: true, int64: true, inPlace: true, float32Sums: true },
    uploadsDuringRun: false, // one queue, and Dawn's device belongs to one thread at a time
    customOperators: false,
    precisions: webgpuPrecisions(shaderF16),
    memoryOverhead: cardOverhead,
    readMemory: () => undefined,
    append(api, options) {
      withoutWayland();
      noFallback(api, options);
      // the permutation comes as int64: its cast to float32 is a kernel there only with this
      api.call('AddSessionConfigEntry', options, 'ep.webgpuexecutionprovider.enableInt64', '1');
      api.call('SessionOptionsAppendExecutionProvider', options, 'WebGPU', null, null, 0);
    },
    explain: (error) => (isStart(error) ? webgpuNotStarted(messageOf(error)) : error),
  };
}

/** Dawn asks Wayland for a display as well, whose library complains on stderr where there is no desktop session. */
function withoutWayland(): void {
  if (process.platform === 'linux') process.env['XDG_RUNTIME_DIR'] ||= tmpdir();
}

/** @param message ONNX Runtime's. */
export function webgpuNotStarted(message: string): UserError {
  const drivers = 'Vulkan (Linux), Metal (macOS) or Direct3D 12 (Windows)';
  return notStarted('webgpu', `a GPU with a driver for ${drivers}`, message);
}

/** A node without a kernel there would run on the CPU, with a copy of all that it reads and writes: an error instead. */
function noFallback(api: OnnxRuntimeApi, options: Pointer): void {
  api.call('AddSessionConfigEntry', options, 'session.disable_cpu_ep_fallback', '1');
}

/** Whether an error comes from the call that adds the provider. */
function isStart(error: unknown): boolean {
  return /^ONNX Runtime (SessionOptionsAppendExecutionProvider|\w+CUDAProviderOptions)/.test(
    messageOf(error),
  );
}

function notStarted(device: string, expected: string, message: string): UserError {
  return new UserError(
    `--device ${device}: expected ${expected}, got: ${withoutPlace(message)}; ` +
      'mae doctor says what this machine has, --device cpu runs everywhere',
  );
}

/** ONNX Runtime's message without the place in its sources: `<file>:<line> <function> <condition> was false. <text>`. */
export function withoutPlace(message: string): string {
  return message
    .split('\n')[0]!
    .replace(/^.* was false\. /, '')
    .replace(/[.\s]+$/, '');
}
