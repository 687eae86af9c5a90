import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';

/** Cores that this process may keep busy: those of its affinity, or fewer where a container has a quota of their time. */
export function usableCores(root = '/'): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(cpuQuota(root))));
}

/** As people read it: `2 cores`, or `2 of 8 cores`. */
export function describeCores(): string {
  const usable = usableCores();
  const all = cpus().length;
  return usable < all ? `${usable} of ${all} cores` : `${usable} core${usable === 1 ? '' : 's'}`;
}

/**
 * Cores' worth of time that the control groups of this process have, the smallest on the way to their root; Infinity
 * where there is no limit. Linux: Documentation/admin-guide/cgroup-v2.rst, scheduler/sched-bwc.rst (version 1).
 *
 * @param root the folder of /proc and /sys
 */
export function cpuQuota(root = '/'): number {
  let quota = Number.POSITIVE_INFINITY;
  // hierarchy-ID:controller-list:cgroup-path; version 2 has no list
  for (const [, list = '', group = '/'] of read(join(root, 'proc/self/cgroup')).matchAll(
    /^\d+:(.*?):(.*)$/gm,
  )) {
    const isSecond = list === '';
    if (!isSecond && !list.split(',').includes('cpu')) continue;
    const mount = join(root, 'sys/fs/cgroup', list);
    // a container may see the path that its group has outside: what is not there says nothing
    for (let folder = group; ; folder = dirname(folder)) {
      quota = Math.min(quota, quotaOf(join(mount, folder), isSecond));
      if (folder === dirname(folder)) break;
    }
  }
  return quota;
}

/** `max 100000` or `150000 100000`; in version 1 two files, and -1 for none. */
function quotaOf(folder: string, isSecond: boolean): number {
  const [quota, period] = isSecond
    ? read(join(folder, 'cpu.max')).split(' ').map(Number)
    : ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((name) => Number(read(join(folder, name))));
  return quota! > 0 && period! > 0 ? quota! / period! : Number.POSITIVE_INFINITY;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
