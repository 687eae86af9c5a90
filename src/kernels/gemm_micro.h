// The innermost loops of gemm: one tile of c from one packed panel of a and one of b.
#pragma once

#include "gemm_pack.h"

namespace mae::MAE_ISA {

// A kernel says how panels are packed and multiplies them:
//   multiply(units, a, b, tile, add, rows, columns)   tile = a·b, or tile += a·b
// tile: [PackA::width, PackB::width], of which the caller wants `rows` × `columns`. begin() and end() enclose a task's
// calls. units_in_cache is the length of a part of k at which a panel stays in the first-level cache, or costs less
// than to add the parts up; units_in_slice that at which a chunk of panels stays in the second-level cache.

#if defined(__AVX512F__)
constexpr int64_t tile_rows = 14;  // × 2 vectors, of 32 registers
#else
constexpr int64_t tile_rows = 6;  // × 2 vectors, of 16
#endif

// How many units ahead a panel of b is asked for: it comes from the second-level cache.
constexpr int64_t prefetched = 16;

inline Floats add_product(Floats sum, float a, Floats b) { return fma(splat(a), b, sum); }
#if defined(__AVX512BF16__)
inline Floats add_product(Floats sum, uint32_t a, Floats b) {
  return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(a), (__m512bh)b);
}
#endif

template <class PackedForm>
struct VectorKernel {
  using Form = PackedForm;
  using Unit = typename Form::Unit;
  using PackA = UnitMajor<tile_rows>;
  using PackB = UnitMajor<2 * lanes>;
  static constexpr int64_t unit_multiple = 1;
  static constexpr int64_t units_in_cache = 800, units_in_slice = 800;
  static void begin() {}
  static void end() {}

  template <bool>
  static void multiply(int64_t units, const Unit* a, const Unit* b, float* tile, bool add, int64_t, int64_t) {
    Floats sum[tile_rows][2];
#pragma GCC unroll 14
    for (int i = 0; i < tile_rows; i++)
      for (int j = 0; j < 2; j++) sum[i][j] = Floats{};
    for (int64_t u = 0; u < units; u++) {
      const Floats b0 = load((const float*)b), b1 = load((const float*)b + lanes);
      __builtin_prefetch(b + prefetched * 2 * lanes);
      __builtin_prefetch(b + prefetched * 2 * lanes + lanes);
#pragma GCC unroll 14
      for (int i = 0; i < tile_rows; i++) {
        sum[i][0] = add_product(sum[i][0], a[i], b0);
        sum[i][1] = add_product(sum[i][1], a[i], b1);
      }
      a += tile_rows;
      b += 2 * lanes;
    }
#pragma GCC unroll 14
    for (int i = 0; i < tile_rows; i++)
      for (int j = 0; j < 2; j++) {
        float* const to = tile + (2 * i + j) * lanes;
        store(to, add ? load(to) + sum[i][j] : sum[i][j]);
      }
  }
};

#if defined(__AMX_TILE__)

// 2 × 2 tiles of 16 × 16 sums. One of the panels stays in the first-level cache from call to call; the other is
// read past it (`a_streams` says which), since the two together are more than it holds.
struct TileKernel {
  using Form = Pair;
  using Unit = uint32_t;
  using PackA = TilesOfA;
  using PackB = TilesOfB;
  static constexpr int64_t unit_multiple = 16;
  static constexpr int64_t units_in_cache = 256, units_in_slice = 512;

  static void begin() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shape;
    _tile_loadconfig(&shape);
  }
  static void end() { _tile_release(); }

  template <bool a_streams>
  static void multiply(int64_t units, const Unit* a, const Unit* b, float* tile, bool add, int64_t rows,
                       int64_t columns) {
    const bool tall = rows > 16, wide = columns > 16;
    if (tall && wide)
      multiply_tiles<a_streams, true, true>(units, a, b, tile, add);
    else if (tall)
      multiply_tiles<a_streams, true, false>(units, a, b, tile, add);
    else if (wide)
      multiply_tiles<a_streams, false, true>(units, a, b, tile, add);
    else
      multiply_tiles<a_streams, false, false>(units, a, b, tile, add);
  }

 private:
  // Tiles 0 to 3 are the sums, row by row; 4 and 5 the rows of a, 6 and 7 the columns of b.
  template <bool a_streams, bool tall, bool wide>
  static void multiply_tiles(int64_t units, const Unit* a, const Unit* b, float* tile, bool add) {
    constexpr int64_t stride = 32 * sizeof(float);
    float* const below = tile + 16 * 32;
    if (add) {
      _tile_loadd(0, tile, stride);
      if (wide) _tile_loadd(1, tile + 16, stride);
      if (tall) _tile_loadd(2, below, stride);
      if (tall && wide) _tile_loadd(3, below + 16, stride);
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int64_t u = 0; u < units; u += 16) {
      if (a_streams) {
        _tile_stream_loadd(4, a, 64);
        _tile_loadd(6, b, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (tall) _tile_stream_loadd(5, a + 256, 64);
        if (wide) _tile_loadd(7, b + 256, 64);
      } else {
        _tile_loadd(4, a, 64);
        _tile_stream_loadd(6, b, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (tall) _tile_loadd(5, a + 256, 64);
        if (wide) _tile_stream_loadd(7, b + 256, 64);
      }
      if (tall) _tile_dpbf16ps(2, 5, 6);
      if (wide) _tile_dpbf16ps(1, 4, 7);
      if (tall && wide) _tile_dpbf16ps(3, 5, 7);
      a += 512;
      b += 512;
    }
    _tile_stored(0, tile, stride);
    if (wide) _tile_stored(1, tile + 16, stride);
    if (tall) _tile_stored(2, below, stride);
    if (tall && wide) _tile_stored(3, below + 16, stride);
  }
};

#endif

}  // namespace mae::MAE_ISA
