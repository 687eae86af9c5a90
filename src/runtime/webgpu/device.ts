import { messageOf, UserError } from '../../util/errors.js';
import type { Device } from '../device.js';
import { cardOverhead } from '../device-memory.js';
import { type DevicePrecisions, noTf32 } from '../device-precisions.js';
import { noFallback, withoutPlace } from '../provider.js';

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
      noFallback(api, options);
      // the permutation comes as int64: its cast to float32 is a kernel there only with this
      api.call('AddSessionConfigEntry', options, 'ep.webgpuexecutionprovider.enableInt64', '1');
      api.call('SessionOptionsAppendExecutionProvider', options, 'WebGPU', null, null, 0);
    },
    explain: (error) => (isStart(error) ? webgpuNotStarted(messageOf(error)) : error),
  };
}

/** @param message ONNX Runtime's. */
export function webgpuNotStarted(message: string): UserError {
  return new UserError(
    '--device webgpu: expected a GPU with a driver for Vulkan (Linux), Metal (macOS) or Direct3D 12 (Windows), ' +
      `got: ${withoutPlace(message)}; mae doctor says what this machine has, --device cpu runs everywhere`,
  );
}

/** Whether an error comes from the call that adds the provider. */
function isStart(error: unknown): boolean {
  return messageOf(error).startsWith('ONNX Runtime SessionOptionsAppendExecutionProvider');
}

/** `auto` takes float32: WGSL may sum products of float16 in float16, and not every adapter has it. */
function webgpuPrecisions(shaderF16: boolean): DevicePrecisions {
  const lacks = {
    tf32: noTf32('WebGPU'),
    bf16: 'expected a device with bfloat16, got WebGPU, whose shaders do not have it',
  };
  if (shaderF16) return { auto: 'fp32', lacks };
  return {
    auto: 'fp32',
    lacks: { ...lacks, fp16: 'expected a WebGPU adapter with shader-f16, got one without' },
  };
}
