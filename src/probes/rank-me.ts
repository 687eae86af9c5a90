import type { LabelledFeatures } from './labelled-features.js';
import { columnProducts, rowProducts } from './products.js';
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
