/** ONNX Runtime's real CUDA provider over fake cards: all but what kernels compute. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cudaProviderOptions } from '../../../src/runtime/cuda/provider.js';
import {
  buildFakeCuda,
  type CudaSession,
  cudaSession,
  noCompiler,
  onnxRuntimeGpu,
} from '../../support/fake-cuda.js';

const gpu = onnxRuntimeGpu();
const skipped = noCompiler() ?? ('reason' in gpu ? gpu.reason : undefined);
if (skipped !== undefined) console.warn(`the CUDA provider is not tested: ${skipped}`);
const capi = 'capi' in gpu ? gpu.capi : '';

const folder = mkdtempSync(join(tmpdir(), 'mae-fake-cuda-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe.skipIf(noCompiler() !== undefined)('the driver', () => {
  const script = fileURLToPath(new URL('../../../dist/runtime/cuda/try-driver.js', import.meta.url));
  const driver = (libraries: string, env: Record<string, string> = {}) => {
    const all = { ...process.env, LD_LIBRARY_PATH: libraries, ...env };
    return JSON.parse(spawnSync(process.execPath, [script], { env: all, encoding: 'utf8' }).stdout);
  };
  let fakes: string;
  beforeAll(() => {
    fakes = buildFakeCuda(join(folder, 'driver'));
  });

  test('lists its cards', () => {
    const env = { FAKE_CUDA_DEVICES: '2', FAKE_CUDA_MEMORY: '1000000000', FAKE_CUDA_DRIVER: '12080' };
    const card = { name: 'Fake GPU', computeCapability: 9, memoryBytes: 1e9, freeBytes: 1e9 };
    expect(driver(fakes, env)).toEqual({ cudaVersion: '12.8', cards: [card, card] });
  });

  test('says why not', () => {
    expect(driver(fakes, { FAKE_CUDA_ERROR: '100' })).toEqual({
      problem: 'libcuda.so.1: cuInit: no CUDA-capable device is detected (CUDA error 100)',
    });
  });
});

describe.skipIf(skipped)('the CUDA provider', () => {
  let fakes: string;
  beforeAll(() => {
    fakes = buildFakeCuda(join(folder, 'all'), join(capi, 'libonnxruntime_providers_cuda.so'));
  });
  const message = (session: CudaSession) => {
    expect(session.error?.name, JSON.stringify(session)).toBe('UserError');
    return session.error!.message;
  };

  test('takes every option', () => {
    const { options } = cudaSession(capi, fakes, { options: true, memoryLimit: 2 ** 30 });
    const read = Object.fromEntries(options!.split(';').map((pair) => pair.split('=')));
    expect(read).toMatchObject({
      device_id: '0',
      gpu_mem_limit: String(2 ** 30),
      arena_extend_strategy: 'kSameAsRequested',
      cudnn_conv_algo_search: 'HEURISTIC',
      do_copy_in_default_stream: '1',
      use_tf32: '0',
    });
    // it refuses those that it does not know; this one it takes and does not list
    expect(Object.keys(cudaProviderOptions({ deviceId: 0 })).filter((name) => !(name in read))).toEqual([
      'enable_skip_layer_norm_strict_mode',
    ]);
  });

  test('has a kernel for every node, and steps take no more memory than the first', () => {
    const { losses, peakBytes, error } = cudaSession(capi, fakes, { steps: 6 });
    expect(error).toBeUndefined();
    expect(losses).toHaveLength(6);
    expect(new Set(peakBytes!.slice(1)).size).toBe(1);
  });

  test('a run reads what was sent to the card, not what was there before', () => {
    const { copies, error } = cudaSession(capi, fakes, { copies: 3 });
    expect(error).toBeUndefined();
    expect(copies).toEqual([100, 101, 102, 200, 201, 202, 300, 301, 302]);
  });

  test('takes the graphs of every kind of run, no node left to the CPU', () => {
    const sessions = [
      { accumulate: true, normPixLoss: false },
      { gradCheckpointing: true },
      { predictRatio: 0.5 },
      { graphPrecision: 'fp16' },
      { graphPrecision: 'bf16', accumulate: true },
      { graphPrecision: 'bf16', gradCheckpointing: true },
    ];
    const session = cudaSession(capi, fakes, { sessions });
    expect(session.error).toBeUndefined();
    expect(session.sessions).toHaveLength(4 * sessions.length);
  });

  test('has the kernels that the golden table lists', () => {
    const script = fileURLToPath(new URL('../../goldens/make_cuda_kernels.mjs', import.meta.url));
    const out = join(folder, 'kernels.json');
    const env = { ...process.env, MAE_ONNXRUNTIME_LIBRARY: capi, LD_LIBRARY_PATH: fakes };
    expect(spawnSync(process.execPath, [script, out], { env, stdio: 'ignore' }).status).toBe(0);
    const made = JSON.parse(readFileSync(out, 'utf8'));
    const golden = JSON.parse(
      readFileSync(new URL('../../goldens/cuda-kernels.json', import.meta.url), 'utf8'),
    );
    expect(made.operators).toEqual(golden.operators);
  });

  test('no card, too old a driver, a number with no card', () => {
    expect(message(cudaSession(capi, fakes, {}, { FAKE_CUDA_ERROR: '100' }))).toMatch(
      /^--device cuda: no CUDA-capable device is detected/,
    );
    expect(message(cudaSession(capi, fakes, {}, { FAKE_CUDA_ERROR: '35' }))).toMatch(
      /driver version is insufficient .*update NVIDIA/,
    );
    expect(message(cudaSession(capi, fakes, { deviceId: 3 }))).toBe(
      '--device: expected cuda:0 alone, got cuda:3; nvidia-smi -L lists the cards',
    );
  });

  test('without NVIDIA’s libraries: those that are missing, by the loader’s own messages', () => {
    const said = message(cudaSession(capi, ''));
    expect(said).toContain('libcuda.so.1: cannot open shared object file: No such file or directory');
    expect(said).toContain('docker run --gpus all');
  });

  test('--auto-batch takes the largest divisor that fits', () => {
    const batch = (memory: number) =>
      cudaSession(capi, fakes, { autoBatch: 48 }, { FAKE_CUDA_MEMORY: String(memory) });
    expect(batch(8e9).batchSize).toBe(48);
    expect(batch(1.94e9).batchSize).toBe(24);
    expect(message(batch(1e9))).toMatch(
      /^--auto-batch: one image needs about .* cuda:0, Fake GPU has 0.93 GiB; /,
    );
  });
});
