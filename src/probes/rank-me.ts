import type { LabelledFeatures } from './labelled-features.js';
import { symmetricEigenvalues } from './symmetric-eigenvalues.js';

/** As many rows as Garrido et al. take. */
const mostRows = 25_600;
const epsilon = 1e-7;

/**
 * RankMe (Garrido et al., "RankMe: Assessing the downstream performance of pretrained self-supervised representations by
 * their rank", ICML 2023): exp(−Σ p log p) with p = σ / Σσ + ε of the singular values σ of the features, as they are.
 * Features that are all zeros have none: 0.
 */
export function rankMe(features: Omit<LabelledFeatures, 'labels'>): number {
  const { size } = features;
  const values = evenlySpread(features);
  const rows = values.length / size;
  const gram = rows < size ? rowProducts(values, rows, size) : columnProducts(values, rows, size);
  // rounding makes eigenvalues of 0 negative
  const singular = symmetricEigenvalues(gram, Math.min(rows, size)).map((value) =>
    Math.sqrt(Math.max(0, value)),
  );
  const sum = singular.reduce((total, value) => total + value, 0);
  if (sum === 0) return 0;
  const terms = singular.map((value) => value / sum + epsilon).map((p) => p * Math.log(p));
  return Math.exp(-terms.reduce((total, term) => total + term, 0));
}

/** Of more than `mostRows` that many from all over, for the rows of a folder are in the order of its classes. */
function evenlySpread({ values, size }: Omit<LabelledFeatures, 'labels'>): Float32Array {
  const count = values.length / size;
  if (count <= mostRows) return values;
  const spread = new Float32Array(mostRows * size);
  for (let i = 0; i < mostRows; i++) {
    const row = Math.floor((i * count) / mostRows);
    spread.set(values.subarray(row * size, (row + 1) * size), i * size);
  }
  return spread;
}

/** The upper triangle of XᵀX [D, D] in float64, four rows at a time for the sake of speed. */
function columnProducts(values: Float32Array, rows: number, size: number): Float64Array {
  const sums = new Float64Array(size * size);
  const four = [0, 1, 2, 3].map(() => new Float64Array(size)) as Rows;
  for (let first = 0; first < rows; first += 4) {
    for (const [i, row] of four.entries()) {
      const start = (first + i) * size;
      if (first + i < rows) row.set(values.subarray(start, start + size));
      else row.fill(0);
    }
    addProducts(sums, size, four);
  }
  return sums;
}

type Rows = [Float64Array, Float64Array, Float64Array, Float64Array];

/** sums += aᵀa + bᵀb + cᵀc + dᵀd */
function addProducts(sums: Float64Array, size: number, [a, b, c, d]: Rows): void {
  for (let i = 0; i < size; i++) {
    const [ai, bi, ci, di] = [a[i]!, b[i]!, c[i]!, d[i]!];
    for (let j = i, at = i * size + i; j < size; j++, at++) {
      sums[at]! += ai * a[j]! + bi * b[j]! + ci * c[j]! + di * d[j]!;
    }
  }
}

/** The upper triangle of XXᵀ [N, N]: the same eigenvalues but for zeros. */
function rowProducts(values: Float32Array, rows: number, size: number): Float64Array {
  const sums = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) {
    for (let j = i; j < rows; j++) {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += values[i * size + k]! * values[j * size + k]!;
      sums[i * rows + j] = sum;
    }
  }
  return sums;
}
