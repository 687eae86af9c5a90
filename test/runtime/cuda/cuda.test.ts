import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { OnnxRuntimeError } from '../../../src/runtime/api.js';
import { neededLibraries } from '../../../src/runtime/cuda/elf.js';
import { explainCudaError } from '../../../src/runtime/cuda/errors.js';
import {
  checkCudaLibraries,
  cudaInstallCommand,
  findCudaLibraries,
} from '../../../src/runtime/cuda/libraries.js';
import { cudaProviderOptions, parseCudaDevice } from '../../../src/runtime/cuda/provider.js';
import { findLibrary } from '../../../src/runtime/library.js';
import { UserError } from '../../../src/util/errors.js';
import { fakeProvider, noCompiler } from '../../support/fake-cuda.js';

const noFakes = noCompiler();
if (noFakes !== undefined) console.warn(`missing CUDA libraries are not tested: ${noFakes}`);

const folder = mkdtempSync(join(tmpdir(), 'mae-cuda-'));
afterAll(() => rmSync(folder, { recursive: true }));

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
  throw new Error('messageOf: expected a UserError');
}

test('cuda and cuda:N name a card', () => {
  expect(['cuda', 'cuda:0', 'cuda:12', 'cpu', 'webgpu'].map(parseCudaDevice)).toEqual([
    0,
    0,
    12,
    undefined,
    undefined,
  ]);
  for (const device of ['cuda:', 'cuda:x', 'cuda:-1', 'cuda:1.5', 'cuda 1'])
    expect(messageOf(() => parseCudaDevice(device))).toBe(
      `--device: expected cuda, or cuda:N with the number of a card, got "${device}"`,
    );
});

test('options are strings', () => {
  expect(cudaProviderOptions({ deviceId: 1 })).toMatchInlineSnapshot(`
    {
      "arena_extend_strategy": "kSameAsRequested",
      "cudnn_conv_algo_search": "HEURISTIC",
      "device_id": "1",
      "do_copy_in_default_stream": "1",
      "enable_skip_layer_norm_strict_mode": "1",
      "use_tf32": "0",
    }
  `);
  expect(cudaProviderOptions({ deviceId: 0, memoryLimit: 1.5 * 2 ** 30 + 0.5, tf32: true })).toMatchObject({
    gpu_mem_limit: '1610612736',
    use_tf32: '1',
  });
});

describe('libraries', () => {
  test.runIf(process.platform === 'linux')('what a library needs is read without loading it', () => {
    const needed = neededLibraries(findLibrary(''));
    expect(needed).toContain('libc.so.6');
    expect(needed).toContain('libstdc++.so.6');
    const text = join(folder, 'text.so');
    writeFileSync(text, 'no library');
    expect(neededLibraries(text)).toEqual([]);
  });

  test.skipIf(process.platform === 'darwin')('no provider: where it would be, and how to get one', () => {
    const message = messageOf(() => checkCudaLibraries(findLibrary('')));
    expect(message).toMatch(
      /^--device cuda: expected ONNX Runtime's CUDA provider at .*providers_cuda\.\w+, found none; /,
    );
    expect(message).toContain(
      'pip install "onnxruntime-gpu[cuda,cudnn]>=1.30", and set MAE_ONNXRUNTIME_LIBRARY',
    );
    const command = cudaInstallCommand();
    if (command !== undefined) expect(message).toContain(command);
  });

  test.runIf(process.platform === 'linux' && process.arch === 'x64')(
    'the installer of onnxruntime-node is there',
    () => {
      const [, script, flag] = /^node (\S+) (\S+)$/.exec(cudaInstallCommand()!)!;
      expect(existsSync(script!)).toBe(true);
      // the installer's own words
      expect(readFileSync(script!, 'utf8')).toContain(flag);
      const { requirements } = createRequire(import.meta.url)(join(script!, '..', 'install-metadata.js'));
      expect(requirements['linux/x64']).toEqual(['cuda12']);
      expect(requirements['win32/x64']).toEqual([]);
    },
  );

  test.skipIf(noFakes)('missing libraries of NVIDIA’s: the loader’s own messages and what to install', () => {
    const needed = ['libcublasLt.so.12', 'libcudart.so.12', 'libcuda.so.1'];
    const library = fakeProvider(join(folder, 'twelve'), needed);
    const found = findCudaLibraries(library);
    expect(found.cudaVersion).toBe(12);
    expect(found.needed.map(({ name }) => name)).toEqual(needed);
    const message = messageOf(() => checkCudaLibraries(library));
    expect(message).toContain('libcublasLt.so.12: cannot open shared object file: No such file or directory');
    expect(message).toContain('install CUDA 12');
    expect(message).toContain('nvidia-cublas-cu12');
    expect(message).toContain('docker run --gpus all');
  });
});

