// AssemblyScript: the two passes of src/data/resample.ts over WebAssembly's 128-bit vectors. Every sum is the one of
// its reference (test/data/reference-resampler.ts) to the last bit.
//
// i32x4.dot_i16x8_s multiplies 16-bit numbers, but weights have 22 bits after their binary point: each comes as
// high · 2^11 + low, two products with the same inputs. Sums wrap as int32 does, so only the total has to fit.
// Weights lie in pairs of taps, 8 bytes each: low₀ low₁ high₀ high₁.

const LOW_BITS = 11;
const PRECISION = 22;

/**
 * `rows` [rowCount, width, 3] from `source` [rowCount, …, 3]; `first` holds the byte at which each output's taps
 * begin in a row of the source. Four rows go at a time: up to three rows more than rowCount are written, and the
 * fourth byte of a pixel is overwritten by the next one.
 */
export function across(
  source: usize,
  sourceStride: usize,
  rowCount: usize,
  first: usize,
  weights: usize,
  pairs: usize,
  rows: usize,
  rowStride: usize,
  width: usize,
): void {
  // Four pixels r g b … of 12 bytes: r₀ r₁ g₀ g₁ b₀ b₁ 0 0 of the first two in 16 bits each, and of the other two.
  const firstPair = i8x16(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
  const secondPair = i8x16(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  const half = i32x4.splat(1 << (PRECISION - 1));
  const quads = pairs >> 1;
  const stride3 = sourceStride * 3;
  for (let y: usize = 0; y < rowCount; y += 4) {
    const row = source + y * sourceStride;
    let to = rows + y * rowStride;
    let w = weights;
    for (let x: usize = 0; x < width; x++) {
      let from = row + load<u32>(first + (x << 2));
      let low0 = half;
      let low1 = half;
      let low2 = half;
      let low3 = half;
      let high0 = i32x4.splat(0);
      let high1 = i32x4.splat(0);
      let high2 = i32x4.splat(0);
      let high3 = i32x4.splat(0);
      for (let q: usize = 0; q < quads; q++) {
        const lowA = v128.load32_splat(w);
        const highA = v128.load32_splat(w, 4);
        const lowB = v128.load32_splat(w, 8);
        const highB = v128.load32_splat(w, 12);
        w += 16;
        let pixels = v128.load(from);
        let a = i8x16.swizzle(pixels, firstPair);
        let b = i8x16.swizzle(pixels, secondPair);
        low0 = i32x4.add(i32x4.add(low0, i32x4.dot_i16x8_s(a, lowA)), i32x4.dot_i16x8_s(b, lowB));
        high0 = i32x4.add(i32x4.add(high0, i32x4.dot_i16x8_s(a, highA)), i32x4.dot_i16x8_s(b, highB));
        pixels = v128.load(from + sourceStride);
        a = i8x16.swizzle(pixels, firstPair);
        b = i8x16.swizzle(pixels, secondPair);
        low1 = i32x4.add(i32x4.add(low1, i32x4.dot_i16x8_s(a, lowA)), i32x4.dot_i16x8_s(b, lowB));
        high1 = i32x4.add(i32x4.add(high1, i32x4.dot_i16x8_s(a, highA)), i32x4.dot_i16x8_s(b, highB));
        pixels = v128.load(from + 2 * sourceStride);
        a = i8x16.swizzle(pixels, firstPair);
        b = i8x16.swizzle(pixels, secondPair);
        low2 = i32x4.add(i32x4.add(low2, i32x4.dot_i16x8_s(a, lowA)), i32x4.dot_i16x8_s(b, lowB));
        high2 = i32x4.add(i32x4.add(high2, i32x4.dot_i16x8_s(a, highA)), i32x4.dot_i16x8_s(b, highB));
        pixels = v128.load(from + stride3);
        a = i8x16.swizzle(pixels, firstPair);
        b = i8x16.swizzle(pixels, secondPair);
        low3 = i32x4.add(i32x4.add(low3, i32x4.dot_i16x8_s(a, lowA)), i32x4.dot_i16x8_s(b, lowB));
        high3 = i32x4.add(i32x4.add(high3, i32x4.dot_i16x8_s(a, highA)), i32x4.dot_i16x8_s(b, highB));
        from += 12;
      }
      if (pairs & 1) {
        const low = v128.load32_splat(w);
        const high = v128.load32_splat(w, 4);
        w += 8;
        let a = i8x16.swizzle(v128.load64_zero(from), firstPair);
        low0 = i32x4.add(low0, i32x4.dot_i16x8_s(a, low));
        high0 = i32x4.add(high0, i32x4.dot_i16x8_s(a, high));
        a = i8x16.swizzle(v128.load64_zero(from + sourceStride), firstPair);
        low1 = i32x4.add(low1, i32x4.dot_i16x8_s(a, low));
        high1 = i32x4.add(high1, i32x4.dot_i16x8_s(a, high));
        a = i8x16.swizzle(v128.load64_zero(from + 2 * sourceStride), firstPair);
        low2 = i32x4.add(low2, i32x4.dot_i16x8_s(a, low));
        high2 = i32x4.add(high2, i32x4.dot_i16x8_s(a, high));
        a = i8x16.swizzle(v128.load64_zero(from + stride3), firstPair);
        low3 = i32x4.add(low3, i32x4.dot_i16x8_s(a, low));
        high3 = i32x4.add(high3, i32x4.dot_i16x8_s(a, high));
      }
      const bytes = clamp(total(low0, high0), total(low1, high1), total(low2, high2), total(low3, high3));
      v128.store32_lane(to, bytes, 0);
      v128.store32_lane(to + rowStride, bytes, 1);
      v128.store32_lane(to + 2 * rowStride, bytes, 2);
      v128.store32_lane(to + 3 * rowStride, bytes, 3);
      to += 3;
    }
  }
}

/**
 * `out` [height, rowBytes] from `rows`; `first` holds where in them the taps of each output begin, in bytes. Up to
 * 15 bytes after a row are written, and those of the last one stay.
 */
export function down(
  rows: usize,
  rowStride: usize,
  first: usize,
  weights: usize,
  pairs: usize,
  out: usize,
  rowBytes: usize,
  height: usize,
): void {
  const half = i32x4.splat(1 << (PRECISION - 1));
  for (let y: usize = 0; y < height; y++) {
    const row = rows + load<u32>(first + (y << 2));
    const end = weights + (pairs << 3);
    for (let x: usize = 0; x < rowBytes; x += 16) {
      let from = row + x;
      let low0 = half;
      let low1 = half;
      let low2 = half;
      let low3 = half;
      let high0 = i32x4.splat(0);
      let high1 = i32x4.splat(0);
      let high2 = i32x4.splat(0);
      let high3 = i32x4.splat(0);
      for (let w = weights; w < end; w += 8) {
        const low = v128.load32_splat(w);
        const high = v128.load32_splat(w, 4);
        const a = v128.load(from);
        const b = v128.load(from + rowStride);
        from += 2 * rowStride;
        // a₀ b₀ a₁ b₁ …
        const left = i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const right = i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        let four = i16x8.extend_low_i8x16_u(left);
        low0 = i32x4.add(low0, i32x4.dot_i16x8_s(four, low));
        high0 = i32x4.add(high0, i32x4.dot_i16x8_s(four, high));
        four = i16x8.extend_high_i8x16_u(left);
        low1 = i32x4.add(low1, i32x4.dot_i16x8_s(four, low));
        high1 = i32x4.add(high1, i32x4.dot_i16x8_s(four, high));
        four = i16x8.extend_low_i8x16_u(right);
        low2 = i32x4.add(low2, i32x4.dot_i16x8_s(four, low));
        high2 = i32x4.add(high2, i32x4.dot_i16x8_s(four, high));
        four = i16x8.extend_high_i8x16_u(right);
        low3 = i32x4.add(low3, i32x4.dot_i16x8_s(four, low));
        high3 = i32x4.add(high3, i32x4.dot_i16x8_s(four, high));
      }
      const bytes = clamp(total(low0, high0), total(low1, high1), total(low2, high2), total(low3, high3));
      v128.store(out + x, bytes);
    }
    weights = end;
    out += rowBytes;
  }
}

/** The levels of four bytes, not yet within 0 … 255. */
function total(low: v128, high: v128): v128 {
  return i32x4.shr_s(i32x4.add(low, i32x4.shl(high, LOW_BITS)), PRECISION);
}

/** Sixteen bytes of four times four levels; negative lobes overshoot. */
function clamp(a: v128, b: v128, c: v128, d: v128): v128 {
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
}
