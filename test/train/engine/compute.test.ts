/** What each device computes in, or says that it cannot: the whole table. */
import { describe, expect, test } from 'vitest';
import { cudaDevice } from '../../../src/runtime/cuda/device.js';
import { cpuDevice, type Device } from '../../../src/runtime/device.js';
import type { Precision } from '../../../src/runtime/device-precisions.js';
import type { Kernels } from '../../../src/runtime/kernels.js';
import { webgpuDevice } from '../../../src/runtime/webgpu/device.js';
import { type Compute, decideCompute } from '../../../src/train/engine/compute.js';
import { UserError } from '../../../src/util/errors.js';

const none = { reason: 'none at /nowhere' };
const slow: Kernels = { path: 'k.so', isa: 'avx512', hasFastBfloat16: false };
const fast: Kernels = { path: 'k.so', isa: 'amx', hasFastBfloat16: true };
const card = (computeCapability: number) => ({ name: 'A card', computeCapability });

const plain = { tf32: false } as const;
const graph = (graphPrecision: 'fp16' | 'bf16') => ({ ...plain, graphPrecision });
const kernels = (kernelPrecision: 'fp32' | 'bf16') => ({ ...plain, kernelPrecision });

type Wanted = Omit<Compute, 'description' | 'kernels'> | RegExp;
const table: Record<string, [Device, Kernels | typeof none, Record<Precision, Wanted>]> = {
  'the CPU without kernels': [
    cpuDevice,
    none,
    {
      auto: plain,
      fp32: plain,
      tf32: /tf32: expected a CUDA device.* got the CPU; use --precision fp32$/,
      fp16: graph('fp16'),
      bf16: /bf16: expected the kernels.* got none \(none at \/nowhere\); use --precision fp32$/,
    },
  ],
  'a CPU that is slow at bfloat16': [
    cpuDevice,
    slow,
    {
      auto: kernels('fp32'),
      fp32: kernels('fp32'),
      tf32: /CUDA.* got the CPU; use --precision fp32 or bf16$/,
      fp16: graph('fp16'),
      bf16: kernels('bf16'),
    },
  ],
  'a CPU that is fast at bfloat16': [
    cpuDevice,
    fast,
    {
      auto: kernels('bf16'),
      fp32: kernels('fp32'),
      tf32: /CUDA.* got the CPU; use --precision fp32 or bf16$/,
      fp16: graph('fp16'),
      bf16: kernels('bf16'),
    },
  ],
  CUDA: [
    cudaDevice(1),
    fast,
    { auto: graph('bf16'), fp32: plain, tf32: { tf32: true }, fp16: graph('fp16'), bf16: graph('bf16') },
  ],
  Hopper: [
    cudaDevice(0, { card: card(9) }),
    none,
    { auto: graph('bf16'), fp32: plain, tf32: { tf32: true }, fp16: graph('fp16'), bf16: graph('bf16') },
  ],
  Turing: [
    cudaDevice(0, { card: card(7.5) }),
    none,
    {
      auto: graph('fp16'),
      fp32: plain,
      tf32: /tf32: expected a GPU of compute capability 8.0 .* got 7.5; use --precision fp32 or fp16$/,
      fp16: graph('fp16'),
      bf16: /bf16: expected a GPU of compute capability 8.0/,
    },
  ],
  'WebGPU with shader-f16': [
    webgpuDevice('an adapter', true),
    none,
    {
      auto: plain,
      fp32: plain,
      tf32: /CUDA.* got WebGPU; use --precision fp32 or fp16$/,
      fp16: graph('fp16'),
      bf16: /bf16: .*WebGPU.* use --precision fp32 or fp16$/,
    },
  ],
  'WebGPU without': [
    webgpuDevice(),
    fast,
    {
      auto: plain,
      fp32: plain,
      tf32: /CUDA.* use --precision fp32$/,
      fp16: /fp16: expected a WebGPU adapter with shader-f16, got one without; use --precision fp32$/,
      bf16: /bf16: .* use --precision fp32$/,
    },
  ],
};

describe.each(Object.entries(table))('%s', (_, [device, found, byPrecision]) => {
  test.each(Object.entries(byPrecision) as [Precision, Wanted][])('%s', (precision, wanted) => {
    const decide = () => decideCompute(device, precision, found);
    if (wanted instanceof RegExp) {
      expect(decide).toThrow(UserError);
      expect(decide).toThrow(wanted);
      expect(decide).toThrow(/^--precision (tf32|fp16|bf16): /);
      return;
    }
    const { description, kernels, ...rest } = decide();
    expect(rest).toEqual(wanted);
    expect(kernels).toBe(wanted.kernelPrecision === undefined ? undefined : found);
    expect(description).toMatch(/float/);
    expect(description.endsWith(', --precision auto')).toBe(precision === 'auto');
    const misses = device === cpuDevice && found === none && rest.graphPrecision === undefined;
    expect(description.includes('no kernels: none at /nowhere')).toBe(misses);
  });
});
