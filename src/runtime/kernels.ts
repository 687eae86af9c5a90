import { messageOf } from '../util/errors.js';
import { kernelsPath } from '../util/kernels-path.js';
import { loadLibrary } from './library.js';

/** The library of custom operators of `src/kernels`. */
export interface Kernels {
  readonly path: string;
  /** The instructions that it uses here: plain, avx2, avx512, avx512_bf16 or amx. */
  readonly isa: string;
  /** Whether products of bfloat16 are faster here than those of float32. */
  readonly hasFastBfloat16: boolean;
}

/** The kernels that were built at set-up, or why there are none. */
export function findKernels(wanted?: string): Kernels | { readonly reason: string } {
  const found = kernelsPath(wanted);
  if (!('path' in found)) return found;
  const { path } = found;
  try {
    const library = loadLibrary(path);
    const isa = library.func('mae_kernels_isa', 'str', [])() as string;
    const hasFastBfloat16 = library.func('mae_kernels_fast_bf16', 'int', [])() === 1;
    return { path, isa, hasFastBfloat16 };
  } catch (error) {
    return { reason: `${path} does not load: ${messageOf(error)}` };
  }
}
