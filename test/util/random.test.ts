import { describe, expect, test } from 'vitest';
import { loadPhilox } from '../../src/util/philox-wasm.js';
import { philox4x32, RandomStream } from '../../src/util/random.js';

// kat_vectors of Random123, the authors' own library: counter, key, output
test.each<[number[], number[], number[]]>([
  [
    [0, 0, 0, 0],
    [0, 0],
    [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
  ],
  [
    [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  ],
  [
    [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
    [0xa4093822, 0x299f31d0],
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  ],
])('Philox4x32-10 of counter %j under key %j', (counter, key, expected) => {
  const out = new Uint32Array(4);
  philox4x32(out, ...(counter as [number, number, number, number]), ...(key as [number, number]));
  expect([...out]).toEqual(expected);
});

test('this machine runs Philox in WebAssembly', () => {
  expect(loadPhilox()).toBeDefined();
});

describe('fillUniform gives what uniform gives, one by one', () => {
  // shorter than a batch, a batch and one more, several; a whole number of blocks and not
  test.each([1, 5, 63, 64, 67, 4096, 16384, 16385, 40003])('%i numbers, three times', (length) => {
    const filled = new RandomStream(2 ** 40 + 77, 'init', 4, 2 ** 32 - 1);
    const single = new RandomStream(2 ** 40 + 77, 'init', 4, 2 ** 32 - 1);
    for (let i = 0; i < 3; i++) {
      const numbers = new Float32Array(length);
      filled.fillUniform(numbers, -0.3, 0.7);
      expect(numbers).toEqual(Float32Array.from({ length }, () => single.uniform(-0.3, 0.7)));
      expect(filled.uint32()).toBe(single.uint32());
    }
  });
});

test.each([1, 2, 7, 64, 40_001])(
  'fillNormal fills %i places with finite numbers, the same each time',
  (length) => {
    const fill = () => {
      const target = new Float32Array(length);
      new RandomStream(5, 'erasing', 1, 2).fillNormal(target);
      return target;
    };
    const numbers = fill();
    expect(numbers).toEqual(fill());
    expect(numbers.every((number) => Number.isFinite(number) && number !== 0)).toBe(true);
  },
);

test('fillNormal has the moments and the tails of the normal distribution', () => {
  const count = 400_000;
  const numbers = new Float32Array(count);
  new RandomStream(3, 'erasing').fillNormal(numbers);
  const mean = (f: (x: number) => number) => numbers.reduce((sum, x) => sum + f(x), 0) / count;
  // standard errors of the moments of N(0, 1): √(E x^2n − (E x^n)²)
  expect(Math.abs(mean((x) => x))).toBeLessThan(4.5 / Math.sqrt(count));
  expect(Math.abs(mean((x) => x ** 2) - 1)).toBeLessThan(4.5 * Math.sqrt(2 / count));
  expect(Math.abs(mean((x) => x ** 4) - 3)).toBeLessThan(4.5 * Math.sqrt(96 / count));
  const pairs = mean((x) => x) ** 2; // neighbours are the two of a pair: uncorrelated
  let products = 0;
  for (let i = 0; i < count; i += 2) products += numbers[i]! * numbers[i + 1]!;
  expect(Math.abs(products / (count / 2) - pairs)).toBeLessThan(4.5 * Math.sqrt(2 / count));
  // P(|x| > 3) = 0.27 %
  const tail = mean((x) => Number(Math.abs(x) > 3));
  expect(Math.abs(tail - 0.0027)).toBeLessThan(4.5 * Math.sqrt(0.0027 / count));
});
