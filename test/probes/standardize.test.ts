import { expect, test } from 'vitest';
import '../support/allclose.js';
import { standardize } from '../../src/probes/standardize.js';
import { UserError } from '../../src/util/errors.js';
import { goldenFeatures } from './support.js';

const features = (rows: readonly (readonly number[])[]) => ({
  values: Float32Array.from(rows.flat()),
  size: rows[0]!.length,
  labels: new Int32Array(rows.length),
});

test.each(['seven', 'two'] as const)(
  '%s: as StandardScaler, which has seen the training set alone',
  (name) => {
    const train = goldenFeatures(name, 'train', false);
    const [ours, val] = standardize(train, [goldenFeatures(name, 'val', false)]);
    expect(ours!.values).toBeAllclose(goldenFeatures(name, 'train').values, { rtol: 1e-6, atol: 1e-6 });
    expect(val!.values).toBeAllclose(goldenFeatures(name, 'val').values, { rtol: 1e-6, atol: 1e-6 });
    expect(ours!.labels).toBe(train.labels);
  },
);

test('a column that is constant in the training set becomes 0 everywhere', () => {
  const sets = standardize(
    features([
      [0.1, 1],
      [0.1, 2],
      [0.1, 3],
    ]),
    [features([[7, 2]])],
  );
  const deviation = Math.sqrt(2 / 3);
  expect(sets[0]!.values).toBeAllclose(Float32Array.of(0, -1 / deviation, 0, 0, 0, 1 / deviation));
  expect([...sets[1]!.values]).toEqual([0, 0]);
});

test.each([
  [
    'all the same',
    features([
      [1, 2],
      [1, 2],
      [1, 2],
    ]),
    /differ between pictures, got the same for all 3; /,
  ],
  ['one picture', features([[1, 2]]), /differ between pictures, got one picture; /],
  [
    'no number',
    features([
      [1, 2],
      [1, Number.NaN],
    ]),
    /expected finite numbers, /,
  ],
  [
    'infinite',
    features([
      [1, 2],
      [1, Number.POSITIVE_INFINITY],
    ]),
    /expected finite numbers, /,
  ],
])('refused: %s', (_, train, message) => {
  expect(() => standardize(train, [])).toThrow(UserError);
  expect(() => standardize(train, [])).toThrow(message);
});

test('refused: numbers of another set that are none here', () => {
  const train = features([[1e-30], [2e-30]]);
  expect(() => standardize(train, [features([[1e30]])])).toThrow(/too far from those of the training set/);
});
