import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { cpuQuota, usableCores } from '../../src/util/cores.js';

/** A folder with these files below it. */
function rootWith(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'mae-cores-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), `${text}\n`);
  }
  return root;
}

const groups = 'sys/fs/cgroup';
test.each<[string, Readonly<Record<string, string>>, number]>([
  ['no control groups', {}, Number.POSITIVE_INFINITY],
  [
    'none that limits',
    { 'proc/self/cgroup': '0::/', [`${groups}/cpu.max`]: 'max 100000' },
    Number.POSITIVE_INFINITY,
  ],
  ['a container', { 'proc/self/cgroup': '0::/', [`${groups}/cpu.max`]: '150000 100000' }, 1.5],
  [
    'the least of a group and those above it',
    {
      'proc/self/cgroup': '0::/user.slice/app.scope',
      [`${groups}/user.slice/cpu.max`]: '200000 100000',
      [`${groups}/user.slice/app.scope/cpu.max`]: 'max 100000',
    },
    2,
  ],
  [
    'a path outside of what is mounted',
    { 'proc/self/cgroup': '0::/../../x', [`${groups}/cpu.max`]: '50000 100000' },
    0.5,
  ],
  [
    'version 1, whose path is of the world outside',
    {
      'proc/self/cgroup': '12:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n0::/',
      [`${groups}/cpu,cpuacct/cpu.cfs_quota_us`]: '300000',
      [`${groups}/cpu,cpuacct/cpu.cfs_period_us`]: '100000',
    },
    3,
  ],
  [
    'version 1 without a limit',
    {
      'proc/self/cgroup': '1:cpu:/',
      [`${groups}/cpu/cpu.cfs_quota_us`]: '-1',
      [`${groups}/cpu/cpu.cfs_period_us`]: '100000',
    },
    Number.POSITIVE_INFINITY,
  ],
])('the quota of %s', (_, files, expected) => {
  expect(cpuQuota(rootWith(files))).toBe(expected);
});

test('usable cores are whole, at least one, and no more than the affinity allows', () => {
  const limited = (quota: string) => rootWith({ 'proc/self/cgroup': '0::/', [`${groups}/cpu.max`]: quota });
  expect(usableCores(limited('10000 100000'))).toBe(1);
  expect(usableCores(limited('190000 100000'))).toBe(1);
  expect(usableCores(limited('max 100000'))).toBe(availableParallelism());
  expect(usableCores(limited('99900000 100000'))).toBe(availableParallelism());
});
