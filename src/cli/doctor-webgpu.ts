import { formatAdapter, preferredAdapter, vulkanAdapters } from '../runtime/webgpu/adapters.js';

/** Rows of what WebGPU may run on; the first is the one that it prefers. */
export function webgpuRows(): [name: string, value: string][] {
  if (process.platform !== 'linux') return []; // Metal and Direct3D have no list that we could read
  const adapters = vulkanAdapters();
  if ('problem' in adapters) return [['    adapters', `none: ${adapters.problem}`]];
  const first = preferredAdapter(adapters);
  const sorted = [...adapters].sort((a, b) => Number(b === first) - Number(a === first));
  return sorted.map((adapter) => {
    const kind = adapter.kind === 'software' ? '' : `, ${adapter.kind}`;
    return ['    adapter', `${formatAdapter(adapter)}${kind}`];
  });
}
