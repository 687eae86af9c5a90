/** L of A = L·Lᵀ, A symmetric and not negative (Golub & Van Loan, "Matrix Computations", 2013, algorithm 4.2.1). */
export class Cholesky {
  readonly n: number;
  /** [n, n], zeros above the diagonal. */
  readonly l: Float64Array;

  /**
   * @param matrix [n, n], of which the lower triangle is read. A pivot that rounding leaves at 1e-12 of the largest or below
   *   is one of 0: its column of L is zeros, as for rows that repeat others.
   */
  constructor(matrix: ArrayLike<number>, n: number) {
    const l = new Float64Array(n * n);
    let least = 0;
    for (let i = 0; i < n; i++) least = Math.max(least, 1e-12 * matrix[i * n + i]!);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = matrix[i * n + j]!;
        for (let k = 0, a = i * n, b = j * n; k < j; k++, a++, b++) sum -= l[a]! * l[b]!;
        const pivot = l[j * n + j]!;
        if (i > j) l[i * n + j] = pivot === 0 ? 0 : sum / pivot;
        else l[i * n + i] = sum > least ? Math.sqrt(sum) : 0;
      }
    }
    this.n = n;
    this.l = l;
  }

  /** x ← L⁻¹·x; 0 where L has a column of zeros. */
  solve(x: Float64Array): void {
    const { n, l } = this;
    for (let i = 0; i < n; i++) {
      let sum = x[i]!;
      for (let j = 0, at = i * n; j < i; j++, at++) sum -= l[at]! * x[j]!;
      const pivot = l[i * n + i]!;
      x[i] = pivot === 0 ? 0 : sum / pivot;
    }
  }

  /** x ← L⁻ᵀ·x; 0 where L has a column of zeros. */
  solveTransposed(x: Float64Array): void {
    const { n, l } = this;
    for (let i = n - 1; i >= 0; i--) {
      const pivot = l[i * n + i]!;
      const value = pivot === 0 ? 0 : x[i]! / pivot;
      x[i] = value;
      for (let j = 0, at = i * n; j < i; j++, at++) x[j]! -= l[at]! * value;
    }
  }

  /** x ← Lᵀ·x */
  multiplyTransposed(x: Float64Array): void {
    const { n, l } = this;
    for (let i = 0; i < n; i++) {
      const value = x[i]!;
      x[i] = 0;
      for (let j = 0, at = i * n; j <= i; j++, at++) x[j]! += l[at]! * value;
    }
  }
}
