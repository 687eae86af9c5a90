import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../util/errors.js';
import { loadLibrary } from './library.js';

/** `0` leaves the kernels alone; a path names another library of them. */
export const kernelsVariable = 'MAE_KERNELS';

/** The library of custom operators of `src/kernels`. */
export interface Kernels {
  readonly path: string;
  /** The instructions that it uses here: plain, avx2, avx512, avx512_bf16 or amx. */
  readonly isa: string;
  /** Whether products of bfloat16 are faster here than those of float32. */
  readonly hasFastBfloat16: boolean;
}

/** The kernels that were built at set-up, or why there are none. */
export function findKernels(wanted = process.env[kernelsVariable]): Kernels | { readonly reason: string } {
  if (wanted === '0') return { reason: `${kernelsVariable}=0` };
  const built = new URL('../../dist/kernels/libmae_kernels.so', import.meta.url);
  const path = wanted ? resolve(wanted) : fileURLToPath(built);
  if (!existsSync(path))
    return { reason: `none at ${path}; npm run build compiles them with a C++ compiler` };
  try {
    const library = loadLibrary(path);
    const isa = library.func('mae_kernels_isa', 'str', [])() as string;
    const hasFastBfloat16 = library.func('mae_kernels_fast_bf16', 'int', [])() === 1;
    return { path, isa, hasFastBfloat16 };
  } catch (error) {
    return { reason: `${path} does not load: ${messageOf(error)}` };
  }
}
