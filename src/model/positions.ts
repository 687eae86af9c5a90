/**
 * The fixed 2-D sine-cosine position table of the paper: [1 + L, width], row 0 (the class token) zero.
 * The first half of a row encodes the column (x), the second half the row (y) of the patch; within a half
 * come sin(pos·ω_k), then cos(pos·ω_k), with ω_k = 10000^(−k / (width/4)), k = 0 … width/4 − 1.
 * Source: He et al., CVPR 2022, as released; the order of x and y is that of the released weights.
 */
export function sinCosPositions(rows: number, columns: number, width: number): Float32Array {
  const quarter = width / 4;
  const table = new Float32Array((1 + rows * columns) * width);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const start = (1 + row * columns + column) * width;
      for (let k = 0; k < quarter; k++) {
        const omega = 10000 ** (-k / quarter);
        table[start + k] = Math.sin(column * omega);
        table[start + quarter + k] = Math.cos(column * omega);
        table[start + 2 * quarter + k] = Math.sin(row * omega);
        table[start + 3 * quarter + k] = Math.cos(row * omega);
      }
    }
  }
  return table;
}
