/** The upper triangle of XᵀX [D, D] in float64, four rows at a time for the sake of speed. */
export function columnProducts(values: Float32Array, rows: number, size: number): Float64Array {
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

/** XXᵀ [N, N] in float64: the same eigenvalues as XᵀX but for zeros. */
export function rowProducts(values: Float32Array, rows: number, size: number): Float64Array {
  const sums = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) {
    for (let j = i; j < rows; j++) {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += values[i * size + k]! * values[j * size + k]!;
      sums[i * rows + j] = sum;
      sums[j * rows + i] = sum;
    }
  }
  return sums;
}
