import { input } from '../compiler/graph/graph.js';
import { gemm } from '../compiler/graph/ops/linalg.js';
import type { Runtime } from '../runtime/runtime.js';
import { BoundGraph } from './bound-graph.js';
import { Cholesky } from './cholesky.js';
import type { LabelledFeatures } from './labelled-features.js';

/**
 * Coordinates u = Lᵀ·w of weights and bias w, in which a penalised regression is about as steep in all directions:
 * L·Lᵀ = curvature·X̃ᵀX̃ / N + penalty·I, X̃ the features with a column of ones, which has no penalty.
 */
export class Whitening {
  /** curvature·X̃ᵀX̃ / N, its lower triangle [D + 1, D + 1] */
  readonly #products: Float64Array;
  readonly #size: number;
  #penalty: number | undefined;
  #factor: Cholesky | undefined;

  private constructor(products: Float64Array, size: number) {
    this.#products = products;
    this.#size = size;
  }

  static async of(runtime: Runtime, features: LabelledFeatures, curvature: number): Promise<Whitening> {
    const { values, size, labels } = features;
    const scale = curvature / labels.length;
    const among = await columnProducts(runtime, features);
    const products = new Float64Array((size + 1) ** 2);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j <= i; j++) products[i * (size + 1) + j] = scale * among[i * size + j]!;
    }
    const ones = products.subarray(size * (size + 1));
    for (let at = 0; at < values.length; )
      for (let i = 0; i < size; i++, at++) ones[i]! += scale * values[at]!;
    ones[size] = curvature;
    // of numbers too large for products nothing is known
    if (!products.every(Number.isFinite)) products.fill(0).set([curvature], (size + 1) ** 2 - 1);
    return new Whitening(products, size + 1);
  }

  /** The factor for a penalty above 0; that of the last one is kept. */
  at(penalty: number): Cholesky {
    if (this.#factor === undefined || penalty !== this.#penalty) {
      const matrix = this.#products.slice();
      for (let i = 0; i < this.#size - 1; i++) matrix[i * (this.#size + 1)]! += penalty;
      this.#factor = new Cholesky(matrix, this.#size);
      this.#penalty = penalty;
    }
    return this.#factor;
  }
}

/** XᵀX [D, D] in float32. */
async function columnProducts(
  runtime: Runtime,
  { values, size, labels }: LabelledFeatures,
): Promise<Float32Array> {
  const x = input('features', 'float32', [labels.length, size]);
  const arrays = { features: values, products: new Float32Array(size * size) };
  const outputs = [{ name: 'products', value: gemm(x, x, { transA: true }) }];
  const graph = new BoundGraph(runtime, { name: 'products', inputs: [x], outputs }, arrays);
  try {
    await graph.run();
  } finally {
    graph.release();
  }
  return arrays.products;
}
