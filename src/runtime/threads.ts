import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { usableCores } from '../util/cores.js';

/**
 * Threads for a session: as many as are asked for; for 0, ONNX Runtime's own number, one a physical core of the machine,
 * or 0 for it. It knows nothing of quotas and affinities, and threads that wait for each other's turn are slow.
 */
export function intraOpThreads(asked: number): number {
  if (asked > 0) return asked;
  const usable = usableCores();
  return usable < physicalCores() ? usable : 0;
}

/** A line where more threads are asked for than can run at once. */
export function threadsNote(asked: number): string | undefined {
  const usable = usableCores();
  if (asked <= usable) return undefined;
  const cores = usable === 1 ? '1 core' : `${usable} cores`;
  return `--threads ${asked}: this process may use ${cores}; more threads than that are slower`;
}

/** Processors that share a core name the same siblings. */
function physicalCores(): number {
  try {
    const folder = '/sys/devices/system/cpu';
    const names = readdirSync(folder).filter((name) => /^cpu\d+$/.test(name));
    return new Set(
      names.map((name) => readFileSync(`${folder}/${name}/topology/thread_siblings_list`, 'utf8')),
    ).size;
  } catch {
    return cpus().length;
  }
}
