import { Cholesky } from './cholesky.js';
import type { LabelledFeatures } from './labelled-features.js';
import { rowProducts } from './products.js';

/**
 * Fewer pictures than numbers: the N coordinates of each picture in the space that the pictures span, the rows of L in
 * XXᵀ = L·Lᵀ. A penalised linear model has its weights there, of the same length: X·w = L·v and ‖w‖ = ‖v‖ for w = Xᵀ·L⁻ᵀ·v.
 */
export class RowSpace {
  readonly #train: LabelledFeatures;
  readonly #factor: Cholesky;
  /** [N, N] */
  readonly coordinates: LabelledFeatures;

  constructor(train: LabelledFeatures) {
    const rows = train.labels.length;
    this.#train = train;
    this.#factor = new Cholesky(rowProducts(train.values, rows, train.size), rows);
    this.coordinates = { values: Float32Array.from(this.#factor.l), size: rows, labels: train.labels };
  }

  /** v of w. weights: [C, D]; returns [C, N] */
  fromFeatures(weights: Float64Array): Float64Array {
    const { values, size, labels } = this.#train;
    const rows = labels.length;
    const classes = weights.length / size;
    const result = new Float64Array(classes * rows);
    for (let c = 0; c < classes; c++) {
      for (let row = 0, at = 0; row < rows; row++) {
        let sum = 0;
        for (let i = 0; i < size; i++, at++) sum += values[at]! * weights[c * size + i]!;
        result[c * rows + row] = sum;
      }
    }
    this.#factor.solve(result);
    return result;
  }

  /** w of v. weights: [C, N]; returns [C, D] */
  toFeatures(weights: Float64Array): Float64Array {
    const { values, size, labels } = this.#train;
    const rows = labels.length;
    const classes = weights.length / rows;
    const result = new Float64Array(classes * size);
    const v = weights.slice();
    this.#factor.solveTransposed(v);
    for (let c = 0; c < classes; c++) {
      for (let row = 0, at = 0; row < rows; row++) {
        const factor = v[c * rows + row]!;
        for (let i = c * size; i < (c + 1) * size; i++, at++) result[i]! += factor * values[at]!;
      }
    }
    return result;
  }
}
