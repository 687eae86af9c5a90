// The small matrix products of attention, all operands in the cache, and the forms that their factors take.
//
// A product is c[i, j] = Σ over l of a[i, l]·b[l, j], where a and b hold words of 32 bits: one float, or two bfloat16
// that follow each other in the direction that is summed over. For a matrix x that is given by rows,
//   row form:     words along the row. It is the left factor in x·z, and its transpose the right factor in z·xᵀ.
//   column form:  words down the columns. It is the right factor in z·x, and its transpose the left factor in xᵀ·z.
// With one float a word both are the matrix itself.
#pragma once

#include "loops.h"

namespace mae::MAE_ISA {

using Word = float;

// All buffers are padded to this many rows and columns: two tiles.
constexpr int64_t padding = 32;

// Float32 factors.
struct Exact {
  static constexpr int64_t per_word = 1;
  // What the extents of a product are rounded up to.
  static constexpr int64_t row_unit = 1, column_unit = lanes, depth_unit = 1;

  static Floats round(Floats x) { return x; }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return fma(a, b, c); }
};

// Factors rounded to bfloat16, for processors that cannot multiply it.
struct Rounded : Exact {
  static Floats round(Floats x) { return round_to_bf16(x); }
};

#if defined(__AVX512BF16__)
// Pairs of bfloat16.
struct Paired {
  static constexpr int64_t per_word = 2;
#if defined(__AMX_TILE__)
  static constexpr int64_t row_unit = padding, column_unit = padding, depth_unit = padding;
#else
  static constexpr int64_t row_unit = 1, column_unit = lanes, depth_unit = 2;
#endif

  static Floats multiply_add(Floats a, Floats b, Floats c) {
    return (Floats)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b);
  }
};
using Bf16Form = Paired;
#else
using Bf16Form = Rounded;
#endif

// Puts lanes [j, j + lanes) of rows `row` and `row + 1`, row being even, into row form and column form, where wanted.
template <class Form>
inline void put(Floats x0, Floats x1, int64_t row, int64_t j, Word* by_rows, int64_t rows_stride, Word* by_columns,
                int64_t columns_stride) {
#if defined(__AVX512BF16__)
  if constexpr (Form::per_word == 2) {
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)x1, (__m512)x0);
    if (by_rows) {
      Word* to = by_rows + row * rows_stride + j / 2;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_castsi512_si256(both));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + rows_stride), _mm512_extracti64x4_epi64(both, 1));
    }
    if (by_columns) {
      const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                             6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
      _mm512_storeu_si512(by_columns + row / 2 * columns_stride + j, _mm512_permutexvar_epi16(order, both));
    }
    return;
  }
#endif
  if constexpr (Form::per_word == 1) {
    Word* to = by_rows ? by_rows + row * rows_stride : by_columns + row * columns_stride;
    const int64_t stride = by_rows ? rows_stride : columns_stride;
    store(to + j, Form::round(x0));
    store(to + stride + j, Form::round(x1));
  }
}

// --- transposition ----------------------------------------------------------------------------------------------

#if defined(__AVX512F__)
inline void transpose_tile(const Word* from, int64_t from_stride, Word* to, int64_t to_stride) {
  __m512 x[16], y[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) x[i] = _mm512_loadu_ps(from + i * from_stride);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
  }
  // x[4i + k], lane block b: column 4b + k of rows 4i to 4i + 3
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(y[i]), _mm512_castps_pd(y[i + 2])));
    x[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(y[i]), _mm512_castps_pd(y[i + 2])));
    x[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(y[i + 1]), _mm512_castps_pd(y[i + 3])));
    x[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(y[i + 1]), _mm512_castps_pd(y[i + 3])));
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; k++) {
    const __m512 a = _mm512_shuffle_f32x4(x[k], x[4 + k], 0x88), b = _mm512_shuffle_f32x4(x[8 + k], x[12 + k], 0x88);
    const __m512 c = _mm512_shuffle_f32x4(x[k], x[4 + k], 0xdd), d = _mm512_shuffle_f32x4(x[8 + k], x[12 + k], 0xdd);
    _mm512_storeu_ps(to + k * to_stride, _mm512_shuffle_f32x4(a, b, 0x88));
    _mm512_storeu_ps(to + (4 + k) * to_stride, _mm512_shuffle_f32x4(c, d, 0x88));
    _mm512_storeu_ps(to + (8 + k) * to_stride, _mm512_shuffle_f32x4(a, b, 0xdd));
    _mm512_storeu_ps(to + (12 + k) * to_stride, _mm512_shuffle_f32x4(c, d, 0xdd));
  }
}
#else
inline void transpose_tile(const Word* from, int64_t from_stride, Word* to, int64_t to_stride) {
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 16; j++) to[i * to_stride + j] = from[j * from_stride + i];
}
#endif

