import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compiledFile } from '../util/compiled.js';

/** Execution providers by the names that devices go by. */
export const providerNames = { cpu: 'CPU', cuda: 'CUDA', webgpu: 'WebGPU' } as const;

export interface ProviderStart {
  readonly name: string;
  /** Why it does not start; undefined if it does. */
  readonly problem: string | undefined;
}

/**
 * Whether an execution provider really starts; with `type`, whether it computes in that one. It is tried in a process
 * of its own, for a driver that is missing or broken may end the process that asks.
 */
export function tryProvider(name: string, type?: 'float16'): ProviderStart {
  const script = fileURLToPath(compiledFile('runtime/try-provider.js'));
  const { status, signal, stdout, stderr, error } = spawnSync(
    process.execPath,
    [script, name, ...(type ? [type] : [])],
    {
      encoding: 'utf8',
      timeout: 60_000,
    },
  );
  if (status === 0) return { name, problem: undefined };
  const said = (stdout.trim() || stderr.trim().split('\n').pop()) ?? '';
  return { name, problem: said || error?.message || `the process ended with ${signal ?? status}` };
}
