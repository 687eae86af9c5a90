import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compiledFile } from '../../util/compiled.js';

/** What WebGPU may run on. */
export interface Adapter {
  readonly name: string;
  readonly kind: 'discrete' | 'integrated' | 'virtual' | 'software' | 'other';
}

/**
 * The adapters that Vulkan has, which is what WebGPU uses on Linux. ONNX Runtime does not tell which it took, and has no
 * option to choose; the loader is asked in a process of its own, for a broken driver may end it.
 */
export function vulkanAdapters(): readonly Adapter[] | { readonly problem: string } {
  const script = fileURLToPath(compiledFile('runtime/webgpu/list-vulkan-adapters.js'));
  const { status, signal, stdout, error } = spawnSync(process.execPath, [script], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (status === 0) return JSON.parse(stdout) as Adapter[];
  return { problem: stdout.trim() || (error?.message ?? `the process ended with ${signal ?? status}`) };
}

/** The order in which Dawn, asked for the most powerful adapter, takes them. Source: Instance::EnumerateAdapters. */
const preference: readonly Adapter['kind'][] = ['discrete', 'integrated', 'software', 'virtual', 'other'];

export function preferredAdapter(adapters: readonly Adapter[]): Adapter | undefined {
  const rank = ({ kind }: Adapter) => preference.indexOf(kind);
  return [...adapters].sort((a, b) => rank(a) - rank(b))[0];
}

export function formatAdapter({ name, kind }: Adapter): string {
  return kind === 'software' ? `${name} (software)` : name;
}
