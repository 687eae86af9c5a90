import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { prefault } from '../../src/runtime/prefault.js';
import { alignedFloat32Array } from '../../src/runtime/tensor.js';

function residentBytes(): number {
  return Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * 4096;
}

test.runIf(process.platform === 'linux')('memory comes and stays as it was', async () => {
  const before = residentBytes();
  const array = alignedFloat32Array(2 ** 26); // 256 MiB
  const small = new Float32Array(16);
  array[0] = 1;
  array[array.length - 1] = 2;
  prefault(array, small);
  const wanted = before + 0.9 * array.byteLength;
  for (let i = 0; i < 200 && residentBytes() < wanted; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(residentBytes()).toBeGreaterThan(wanted);
  expect([array[0], array[1], array[array.length - 1]]).toEqual([1, 0, 2]);
});
