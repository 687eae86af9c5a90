import { expect, test } from 'vitest';
import { parsePolicy } from '../../../src/data/augment/policy.js';
import { drawOperations } from '../../../src/data/augment/rand-augment.js';
import { RandomStream } from '../../../src/util/random.js';

const draws = 6000;
const drawAll = (text: string, seed = 3) => {
  const policy = parsePolicy(text);
  return Array.from({ length: draws }, (_, position) =>
    drawOperations(new RandomStream(seed, 'rand-augment', 1, position), policy),
  );
};
/** Standard errors between a share of the draws and the one wanted. */
const apart = (count: number, share: number, total = draws) =>
  Math.abs(count / total - share) / Math.sqrt((share * (1 - share)) / total);

test('operators are drawn evenly, with replacement, and each is used with its probability', () => {
  const all = drawAll('rand-m9-mstd0.5-inc1');
  for (const [length, share] of [0.25, 0.5, 0.25].entries())
    expect(apart(all.filter((operations) => operations.length === length).length, share)).toBeLessThan(4.5);
  const names = all.flat().map(({ name }) => name);
  expect(new Set(names).size).toBe(15);
  for (const name of new Set(names))
    expect(apart(names.filter((each) => each === name).length, 1 / 15, names.length)).toBeLessThan(4.5);
  const twice = all.filter(([first, second]) => first && first.name === second?.name).length;
  expect(apart(twice, 0.25 / 15)).toBeLessThan(4.5);
  expect(drawAll('rand-p1').every(({ length }) => length === 2)).toBe(true);
  expect(drawAll('rand-p0').every(({ length }) => length === 0)).toBe(true);
});

const rotations = (text: string) =>
  drawAll(text).flatMap((operations) =>
    operations.filter(({ name }) => name === 'Rotate').map(({ argument }) => argument),
  );

test('magnitudes are fixed, normal and cut off, or uniform', () => {
  expect(new Set(rotations('rand-m7').map(Math.abs))).toEqual(new Set([21]));
  const signs = rotations('rand-m7-n5-p1');
  expect(apart(signs.filter((degrees) => degrees < 0).length, 0.5, signs.length)).toBeLessThan(4.5);

  const normal = rotations('rand-m9-mstd0.5-n5-p1').map((degrees) => Math.abs(degrees) / 3);
  expect(Math.max(...normal)).toBe(10);
  // P(N(9, ½) > 10) = 2.28 %, P(N(9, ½) < 8.5) = 15.87 %
  expect(apart(normal.filter((magnitude) => magnitude === 10).length, 0.0228, normal.length)).toBeLessThan(
    4.5,
  );
  expect(apart(normal.filter((magnitude) => magnitude < 8.5).length, 0.1587, normal.length)).toBeLessThan(
    4.5,
  );

  expect(new Set(rotations('rand-m15').map(Math.abs))).toEqual(new Set([30]));
  expect(new Set(rotations('rand-m15-mmax20').map(Math.abs))).toEqual(new Set([45]));

  const uniform = rotations('rand-m8-mstdinf-n5-p1').map((degrees) => Math.abs(degrees) / 3);
  for (const limit of [1, 4, 7]) {
    const below = uniform.filter((magnitude) => magnitude < limit).length;
    expect(apart(below, limit / 8, uniform.length)).toBeLessThan(4.5);
  }
});

test('weights draw each operator once at most, in proportion', () => {
  const all = drawAll('rand-tweights-p1-n3');
  expect(all.every((operations) => new Set(operations.map(({ name }) => name)).size === 3)).toBe(true);
  const first = all.map(([operation]) => operation!.name);
  const total = 3 + 2 + 2 + 1 + 1 + 3 * 0.25 + 7 * 0.05;
  expect(apart(first.filter((name) => name === 'Rotate').length, 3 / total)).toBeLessThan(4.5);
  expect(apart(first.filter((name) => name === 'ShearY').length, 2 / total)).toBeLessThan(4.5);
  expect(drawAll('rand-tweights-p1-n15').every(({ length }) => length === 15)).toBe(true);
});

test('draws depend on the seed and the position alone', () => {
  expect(drawAll('rand-m9-mstd0.5')).toEqual(drawAll('rand-m9-mstd0.5'));
  expect(drawAll('rand-m9-mstd0.5', 4)).not.toEqual(drawAll('rand-m9-mstd0.5'));
});
