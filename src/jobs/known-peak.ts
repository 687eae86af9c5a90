/** What this machine was measured to reach at best, kept in the user's cache by `mae bench step`. */
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { intraOpThreads } from '../runtime/threads.js';
import { cacheFolder } from '../util/cache-folder.js';
import { makeFolder } from '../util/make-folder.js';
import { writeJsonAtomically } from '../weights/checkpoint/durable-files.js';
import type { Prepared, PrepareOptions } from './prepare.js';

/** Operations a second, by what they were measured with. */
type Peaks = Readonly<Record<string, number>>;

const file = () => join(cacheFolder(), 'gemm-peaks.json');

/** Operations a second of one large Gemm with the run's device, precision and threads; undefined where none was measured. */
export async function knownPeak(prepared: Prepared<PrepareOptions>): Promise<number | undefined> {
  if (!isComparable(prepared)) return undefined;
  const peak = (await readPeaks())[keyOf(prepared)];
  return typeof peak === 'number' && peak > 0 ? peak : undefined;
}

/** Keeps a measurement; a cache that cannot be written is none. */
export async function keepPeak(prepared: Prepared<PrepareOptions>, flops: number): Promise<void> {
  if (!isComparable(prepared)) return;
  try {
    makeFolder(cacheFolder());
    await writeJsonAtomically(file(), { ...(await readPeaks()), [keyOf(prepared)]: flops });
  } catch {
    // no cache
  }
}

/** The measurement's product is float32 where the graph itself has another precision. */
function isComparable({ compute }: Prepared<PrepareOptions>): boolean {
  return compute.graphPrecision === undefined;
}

async function readPeaks(): Promise<Peaks> {
  try {
    const peaks: unknown = JSON.parse(await readFile(file(), 'utf8'));
    return typeof peaks === 'object' && peaks !== null ? (peaks as Peaks) : {};
  } catch {
    return {};
  }
}

/** A home directory may be that of several machines. */
function keyOf({ device, compute, options: { threads } }: Prepared<PrepareOptions>): string {
  const precision = compute.kernelPrecision ?? (compute.tf32 ? 'tf32' : 'fp32 without kernels');
  const cores = `threads ${intraOpThreads(threads) || 'of the machine'}`;
  return [cpus()[0]?.model ?? '', device.description, precision, cores].join(', ');
}
