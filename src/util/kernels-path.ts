import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compiledFile } from './compiled.js';

/** `0` leaves the kernels alone; a path names another library of them. */
export const kernelsVariable = 'MAE_KERNELS';

/** The library of `src/kernels` that set-up built or the variable names, or why there is none. */
export function kernelsPath(
  wanted = process.env[kernelsVariable],
): { readonly path: string } | { readonly reason: string } {
  if (wanted === '0') return { reason: `${kernelsVariable}=0` };
  const path = wanted ? resolve(wanted) : fileURLToPath(compiledFile('kernels/libmae_kernels.so'));
  if (existsSync(path)) return { path };
  return { reason: `none at ${path}; npm run build compiles them with a C++ compiler` };
}
