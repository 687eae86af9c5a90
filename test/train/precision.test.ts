/** What each device computes in, or says that it cannot: the whole table. */
import { describe, expect, test } from 'vitest';
import { type Available, type Compute, decideCompute, type Precision } from '../../src/train/precision.js';
import { UserError } from '../../src/util/errors.js';

const none: Available = { kernels: { reason: 'none at /nowhere' } };
const slow: Available = { kernels: { path: 'k.so', isa: 'avx512', hasFastBfloat16: false } };
const fast: Available = { kernels: { path: 'k.so', isa: 'amx', hasFastBfloat16: true } };
const withHalf: Available = { ...none, shaderF16: true };
const turing: Available = { ...none, computeCapability: 7.5 };
const hopper: Available = { ...none, computeCapability: 9 };

const plain = { tf32: false } as const;
const graph = (graphPrecision: 'fp16' | 'bf16') => ({ ...plain, graphPrecision });
const kernels = (kernelPrecision: 'fp32' | 'bf16') => ({ ...plain, kernelPrecision });

type Wanted = Omit<Compute, 'description' | 'kernels'> | RegExp;
const table: Record<string, [string, Available, Record<Precision, Wanted>]> = {
  'the CPU without kernels': [
    'cpu',
    none,
    {
      auto: plain,
      fp32: plain,
      tf32: /tf32: expected a CUDA device.* got the CPU; use --precision auto, fp32 or bf16$/,
      fp16: graph('fp16'),
      bf16: /bf16: expected the kernels.* got none \(none at \/nowhere\); use --precision auto or fp32$/,
    },
  ],
  'a CPU that is slow at bfloat16': [
    'cpu',
    slow,
    {
      auto: kernels('fp32'),
      fp32: kernels('fp32'),
      tf32: /CUDA/,
      fp16: graph('fp16'),
      bf16: kernels('bf16'),
    },
  ],
  'a CPU that is fast at bfloat16': [
    'cpu',
    fast,
    {
      auto: kernels('bf16'),
      fp32: kernels('fp32'),
      tf32: /CUDA/,
      fp16: graph('fp16'),
      bf16: kernels('bf16'),
    },
  ],
  CUDA: [
    'cuda:1',
    { ...fast, computeCapability: undefined },
    { auto: graph('bf16'), fp32: plain, tf32: { tf32: true }, fp16: graph('fp16'), bf16: graph('bf16') },
  ],
  Hopper: [
    'cuda',
    hopper,
    { auto: graph('bf16'), fp32: plain, tf32: { tf32: true }, fp16: graph('fp16'), bf16: graph('bf16') },
  ],
  Turing: [
    'cuda:0',
    turing,
    {
      auto: graph('fp16'),
      fp32: plain,
      tf32: /tf32: expected a GPU of compute capability 8.0 .* got 7.5; use --precision fp16 or fp32$/,
      fp16: graph('fp16'),
      bf16: /bf16: expected a GPU of compute capability 8.0/,
    },
  ],
  'WebGPU with shader-f16': [
    'webgpu',
    withHalf,
    {
      auto: plain,
      fp32: plain,
      tf32: /CUDA.* got WebGPU; use --precision fp32 or fp16$/,
      fp16: graph('fp16'),
      bf16: /bf16: .*WebGPU.* use --precision fp32 or fp16$/,
    },
  ],
  'WebGPU without': [
    'webgpu',
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

describe.each(Object.entries(table))('%s', (_, [device, available, byPrecision]) => {
  test.each(Object.entries(byPrecision) as [Precision, Wanted][])('%s', (precision, wanted) => {
    const decide = () => decideCompute(device, precision, available);
    if (wanted instanceof RegExp) {
      expect(decide).toThrow(UserError);
      expect(decide).toThrow(wanted);
      expect(decide).toThrow(/^--precision (tf32|fp16|bf16): /);
      return;
    }
    const { description, kernels, ...rest } = decide();
    expect(rest).toEqual(wanted);
    expect(kernels).toBe(wanted.kernelPrecision === undefined ? undefined : available.kernels);
    expect(description).toMatch(
      precision === 'auto' && 'reason' in available.kernels && device === 'cpu'
        ? /no kernels/
        : /float|bfloat/,
    );
    if (precision === 'auto' && device !== 'cpu') expect(description).toMatch(/--precision auto$/);
  });
});
