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
