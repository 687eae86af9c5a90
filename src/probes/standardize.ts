import { UserError } from '../util/errors.js';
import type { LabelledFeatures } from './labelled-features.js';

/**
 * (x − mean) / deviation of each column, both of the training set: [train, …others], new arrays. A column that is constant
 * there says nothing and becomes 0. The deviation is the biased one, as in scikit-learn's StandardScaler.
 */
export function standardize(
  train: LabelledFeatures,
  others: readonly LabelledFeatures[],
): readonly LabelledFeatures[] {
  const { mean, scale } = columnStatistics(train);
  return [train, ...others].map((features) => ({ ...features, values: applied(features, mean, scale) }));
}

/** The mean and 1 / deviation of each column, in float64. */
function columnStatistics({ values, size }: LabelledFeatures): { mean: Float64Array; scale: Float64Array } {
  const count = values.length / size;
  const mean = new Float64Array(size);
  const squares = new Float64Array(size);
  const isConstant = new Uint8Array(size).fill(1);
  for (let at = 0; at < values.length; ) {
    for (let column = 0; column < size; column++, at++) {
      mean[column]! += values[at]! / count;
      if (values[at] !== values[column]) isConstant[column] = 0;
    }
  }
  if (mean.some((value) => !Number.isFinite(value))) throw notFinite();
  if (!isConstant.includes(0)) {
    const what = count === 1 ? 'one picture' : `the same for all ${count}`;
    throw new UserError(
      `features: expected features that differ between pictures, got ${what}; ` +
        'use other weights (an encoder that has collapsed gives the same for all) or other pictures',
    );
  }
  for (let at = 0; at < values.length; ) {
    for (let column = 0; column < size; column++, at++)
      squares[column]! += (values[at]! - mean[column]!) ** 2 / count;
  }
  const scale = squares.map((square, column) => (isConstant[column] === 1 ? 0 : 1 / Math.sqrt(square)));
  return { mean, scale };
}

function applied({ values, size }: LabelledFeatures, mean: Float64Array, scale: Float64Array): Float32Array {
  const result = new Float32Array(values.length);
  let sum = 0; // no number where one of them is none, or is infinite
  for (let at = 0; at < values.length; ) {
    for (let column = 0; column < size; column++, at++) {
      result[at] = (values[at]! - mean[column]!) * scale[column]!;
      sum += result[at]! * 0;
    }
  }
  if (Number.isNaN(sum)) throw notFinite();
  return result;
}

function notFinite(): UserError {
  return new UserError(
    'features: expected finite numbers, got some that are not or are too far from those of the training set; ' +
      'the weights are too large: use an earlier checkpoint',
  );
}
