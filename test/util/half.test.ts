import { expect, test } from 'vitest';
import { bfloat16Bits, bfloat16ToFloat32, float16Bits, float16ToFloat32 } from '../../src/util/half.js';

const every = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);

test.each([
  ['float16', float16Bits, float16ToFloat32, 0x7c00],
  ['bfloat16', bfloat16Bits, bfloat16ToFloat32, 0x7f80],
] as const)(
  '%s: every number is its own nearest, a middle goes to the even one',
  (_, encode, decode, infinity) => {
    const values = decode(every);
    for (let bits = 0; bits < 2 ** 15; bits++) {
      const value = values[bits]!;
      if (Number.isNaN(value)) {
        expect(bits & infinity).toBe(infinity);
        expect(Number.isNaN(decode(Uint16Array.of(encode(value)))[0])).toBe(true);
        continue;
      }
      if (encode(value) !== bits) expect(encode(value), `${value}`).toBe(bits);
      if (encode(-value) !== bits + 0x8000) expect(encode(-value), `${-value}`).toBe(bits + 0x8000);
      const next = values[bits + 1]!;
      if (bits + 1 >= infinity) continue;
      const even = bits % 2 === 0 ? bits : bits + 1;
      if (encode((value + next) / 2) !== even)
        expect(encode((value + next) / 2), `${value}, ${next}`).toBe(even);
    }
    expect(values[infinity]).toBe(Infinity);
  },
);

test('beyond the largest float16 lies infinity from half a step on', () => {
  expect(float16Bits(65519.99)).toBe(0x7bff);
  expect(float16Bits(65520)).toBe(0x7c00);
  expect(float16Bits(-1e9)).toBe(0xfc00);
  expect(float16Bits(2 ** -25)).toBe(0);
});
