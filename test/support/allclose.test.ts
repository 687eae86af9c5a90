import { expect, test } from 'vitest';
import './allclose.js';

test('toBeAllclose accepts what is within rtol of the expected number plus atol, and nothing else', () => {
  expect([100.9, -0.05]).toBeAllclose([100, 0], { rtol: 1e-2, atol: 0.06 });
  expect(() => expect([100.9]).toBeAllclose([100], { rtol: 1e-3, atol: 0.06 })).toThrow();
  expect(() => expect([1, Number.NaN]).toBeAllclose([1, 2], { rtol: 10 })).toThrow();
  expect(() => expect([Infinity]).toBeAllclose([1], { rtol: 10 })).toThrow();
  expect(() => expect([1]).toBeAllclose([Infinity], { rtol: 10 })).toThrow();
  expect(() => expect([1]).toBeAllclose([1, 1])).toThrow('expected 2 numbers, got 1');
  expect([1]).not.toBeAllclose([2]);
});

test('its failure names the worst place, both numbers and the error', () => {
  expect(() => expect([1, 5, 4]).toBeAllclose([1, 2, 3], { rtol: 0, atol: 0.5 })).toThrow(
    'toBeAllclose: 2 of 3 numbers outside rtol 0, atol 0.5; the worst, [1], is 5, expected 2: an error of 3',
  );
  expect(() => expect([9, Number.NaN]).toBeAllclose([1, 2])).toThrow(
    '[1], is NaN, expected 2: an error of NaN',
  );
});
