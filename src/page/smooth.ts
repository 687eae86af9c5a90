/**
 * Exponential moving average without the pull of its beginning, as TensorBoard draws it: s ← w·s + (1 − w)·x, divided by
 * 1 − wⁿ after n points.
 */
export function smoothed(values: readonly number[], weight: number): number[] {
  let [sum, total] = [0, 0];
  return values.map((value) => {
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}
