/** L of A = L·Lᵀ, A symmetric and not negative (Golub & Van Loan, "Matrix Computations", 2013, section 4.2). */
export class Cholesky {
  readonly n: number;
  /** [n, n], zeros above the diagonal. */
  readonly l: Float64Array;
  /** Lᵀ, so that all sums run along rows. */
  readonly #transposed: Float64Array;

  /**
   * @param matrix [n, n], of which the lower triangle is read. A pivot that rounding leaves at 1e-12 of the largest or below
   *   is one of 0: its column of L is zeros, as for rows that repeat others.
   */
  constructor(matrix: ArrayLike<number>, n: number) {
    const l = new Float64Array(n * n);
    this.n = n;
    this.l = l;
    this.#transposed = new Float64Array(n * n);
    let least = 0;
    for (let i = 0; i < n; i++) least = Math.max(least, 1e-12 * matrix[i * n + i]!);
    const four = rowsOf(n);
    for (let first = 0; first < n; first += four.length) {
      for (const [r, row] of four.entries()) {
        for (let j = 0; j < n; j++) row[j] = first + r < n ? matrix[(first + r) * n + j]! : 0;
      }
      forward(l, n, first, four);
      for (let i = first; i < Math.min(first + four.length, n); i++) {
        const row = four[i - first]!;
        for (let j = first; j <= i; j++) {
          let sum = row[j]!;
          for (let k = 0; k < j; k++) sum -= row[k]! * (j === i ? row[k]! : l[j * n + k]!);
          if (j < i) row[j] = l[j * n + j] === 0 ? 0 : sum / l[j * n + j]!;
          else row[j] = sum > least ? Math.sqrt(sum) : 0;
        }
        l.set(row.subarray(0, i + 1), i * n);
      }
    }
    for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) this.#transposed[j * n + i] = l[i * n + j]!;
  }

  /** Each row of x [rows, n] ← L⁻¹·row; 0 where L has a column of zeros. */
  solve(x: Float64Array): void {
    this.#each(x, (four) => forward(this.l, this.n, this.n, four));
  }

  /** Each row of x [rows, n] ← L⁻ᵀ·row; 0 where L has a column of zeros. */
  solveTransposed(x: Float64Array): void {
    this.#each(x, (four) => backward(this.#transposed, this.n, four));
  }

  /** Each row of x [rows, n] ← Lᵀ·row */
  multiplyTransposed(x: Float64Array): void {
    const { n } = this;
    for (let start = 0; start < x.length; start += n) {
      for (let i = 0; i < n; i++) {
        let sum = 0;
        for (let j = i; j < n; j++) sum += this.#transposed[i * n + j]! * x[start + j]!;
        x[start + i] = sum;
      }
    }
  }

  #each(x: Float64Array, change: (four: Rows) => void): void {
    const { n } = this;
    const four = rowsOf(n);
    for (let start = 0; start < x.length; start += n * four.length) {
      for (const [r, row] of four.entries()) row.set(x.subarray(start + r * n, start + (r + 1) * n));
      change(four);
      for (const [r, row] of four.entries()) {
        if (start + r * n < x.length) x.set(row, start + r * n);
      }
    }
  }
}

/** Four right-hand sides at a time: a factor of hundreds of columns is read from memory once for all, and sums wait for none. */
type Rows = readonly [Float64Array, Float64Array, Float64Array, Float64Array];

const rowsOf = (n: number): Rows => [
  new Float64Array(n),
  new Float64Array(n),
  new Float64Array(n),
  new Float64Array(n),
];

/** Substitution by the first `size` rows of L. */
function forward(l: Float64Array, n: number, size: number, [a, b, c, d]: Rows): void {
  for (let i = 0; i < size; i++) {
    let [sa, sb, sc, sd] = [a[i]!, b[i]!, c[i]!, d[i]!];
    for (let j = 0, at = i * n; j < i; j++, at++) {
      const factor = l[at]!;
      sa -= factor * a[j]!;
      sb -= factor * b[j]!;
      sc -= factor * c[j]!;
      sd -= factor * d[j]!;
    }
    const scale = inverse(l[i * n + i]!);
    a[i] = sa * scale;
    b[i] = sb * scale;
    c[i] = sc * scale;
    d[i] = sd * scale;
  }
}

function backward(transposed: Float64Array, n: number, [a, b, c, d]: Rows): void {
  for (let i = n - 1; i >= 0; i--) {
    let [sa, sb, sc, sd] = [a[i]!, b[i]!, c[i]!, d[i]!];
    for (let j = i + 1, at = i * n + j; j < n; j++, at++) {
      const factor = transposed[at]!;
      sa -= factor * a[j]!;
      sb -= factor * b[j]!;
      sc -= factor * c[j]!;
      sd -= factor * d[j]!;
    }
    const scale = inverse(transposed[i * n + i]!);
    a[i] = sa * scale;
    b[i] = sb * scale;
    c[i] = sc * scale;
    d[i] = sd * scale;
  }
}

const inverse = (pivot: number): number => (pivot === 0 ? 0 : 1 / pivot);
