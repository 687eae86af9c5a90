/**
 * The share of rows whose class is among the first k. Of equal scores that of the class comes last, and where one is no
 * number nothing is right: what the evaluation graph of a classifier says, too.
 *
 * @param logits scores [N, C]; the larger, the likelier
 */
export function accuracy(logits: Float32Array, labels: Int32Array, k: number): number {
  const count = labels.length;
  if (count === 0) throw new RangeError('accuracy: expected at least one row');
  const classes = logits.length / count;
  let right = 0;
  for (let row = 0; row < count; row++) {
    const scores = logits.subarray(row * classes, (row + 1) * classes);
    if (isAmongFirst(scores, labels[row]!, k)) right++;
  }
  return right / count;
}

/** Whether all classes but the first k score below this one. */
export function isAmongFirst(scores: Float32Array | Float64Array, label: number, k: number): boolean {
  const own = scores[label]!;
  let below = 0;
  for (let c = 0; c < scores.length; c++) if (scores[c]! < own) below++;
  return below >= scores.length - k && !Number.isNaN(own);
}

/** Σ over rows of log Σ exp(scores) − the score of the class: [N, C]. */
export function crossEntropy(logits: Float32Array, labels: Int32Array): number {
  const classes = logits.length / labels.length;
  let total = 0;
  for (let row = 0; row < labels.length; row++) {
    const scores = logits.subarray(row * classes, (row + 1) * classes);
    const largest = scores.reduce((a, b) => Math.max(a, b));
    let sum = 0;
    for (const score of scores) sum += Math.exp(score - largest);
    total += largest + Math.log(sum) - scores[labels[row]!]!;
  }
  return total;
}
