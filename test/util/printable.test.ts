import { expect, test } from 'vitest';
import { printable } from '../../src/util/printable.js';

test('control characters and marks of direction are escaped, letters of all scripts are not', () => {
  expect(printable('a\u001b[31mred\nb\r\t\u0000\u007f\u009b1m\u202egpj.exe\u2028')).toBe(
    'a\\u001b[31mred\\nb\\r\\t\\u0000\\u007f\\u009b1m\\u202egpj.exe\\u2028',
  );
  const plain = 'für 猫 кот 😀 C:\\new é';
  expect(printable(plain)).toBe(plain);
});

test('JSON stays the same JSON', () => {
  const value = { image: 'a\n\u001b\u009b\u202e"\\.png' };
  expect(JSON.parse(printable(JSON.stringify(value)))).toEqual(value);
});
