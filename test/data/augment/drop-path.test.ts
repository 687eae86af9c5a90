import { expect, test } from 'vitest';
import { drawDropPath } from '../../../src/data/augment/drop-path.js';
import { RandomStream } from '../../../src/util/random.js';

test('each residual is dropped with the probability of its block, by itself, and the others make up for it', () => {
  const rates = [0, 0.1, 0.3];
  const draws = 5000;
  const kept = new Array<number>(6).fill(0);
  let both = 0;
  for (let position = 0; position < draws; position++) {
    const out = new Float32Array(6);
    drawDropPath(new RandomStream(4, 'drop-path', 2, position), rates, out);
    out.forEach((factor, i) => {
      if (factor !== 0) {
        expect(factor).toBe(Math.fround(1 / (1 - rates[i >> 1]!)));
        kept[i]!++;
      }
    });
    if (out[4] === 0 && out[5] === 0) both++;
  }
  kept.forEach((count, i) => {
    const rate = rates[i >> 1]!;
    const error = Math.sqrt((rate * (1 - rate)) / draws);
    expect(Math.abs(count / draws - (1 - rate))).toBeLessThanOrEqual(4.5 * error);
  });
  expect(Math.abs(both / draws - 0.09)).toBeLessThan(4.5 * Math.sqrt((0.09 * 0.91) / draws));
});
