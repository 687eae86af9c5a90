import { expect, test } from 'vitest';
import { accuracy } from '../../src/probes/accuracy.js';
import { confusionMatrix } from '../../src/probes/confusion.js';

const logits = Float32Array.of(...[3, 2, 1, 0], ...[0, 3, 2, 1], ...[1, 1, 1, 1], ...[0, 0, Number.NaN, 5]);

test('the share of rows whose class is among the first k', () => {
  const first = logits.subarray(0, 8);
  expect([1, 2, 3, 4].map((k) => accuracy(first, Int32Array.of(0, 3), k))).toEqual([0.5, 0.5, 1, 1]);
});

test('of equal scores that of the class comes last, and a class without a number is wrong', () => {
  const last = logits.subarray(8);
  expect([1, 3, 4].map((k) => accuracy(last, Int32Array.of(0, 2), k))).toEqual([0, 0, 0.5]);
});

test('no rows are refused', () => {
  expect(() => accuracy(new Float32Array(), new Int32Array(), 1)).toThrow(RangeError);
});

test('confusion: rows are classes, columns what they are taken for', () => {
  const matrix = confusionMatrix(logits.subarray(0, 12), Int32Array.of(0, 3, 3), 4);
  expect([...matrix]).toEqual([...[1, 0, 0, 0], ...[0, 0, 0, 0], ...[0, 0, 0, 0], ...[1, 1, 0, 0]]);
});
