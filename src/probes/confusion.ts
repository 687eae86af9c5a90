/** How many pictures of each class (row) are taken for each class (column): [C, C]. Of equal scores the first wins. */
export function confusionMatrix(logits: Float32Array, labels: Int32Array, classes: number): Int32Array {
  const matrix = new Int32Array(classes * classes);
  for (const [row, label] of labels.entries()) {
    const scores = logits.subarray(row * classes, (row + 1) * classes);
    matrix[label * classes + indexOfLargest(scores)]!++;
  }
  return matrix;
}

export function indexOfLargest(scores: Float32Array): number {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
}