// to[j, i] = from[i, j], rows and columns being multiples of 16.
inline void transpose(int64_t rows, int64_t columns, const Word* from, int64_t from_stride, Word* to,
                      int64_t to_stride) {
  for (int64_t i = 0; i < rows; i += 16)
    for (int64_t j = 0; j < columns; j += 16)
      transpose_tile(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
}

// --- products ---------------------------------------------------------------------------------------------------

// The extents are in words; `add` adds to what c holds.
struct SmallProduct {
  int64_t rows, columns, depth;
  const Word* a;
  int64_t a_stride;
  const Word* b;
  int64_t b_stride;
  float* c;
  int64_t c_stride;
  bool add;
};

// One block of c in registers: `rows` rows of `vectors` vectors.
template <class Form, int rows, int vectors>
inline void multiply_block(const SmallProduct& of, int64_t i, int64_t j) {
  Floats sum[rows][vectors];
  float* c = of.c + i * of.c_stride + j;
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) sum[r][v] = of.add ? load(c + r * of.c_stride + v * lanes) : Floats{};
  const Word *a = of.a + i * of.a_stride, *b = of.b + j;
  for (int64_t l = 0; l < of.depth; l++, b += of.b_stride) {
    Floats right[vectors];
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) right[v] = load(b + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
      const Floats left = splat(a[r * of.a_stride + l]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; v++) sum[r][v] = Form::multiply_add(left, right[v], sum[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) store(c + r * of.c_stride + v * lanes, sum[r][v]);
}

// As many rows as fill the registers, with two vectors each.
constexpr int block_rows = lanes == 16 ? 14 : 6;

template <class Form, int vectors, int rows = block_rows>
inline void multiply_rows(const SmallProduct& of, int64_t count, int64_t i, int64_t j) {
  if (count == rows)
    multiply_block<Form, rows, vectors>(of, i, j);
  else if constexpr (rows > 1)
    multiply_rows<Form, vectors, rows - 1>(of, count, i, j);
}

template <class Form>
void multiply_in_registers(const SmallProduct& of) {
  const int64_t blocks = divide_up(of.rows, block_rows);
  for (int64_t j = 0; j < of.columns; j += 2 * lanes)
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t i = block * of.rows / blocks, count = (block + 1) * of.rows / blocks - i;
      if (j + 2 * lanes <= of.columns)
        multiply_rows<Form, 2>(of, count, i, j);
      else
        multiply_rows<Form, 1>(of, count, i, j);
    }
}

#if defined(__AMX_TILE__)
// Eight tiles of 16 rows of 64 bytes, for as long as this lives.
class Tiles {
 public:
  Tiles() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
};

// c in blocks of two by two tiles.
inline void multiply_in_tiles(const SmallProduct& of) {
  const int64_t a_bytes = of.a_stride * 4, b_bytes = of.b_stride * 4, c_bytes = of.c_stride * 4;
  for (int64_t j = 0; j < of.columns; j += 32)
    for (int64_t i = 0; i < of.rows; i += 32) {
      float *c0 = of.c + i * of.c_stride + j, *c1 = c0 + 16 * of.c_stride;
      if (of.add) {
        _tile_loadd(0, c0, c_bytes);
        _tile_loadd(1, c0 + 16, c_bytes);
        _tile_loadd(2, c1, c_bytes);
        _tile_loadd(3, c1 + 16, c_bytes);
      } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
      }
      for (int64_t l = 0; l < of.depth; l += 16) {
        const Word *a = of.a + i * of.a_stride + l, *b = of.b + l * of.b_stride + j;
        _tile_loadd(4, a, a_bytes);
        _tile_loadd(6, b, b_bytes);
        _tile_loadd(7, b + 16, b_bytes);
        _tile_loadd(5, a + 16 * of.a_stride, a_bytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_stored(0, c0, c_bytes);
      _tile_stored(1, c0 + 16, c_bytes);
      _tile_stored(2, c1, c_bytes);
      _tile_stored(3, c1 + 16, c_bytes);
    }
}
#else
struct Tiles {
  Tiles() {}
};
#endif

template <class Form>
inline void multiply(SmallProduct of) {
  of.rows = round_up(of.rows, Form::row_unit);
  of.columns = round_up(of.columns, Form::column_unit);
  of.depth = round_up(of.depth, Form::depth_unit) / Form::per_word;
#if defined(__AMX_TILE__)
  if constexpr (Form::per_word == 2) return multiply_in_tiles(of);
#endif
  multiply_in_registers<Form>(of);
}

}  // namespace mae::MAE_ISA
