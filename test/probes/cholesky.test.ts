import { describe, expect, test } from 'vitest';
import { Cholesky } from '../../src/probes/cholesky.js';
import { rowProducts } from '../../src/probes/products.js';
import { RandomStream } from '../../src/util/random.js';

const n = 7;

/** A·x of a matrix [n, n] of which the lower triangle counts. */
const product = (a: ArrayLike<number>, x: Float64Array): Float64Array =>
  x.map((_, i) => x.reduce((sum, value, j) => sum + a[i > j ? i * n + j : j * n + i]! * value, 0));

function random(rows: number, columns: number): Float32Array {
  const stream = new RandomStream(3, 'sample');
  return Float32Array.from({ length: rows * columns }, () => stream.normal());
}

describe('a positive matrix', () => {
  const matrix = rowProducts(random(n, 20), n, 20);
  const factor = new Cholesky(matrix, n);
  const x = Float64Array.from({ length: n }, (_, i) => i - 2.5);

  test('L·(Lᵀ·x) is A·x', () => {
    const y = x.slice();
    factor.multiplyTransposed(y);
    const left = y.map((_, i) => y.reduce((sum, value, j) => sum + factor.l[i * n + j]! * value, 0));
    for (const [i, value] of product(matrix, x).entries()) expect(left[i]).toBeCloseTo(value, 10);
  });

  test('A⁻¹·(A·x) is x', () => {
    const y = product(matrix, x);
    factor.solve(y);
    factor.solveTransposed(y);
    for (const [i, value] of x.entries()) expect(y[i]).toBeCloseTo(value, 10);
  });
});

test('rows that repeat others have columns of zeros', () => {
  const values = random(4, 20);
  const rows = Float32Array.of(...values, ...values.subarray(0, 60));
  const matrix = rowProducts(rows, n, 20);
  const { l } = new Cholesky(matrix, n);
  for (const repeated of [4, 5, 6]) {
    expect([...l].filter((_, at) => at % n === repeated)).toEqual(Array(n).fill(0));
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += l[i * n + k]! * l[j * n + k]!;
      expect(sum).toBeCloseTo(matrix[i * n + j]!, 10);
    }
  }
});
