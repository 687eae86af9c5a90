/** Frozen features of pictures whose classes are known. */
export interface LabelledFeatures {
  /** float32 [N, D], a row a picture. */
  readonly values: Float32Array;
  /** D */
  readonly size: number;
  /** The class of each row, 0 … classes − 1. */
  readonly labels: Int32Array;
}

/** Some of the rows, in the order given; a row may be named twice. */
export function selectRows(features: LabelledFeatures, rows: ArrayLike<number>): LabelledFeatures {
  const { size } = features;
  const values = new Float32Array(rows.length * size);
  const labels = new Int32Array(rows.length);
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    values.set(features.values.subarray(row * size, (row + 1) * size), i * size);
    labels[i] = features.labels[row]!;
  }
  return { values, size, labels };
}

/** The rows of each class, in their order. */
export function rowsByClass(labels: Int32Array, classes: number): number[][] {
  const rows = Array.from({ length: classes }, (): number[] => []);
  for (const [row, label] of labels.entries()) {
    const found = rows[label];
    if (found === undefined) throw new RangeError(`labels: expected 0 … ${classes - 1}, got ${label}`);
    found.push(row);
  }
  return rows;
}
