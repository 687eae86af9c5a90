// AssemblyScript: Philox4x32-10 (src/util/random.ts) four blocks at a time over WebAssembly's 128-bit vectors. Lane i of
// x0 … x3 holds the words of block i; a product of two 32-bit numbers, one instruction here, takes JavaScript a dozen.

const ROUNDS = 10;

/** Low and high words of the products of four lanes with a multiplier. */
// @ts-expect-error: decorator
function lowWords(even: v128, odd: v128): v128 {
  return v128.shuffle<i32>(even, odd, 0, 2, 4, 6);
}

// @ts-expect-error: decorator
function highWords(even: v128, odd: v128): v128 {
  return v128.shuffle<i32>(even, odd, 1, 3, 5, 7);
}

/** Four words as numbers of [low, low + range), rounded as JavaScript rounds low + range · (word / 2^32) to float32. */
// @ts-expect-error: decorator
function uniforms(words: v128, low: v128, range: v128): v128 {
  const unit = f64x2.splat(1.0 / 4294967296.0);
  const first = f64x2.convert_low_i32x4_u(words);
  const second = f64x2.convert_low_i32x4_u(v128.shuffle<i64>(words, words, 1, 1));
  const a = f32x4.demote_f64x2_zero(f64x2.add(low, f64x2.mul(range, f64x2.mul(first, unit))));
  const b = f32x4.demote_f64x2_zero(f64x2.add(low, f64x2.mul(range, f64x2.mul(second, unit))));
  return v128.shuffle<i64>(a, b, 0, 2);
}

/** float32 from address 0 to `end`, 64 bytes for each four blocks, of counters (c0, c1, c2, c3), (c0 + 1, c1, c2, c3), … */
export function fillUniform(
  end: usize,
  low: f64,
  range: f64,
  c0: u32,
  c1: u32,
  c2: u32,
  c3: u32,
  k0: u32,
  k1: u32,
): void {
  const lows = f64x2.splat(low);
  const ranges = f64x2.splat(range);
  const m0 = i32x4.splat(0xd2511f53);
  const m1 = i32x4.splat(0xcd9e8d57);
  const w0 = i32x4.splat(0x9e3779b9);
  const w1 = i32x4.splat(0xbb67ae85);
  let counters = i32x4.add(i32x4.splat(c0), i32x4(0, 1, 2, 3));
  for (let to: usize = 0; to < end; to += 64) {
    let x0 = counters;
    let x1 = i32x4.splat(c1);
    let x2 = i32x4.splat(c2);
    let x3 = i32x4.splat(c3);
    let key0 = i32x4.splat(k0);
    let key1 = i32x4.splat(k1);
    for (let round = 0; round < ROUNDS; round++) {
      const even0 = i64x2.extmul_low_i32x4_u(x0, m0);
      const odd0 = i64x2.extmul_high_i32x4_u(x0, m0);
      const even1 = i64x2.extmul_low_i32x4_u(x2, m1);
      const odd1 = i64x2.extmul_high_i32x4_u(x2, m1);
      x0 = v128.xor(v128.xor(highWords(even1, odd1), x1), key0);
      x1 = lowWords(even1, odd1);
      x2 = v128.xor(v128.xor(highWords(even0, odd0), x3), key1);
      x3 = lowWords(even0, odd0);
      key0 = i32x4.add(key0, w0);
      key1 = i32x4.add(key1, w1);
    }
    // [word][block] to [block][word]
    const a = v128.shuffle<i32>(x0, x1, 0, 4, 1, 5);
    const b = v128.shuffle<i32>(x0, x1, 2, 6, 3, 7);
    const c = v128.shuffle<i32>(x2, x3, 0, 4, 1, 5);
    const d = v128.shuffle<i32>(x2, x3, 2, 6, 3, 7);
    v128.store(to, uniforms(v128.shuffle<i64>(a, c, 0, 2), lows, ranges));
    v128.store(to, uniforms(v128.shuffle<i64>(a, c, 1, 3), lows, ranges), 16);
    v128.store(to, uniforms(v128.shuffle<i64>(b, d, 0, 2), lows, ranges), 32);
    v128.store(to, uniforms(v128.shuffle<i64>(b, d, 1, 3), lows, ranges), 48);
    counters = i32x4.add(counters, i32x4.splat(4));
  }
}
