import { UserError } from '../../util/errors.js';
import type { OnnxRuntimeApi, Pointer } from '../api.js';
import { noFallback, type Provider } from '../provider.js';
import { explainCudaError } from './errors.js';
import { checkCudaLibraries } from './libraries.js';

/** What a run asks of the CUDA execution provider. */
export interface CudaOptions {
  /** Which card, as CUDA counts them (CUDA_VISIBLE_DEVICES hides some). */
  readonly deviceId: number;
  /** The most bytes that one session's arena takes; all there is where not given. */
  readonly memoryLimit?: number | undefined;
  /** Whether float32 products may round their factors to TF32's 10 bits of mantissa. */
  readonly tf32?: boolean | undefined;
}

/** `cuda` or `cuda:N`: the card's number; undefined for another device. */
export function parseCudaDevice(device: string): number | undefined {
  const match = /^cuda(?::(\d+))?$/.exec(device);
  if (match !== null) return Number(match[1] ?? 0);
  if (!/^cuda\b/.test(device)) return undefined;
  throw new UserError(`--device: expected cuda, or cuda:N with the number of a card, got "${device}"`);
}

/**
 * The options as ONNX Runtime takes them, all of them strings.
 * Source: onnxruntime.ai, "CUDA Execution Provider", Configuration Options.
 */
export function cudaProviderOptions(options: CudaOptions): Record<string, string> {
  const { deviceId, memoryLimit, tf32 = false } = options;
  return {
    device_id: String(deviceId),
    ...(memoryLimit !== undefined && { gpu_mem_limit: String(Math.floor(memoryLimit)) }),
    // shapes never change: the default, the next power of two, would ask for up to twice what a step needs
    arena_extend_strategy: 'kSameAsRequested',
    // read by Conv alone; the default, EXHAUSTIVE, times every algorithm in the first run
    cudnn_conv_algo_search: 'HEURISTIC',
    // copies on a stream of their own race with kernels: microsoft/onnxruntime#4829
    do_copy_in_default_stream: '1',
    // on by default since Ampere: float32 would not mean float32
    use_tf32: tf32 ? '1' : '0',
    // sums of a fused SkipLayerNormalization in float32 whatever its inputs are
    enable_skip_layer_norm_strict_mode: '1',
  };
}

/**
 * The CUDA provider for sessions. What they throw where it does not start is a UserError with the loader's or the
 * driver's own message and the remedy; nothing falls back to the CPU.
 */
export function cudaProvider(options: CudaOptions): Provider {
  return {
    append: (api, sessionOptions) => {
      checkCudaLibraries(api.libraryPath);
      noFallback(api, sessionOptions);
      withCudaOptions(api, options, (handle) =>
        api.call('SessionOptionsAppendExecutionProvider_CUDA_V2', sessionOptions, handle),
      );
    },
    explain: (error, api) => explainCudaError(error, api.libraryPath),
  };
}

/** Calls `use` with the options as ONNX Runtime's own structure. */
export function withCudaOptions<T>(
  api: OnnxRuntimeApi,
  options: CudaOptions,
  use: (handle: Pointer) => T,
): T {
  const handle = api.create('CreateCUDAProviderOptions');
  try {
    const entries = Object.entries(cudaProviderOptions(options));
    const keys = entries.map(([key]) => key);
    const values = entries.map(([, value]) => value);
    api.call('UpdateCUDAProviderOptions', handle, keys, values, entries.length);
    return use(handle);
  } finally {
    api.release('ReleaseCUDAProviderOptions', handle);
  }
}
