import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import type { LabelledFeatures } from './labelled-features.js';

/** As many rows as Garrido et al. take; the first ones. */
const mostRows = 25_600;
const epsilon = 1e-7;

/**
 * RankMe (Garrido et al., "RankMe: Assessing the downstream performance of pretrained self-supervised representations by
 * their rank", ICML 2023): exp(−Σ p log p) with p = σ / Σσ + ε of the singular values σ of the features, as they are.
 * Features that are all zeros have none: 0.
 */
export function rankMe({ values, size }: Omit<LabelledFeatures, 'labels'>): number {
  const rows = Math.min(mostRows, values.length / size);
  const gram = rows < size ? rowProducts(values, rows, size) : columnProducts(values, rows, size);
  const { realEigenvalues } = new EigenvalueDecomposition(gram, { assumeSymmetric: true });
  // rounding makes eigenvalues of 0 negative
  const singular = realEigenvalues.map((value) => Math.sqrt(Math.max(0, value)));
  const sum = singular.reduce((total, value) => total + value, 0);
  if (sum === 0) return 0;
  const terms = singular.map((value) => value / sum + epsilon).map((p) => p * Math.log(p));
  return Math.exp(-terms.reduce((total, term) => total + term, 0));
}

/** XᵀX [D, D] in float64. */
function columnProducts(values: Float32Array, rows: number, size: number): Matrix {
  const sums = new Float64Array(size * size);
  for (let row = 0; row < rows; row++) {
    const x = values.subarray(row * size, (row + 1) * size);
    for (let i = 0; i < size; i++) {
      const factor = x[i]!;
      for (let j = i; j < size; j++) sums[i * size + j]! += factor * x[j]!;
    }
  }
  return symmetric(sums, size);
}

/** XXᵀ [N, N]: the same eigenvalues but for zeros. */
function rowProducts(values: Float32Array, rows: number, size: number): Matrix {
  const sums = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) {
    for (let j = i; j < rows; j++) {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += values[i * size + k]! * values[j * size + k]!;
      sums[i * rows + j] = sum;
    }
  }
  return symmetric(sums, rows);
}

/** The matrix whose upper triangle is given. */
function symmetric(upper: Float64Array, size: number): Matrix {
  const matrix = new Matrix(size, size);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      matrix.set(i, j, upper[i * size + j]!);
      matrix.set(j, i, upper[i * size + j]!);
    }
  }
  return matrix;
}
