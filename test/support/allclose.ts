/** `expect(actual).toBeAllclose(expected)`: |actual − expected| ≤ atol + rtol·|expected| for every number. */
import { expect } from 'vitest';

export type Numbers = ArrayLike<number | bigint>;

export interface Tolerance {
  rtol?: number;
  atol?: number;
}

declare module 'vitest' {
  // biome-ignore lint/suspicious/noExplicitAny: the parameter has to be declared as vitest declares it
  interface Matchers<T = any> {
    toBeAllclose(expected: Numbers, tolerance?: Tolerance): T;
  }
}

expect.extend({
  toBeAllclose(actual: Numbers, expected: Numbers, { rtol = 1e-5, atol = 1e-7 }: Tolerance = {}) {
    if (actual.length !== expected.length) {
      return {
        pass: false,
        message: () => `toBeAllclose: expected ${expected.length} numbers, got ${actual.length}`,
      };
    }
    let wrong = 0;
    let worst = { index: -1, error: 0 };
    for (let index = 0; index < expected.length; index++) {
      const [got, wanted] = [Number(actual[index]), Number(expected[index])];
      const error = got === wanted ? 0 : Math.abs(got - wanted);
      if (error <= atol + rtol * Math.abs(wanted) && error < Infinity) continue;
      wrong++;
      // NaN is worse than any number
      if (worst.index < 0 || !(error <= worst.error)) worst = { index, error };
    }
    const { index, error } = worst;
    return {
      pass: wrong === 0,
      message: () =>
        wrong === 0
          ? `toBeAllclose: expected numbers that differ, got ${expected.length} within rtol ${rtol}, atol ${atol}`
          : `toBeAllclose: ${wrong} of ${expected.length} numbers outside rtol ${rtol}, atol ${atol}; the worst, ` +
            `[${index}], is ${actual[index]}, expected ${expected[index]}: an error of ${error}`,
    };
  },
});

/** ‖actual − expected‖ / ‖expected‖. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.NaN;
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}
