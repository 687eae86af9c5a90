import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { keepPeak, knownPeak } from '../../src/jobs/known-peak.js';
import { temporaryFolder } from '../train/support.js';

type Prepared = Parameters<typeof knownPeak>[0];

/** What of a run says by what it would be measured. */
function preparedWith(threads: number, compute: Partial<Prepared['compute']> = {}): Prepared {
  const device = { description: 'CPU' };
  return { device, options: { threads }, compute: { tf32: false, ...compute } } as Prepared;
}

test('a peak is that of the same device, precision and threads; a cache that is damaged has none', async () => {
  const cache = temporaryFolder();
  vi.stubEnv('XDG_CACHE_HOME', cache);
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(await knownPeak(preparedWith(1))).toBeUndefined();
  await keepPeak(preparedWith(1), 5e10);
  await keepPeak(preparedWith(2), 9e10);
  expect(await knownPeak(preparedWith(1))).toBe(5e10);
  expect(await knownPeak(preparedWith(2))).toBe(9e10);
  expect(await knownPeak(preparedWith(3))).toBeUndefined();
  expect(await knownPeak(preparedWith(1, { kernelPrecision: 'bf16' }))).toBeUndefined();
  await keepPeak(preparedWith(1, { graphPrecision: 'bf16' }), 1); // of another product
  expect(await knownPeak(preparedWith(1, { graphPrecision: 'bf16' }))).toBeUndefined();
  await keepPeak(preparedWith(1), 6e10);
  expect(await knownPeak(preparedWith(1))).toBe(6e10);
  const [file] = readdirSync(join(cache, 'mae'));
  for (const text of ['{', 'null', '3', '[]']) {
    writeFileSync(join(cache, 'mae', file!), text);
    expect(await knownPeak(preparedWith(1))).toBeUndefined();
  }
  vi.stubEnv('XDG_CACHE_HOME', '/proc/none');
  await keepPeak(preparedWith(1), 1);
  expect(await knownPeak(preparedWith(1))).toBeUndefined();
});
