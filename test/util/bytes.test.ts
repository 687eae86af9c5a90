import { expect, test } from 'vitest';
import { bytesOf } from '../../src/util/bytes.js';

test('bytes of a part of an array are those of that part, in the same memory', () => {
  const numbers = Float32Array.of(1, 2, 3);
  const bytes = bytesOf(numbers.subarray(1, 2));
  expect([...bytes]).toEqual([0, 0, 0, 0x40]); // 2, little-endian
  bytes[2] = 0x80;
  expect([...numbers]).toEqual([1, 4, 3]);
});
