import { expect, test } from 'vitest';
import { beta } from '../../src/util/beta.js';
import { RandomStream } from '../../src/util/random.js';
import { augmentGoldens, quantileErrors } from '../data/augment/support.js';

test.each(augmentGoldens.beta)('Beta($a, $b) has the quantiles of scipy', ({ a, b, quantiles }) => {
  const random = new RandomStream(12, 'mix');
  const values = Array.from({ length: 30_000 }, () => beta(random, a, b));
  expect(values.every((value) => value >= 0 && value <= 1)).toBe(true);
  expect(quantileErrors(values, quantiles)).toBeLessThan(4.5);
});
