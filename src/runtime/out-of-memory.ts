import { messageOf } from '../util/errors.js';

/**
 * What allocators say when there is no more: ONNX Runtime's arenas (bfc_arena.cc), the CUDA runtime, cuBLAS and cuDNN,
 * Dawn under WebGPU, the C++ library, V8. A group, where there is one, is the bytes that were asked for.
 */
const messages: readonly RegExp[] = [
  /Failed to allocate memory for requested buffer of size (\d+)/i,
  /Available memory of \d+ is smaller than requested bytes of (\d+)/,
  /BFC Arena ran out of memory trying to allocate (\d+)/,
  /CUDA failure 2: /,
  /CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED/,
  /Buffer size \((\d+)\) exceeds the max buffer size limit/,
  /out of memory|OutOfMemory/i,
  /bad_alloc|bad array new length/,
  /Array buffer allocation failed/i,
];

/** Whether an error says that memory ran out, and how much was asked for at last. */
export function outOfMemory(error: unknown): { readonly requestedBytes?: number } | undefined {
  const message = messageOf(error);
  for (const pattern of messages) {
    const match = pattern.exec(message);
    if (match !== null) return match[1] === undefined ? {} : { requestedBytes: Number(match[1]) };
  }
  return undefined;
}
