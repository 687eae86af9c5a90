import { expect, test } from 'vitest';
import { rankMe } from '../../src/probes/rank-me.js';
import { goldenFeatures, goldens } from './support.js';

test.each(['seven', 'two'] as const)(
  "%s: as by numpy's singular values, with fewer rows than columns too",
  (name) => {
    const { values, size } = goldenFeatures(name, 'train', false);
    expect(rankMe({ values, size })).toBeCloseTo(goldens[name].rankMe.train, 4);
    expect(rankMe({ values: values.subarray(0, 9 * size), size })).toBeCloseTo(
      goldens[name].rankMe.firstNine,
      4,
    );
  },
);

test('orthogonal columns of one length: their number', () => {
  const values = new Float32Array(8 * 5);
  for (let i = 0; i < 5; i++) values[i * 5 + i] = 3;
  expect(rankMe({ values, size: 5 })).toBeCloseTo(5, 4);
});

test('one direction: 1; nothing but zeros: 0', () => {
  const values = Float32Array.from({ length: 60 }, (_, i) => Math.ceil((i + 1) / 4) * ((i % 4) + 1));
  expect(rankMe({ values, size: 4 })).toBeCloseTo(1, 3);
  expect(rankMe({ values: new Float32Array(60), size: 4 })).toBe(0);
});

test('of many rows, those from all over, not the first', () => {
  // a class after the other, each in a direction of its own
  const values = new Float32Array(40_000 * 4);
  for (let row = 0; row < 40_000; row++) values[row * 4 + Math.floor(row / 10_000)] = 1;
  expect(rankMe({ values, size: 4 })).toBeCloseTo(4, 2);
});
