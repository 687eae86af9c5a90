/** Rows and columns of patches. */
interface Grid {
  readonly rows: number;
  readonly columns: number;
}

/**
 * A position table for another grid of patches, as the published code makes it when images are larger than those of
 * pretraining: torch's bicubic interpolation (a = −0.75, corners not aligned, edges repeated) of the rows of patches;
 * that of the class token stays. table: [1 + L, width] → [1 + L', width].
 */
export function interpolatePositions(table: Float32Array, from: Grid, to: Grid, width: number): Float32Array {
  const vertical = tapsOf(from.rows, to.rows);
  const horizontal = tapsOf(from.columns, to.columns);
  const result = new Float32Array((1 + to.rows * to.columns) * width);
  result.set(table.subarray(0, width));
  for (const [row, down] of vertical.entries()) {
    for (const [column, across] of horizontal.entries()) {
      const start = (1 + row * to.columns + column) * width;
      for (let i = 0; i < width; i++) {
        let sum = 0;
        for (const [y, v] of down)
          for (const [x, h] of across) sum += v * h * table[(1 + y * from.columns + x) * width + i]!;
        result[start + i] = sum;
      }
    }
  }
  return result;
}

/** For each place, the places it is made of, with their weights. */
function tapsOf(from: number, to: number): [place: number, weight: number][][] {
  return Array.from({ length: to }, (_, i) => {
    const at = ((i + 0.5) * from) / to - 0.5;
    const first = Math.floor(at) - 1;
    return [0, 1, 2, 3].map((offset) => {
      const place = first + offset;
      return [Math.min(from - 1, Math.max(0, place)), cubic(Math.abs(at - place))];
    });
  });
}

/** The cubic convolution kernel (Keys, 1981) with a = −0.75. */
function cubic(x: number): number {
  const a = -0.75;
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}