/** What ONNX Runtime 1.30 says with the real libcudart 13.5 and cuDNN 9.28, over a driver that has no card. */
const parse = (said: string) =>
  '/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc:62 static onnxruntime::' +
  'CUDAExecutionProviderInfo onnxruntime::CUDAExecutionProviderInfo::FromProviderOptions(const onnxruntime::' +
  'ProviderOptions&) [ONNXRuntimeError] : 1 : FAIL : provider_options_utils.h:187 Parse Failed to parse provider ' +
  `option "device_id": ${said}`;
const failure = (said: string) =>
  parse(
    `CUDA failure ${said} ; GPU=-1 ; hostname=host ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/` +
      'cuda_execution_provider_info.cc ; line=69 ; expr=cudaGetDeviceCount(&num_devices); \n',
  );
const noCudnnHandle =
  'Exception during initialization: /onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::' +
  'conditional_t<THRW, void, onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const char*, const char*, ' +
  'SUCCTYPE, const char*, const char*, int) [with ERRTYPE = cudnnStatus_t; bool THRW = true; SUCCTYPE = ' +
  'cudnnStatus_t; std::conditional_t<THRW, void, common::Status> = void] CUDNN failure 1001: ' +
  'CUDNN_STATUS_NOT_INITIALIZED ; GPU=0 ; hostname=host ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/' +
  'cuda_execution_provider.cc ; line=247 ; expr=cudnnCreate(&cudnn_handle_); \n\n';

describe('what the provider says', () => {
  const explained = (message: string): unknown =>
    explainCudaError(
      new OnnxRuntimeError('ONNX Runtime UpdateCUDAProviderOptions', 1, message),
      findLibrary(''),
    );

  test.each([
    [
      'no card',
      failure('100: no CUDA-capable device is detected'),
      /^--device cuda: no CUDA-capable device is detected \(CUDA error 100\); nvidia-smi .*--gpus all/,
    ],
    [
      'a driver that is too old',
      failure('35: CUDA driver version is insufficient for CUDA runtime version'),
      /^--device cuda: CUDA driver version is insufficient for CUDA runtime version \(CUDA error 35\); update/,
    ],
    [
      'a driver that was updated under way',
      failure('803: system has unsupported display driver / cuda driver combination'),
      /^--device cuda: system has unsupported .* \(CUDA error 803\); .*restart the machine/,
    ],
    ['a driver that is lost', failure('999: unknown error'), /unknown error \(CUDA error 999\); restart/],
    [
      'a number with no card, of one',
      parse(
        'cuda_execution_provider_info.cc:70 operator() Invalid device ID: 3, must be between 0 (inclusive) and 1 (exclusive).\n',
      ),
      /^--device: expected cuda:0 alone, got cuda:3; nvidia-smi -L lists the cards$/,
    ],
    [
      'a number with no card, of four',
      parse(
        'cuda_execution_provider_info.cc:70 operator() Invalid device ID: 7, must be between 0 (inclusive) and 4 (exclusive).\n',
      ),
      /^--device: expected cuda:0 to cuda:3, got cuda:7;/,
    ],
    [
      'no handle of cuDNN',
      noCudnnHandle,
      /^--device cuda: cudnnCreate says CUDNN_STATUS_NOT_INITIALIZED; .*mae doctor/,
    ],
    [
      'a node without a kernel',
      'This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.',
      /^--device cuda: .*no CUDA kernels for some operators.*1\.30 or later/,
    ],
    [
      'a provider that does not load',
      'OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library',
      /^--device cuda: the CUDA provider does not load \(no file at .*providers_cuda/,
    ],
  ])('%s', (_, message, expected) => {
    const error = explained(message);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(expected);
    expect((error as UserError).message).not.toContain('\n');
  });

  test('anything else stays as it is', () => {
    const other = new OnnxRuntimeError(
      'ONNX Runtime RunWithBinding',
      1,
      'CUDA failure 700: an illegal memory access ; GPU=0',
    );
    expect(explainCudaError(other, findLibrary(''))).toBe(other);
    const error = new TypeError('no error of ONNX Runtime');
    expect(explainCudaError(error, findLibrary(''))).toBe(error);
  });
});
