import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compiledFile } from '../../util/compiled.js';

export interface CudaCard {
  readonly name: string;
  /** The number of its generation, such as 9.0 for Hopper. */
  readonly computeCapability: number;
  readonly memoryBytes: number;
  /** What is free beside a context of the asking process's own, as a run has one. */
  readonly freeBytes: number;
}

export interface CudaDriver {
  /** The newest version of CUDA that the driver serves, such as 13.0. */
  readonly cudaVersion: string;
  readonly cards: readonly CudaCard[];
}

/**
 * What NVIDIA's driver says of the cards, or why it does not, in its own words. It is asked in a process of its own,
 * for a broken driver may end the process that asks.
 */
export function queryCudaDriver(): CudaDriver | { readonly problem: string } {
  const script = fileURLToPath(compiledFile('runtime/cuda/try-driver.js'));
  const { status, signal, stdout, error } = spawnSync(process.execPath, [script], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  try {
    return JSON.parse(stdout) as CudaDriver | { readonly problem: string };
  } catch {
    return { problem: error?.message ?? `the driver ended the process that asked (${signal ?? status})` };
  }
}
