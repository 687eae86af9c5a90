// Packing for gemm: a block of an operand is copied into the order in which the micro-kernels read it.
//
// Both operands look alike from here: `size` (m of a, n of b) vectors of length k. They are cut into panels of
// `width` vectors, and k into units: one float, or a pair of bfloat16 that one instruction multiplies. Beyond the
// edges a panel holds zeros.
#pragma once

#include "loops.h"

namespace mae::MAE_ISA {

// What a packed unit is.
struct Single {  // a float
  using Unit = float;
  static constexpr int64_t k = 1;
};
struct Rounded {  // a float rounded to bfloat16: products of such are exact in float
  using Unit = float;
  static constexpr int64_t k = 1;
};
struct Pair {  // two bfloat16, the one of the lower k in the lower half
  using Unit = uint32_t;
  static constexpr int64_t k = 2;
};

// Where unit u of vector v of a panel lies. `along_k`: 16 units of one vector are neighbours, else 16 vectors' units.
template <int64_t panel_width>
struct UnitMajor {  // [units][width]
  static constexpr int64_t width = panel_width;
  static constexpr bool along_k = false;
  static int64_t offset(int64_t u, int64_t v) { return u * width + v; }
};
struct TilesOfA {  // [units / 16][2 tiles][16 vectors][16 units]: the tiles of AMX's left factor
  static constexpr int64_t width = 32;
  static constexpr bool along_k = true;
  static int64_t offset(int64_t u, int64_t v) { return (u / 16 * 2 + v / 16) * 256 + v % 16 * 16 + u % 16; }
};
struct TilesOfB {  // [units / 16][2 tiles][16 units][16 vectors]: those of its right factor
  static constexpr int64_t width = 32;
  static constexpr bool along_k = false;
  static int64_t offset(int64_t u, int64_t v) { return (u / 16 * 2 + v / 16) * 256 + u % 16 * 16 + v % 16; }
};

// An operand in memory: element (v, k) is at v·stride + k, or at k·stride + v.
struct Operand {
  Data data;
  int64_t size, k, stride;
  bool k_contiguous;
};

// The units [begin, end) of panels [first, last) of the slice of k that starts at k0 and has `units`, which may reach
// beyond the operand's k.
struct Region {
  int64_t first, last, k0, units, begin, end;
};

#if defined(__AVX512F__)

// --- 16 × 16 units at a time -----------------------------------------------------------------------------------

using Vector = __m512i;

inline __mmask16 first(int64_t count) {
  return count >= 16 ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
}
inline __m512 load16(const float* from, int64_t count) { return _mm512_maskz_loadu_ps(first(count), from); }
inline __m256i load16(const bf16* from, int64_t count) { return _mm256_maskz_loadu_epi16(first(count), from); }
inline __m512 as_float(__m512 x) { return x; }
inline __m512 as_float(__m256i x) { return (__m512)widen((Halves)x); }

#if defined(__AVX512BF16__)
// The even elements from `low`, the odd ones from `high`, each rounded to bfloat16.
inline Vector interleave(__m512 low, __m512 high) {
  alignas(64) static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(order), (__m512i)_mm512_cvtne2ps_pbh(high, low));
}
inline Vector interleave(__m256i low, __m256i high) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}
#endif

// 16 units of one vector, of which `count` elements are there.
template <class Form, class Element>
inline Vector load_along_k(const Element* from, int64_t count) {
  if constexpr (Form::k == 1) {
    const __m512 x = as_float(load16(from, count));
    return (Vector)(__is_same(Form, Rounded) ? round_to_bf16((Floats)x) : (Floats)x);
  }
#if defined(__AVX512BF16__)
  else if constexpr (sizeof(Element) == 4) {
    return (Vector)_mm512_cvtne2ps_pbh(load16(from + 16, count - 16), load16(from, count));
  } else {
    return count >= 32 ? _mm512_loadu_si512(from)
                       : _mm512_maskz_loadu_epi16((1u << (count > 0 ? count : 0)) - 1, from);
  }
#endif
}

// One unit of 16 vectors, of which `count` are there, and `k_count` of the unit's elements.
template <class Form, class Element>
inline Vector load_along_vectors(const Element* from, [[maybe_unused]] int64_t stride, int64_t count,
                                 int64_t k_count) {
  if constexpr (Form::k == 1) {
    return load_along_k<Form>(from, k_count > 0 ? count : 0);
  }
#if defined(__AVX512BF16__)
  else {
    return interleave(load16(from, k_count > 0 ? count : 0), load16(from + stride, k_count > 1 ? count : 0));
  }
#endif
}

inline void transpose(Vector x[16]) {
  Vector y[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
  }
  // Now x[4g + i] holds, in its quarter q, column 4q + i of rows 4g … 4g + 3.
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    y[i] = _mm512_shuffle_i32x4(x[i], x[4 + i], 0x88);
    y[4 + i] = _mm512_shuffle_i32x4(x[i], x[4 + i], 0xdd);
    y[8 + i] = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], 0x88);
    y[12 + i] = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    x[i] = _mm512_shuffle_i32x4(y[i], y[8 + i], 0x88);
    x[8 + i] = _mm512_shuffle_i32x4(y[i], y[8 + i], 0xdd);
    x[4 + i] = _mm512_shuffle_i32x4(y[4 + i], y[12 + i], 0x88);
    x[12 + i] = _mm512_shuffle_i32x4(y[4 + i], y[12 + i], 0xdd);
  }
}

// Into the second-level cache, what will be read next.
template <class Element>
inline void fetch(const Element* from, int64_t count) {
  for (int64_t i = 0; i < count; i += 64 / sizeof(Element)) _mm_prefetch(from + i, _MM_HINT_T1);
}

// Up to 16 units, from u on, of up to 16 vectors, from v on, of a panel. `from` is the first element, and
// `size` and `k` are what is left of the operand from there.
template <class Form, class Layout, bool k_contiguous, class Element>
inline void pack_square(const Element* from, int64_t stride, int64_t size, int64_t k, int64_t u, int64_t v,
                        int64_t units, typename Form::Unit* panel) {
  Vector x[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) {
    if constexpr (k_contiguous) {
      x[i] = load_along_k<Form>(from + i * stride, i < size ? k : 0);
      fetch(from + (16 + i) * stride, 16 * Form::k);
    } else {
      x[i] = load_along_vectors<Form>(from + i * Form::k * stride, stride, size, k - i * Form::k);
    }
  }
  if constexpr (k_contiguous != Layout::along_k) transpose(x);
  const __mmask16 wanted = first(Layout::along_k ? 16 : Layout::width - v);
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) {
    if (i >= (Layout::along_k ? Layout::width - v : units - u)) break;
    const int64_t offset = Layout::along_k ? Layout::offset(u, v + i) : Layout::offset(u + i, v);
    _mm512_mask_storeu_epi32(panel + offset, wanted, x[i]);
  }
}

constexpr int64_t square_vectors = 16, square_units = 16;

#else

template <class Form, class Element>
inline float load_unit(const Element* from) {
  float x;
  if constexpr (sizeof(Element) == 4)
    x = *from;
  else
    x = bit_cast<float>(static_cast<uint32_t>(*from) << 16);
  if constexpr (__is_same(Form, Rounded)) {
    const uint32_t bits = bit_cast<uint32_t>(x);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
    x = bit_cast<float>(x == x ? rounded : (bits | 0x400000) & 0xffff0000u);
  }
  return x;
}

constexpr int64_t square_vectors = 1 << 16, square_units = 16;

template <class Element>
inline void fetch(const Element*, int64_t) {}

// Up to 16 units of a whole panel.
template <class Form, class Layout, bool k_contiguous, class Element>
inline void pack_square(const Element* from, int64_t stride, int64_t size, int64_t k, int64_t u, int64_t,
                        int64_t units, typename Form::Unit* panel) {
  units = smaller(units - u, 16);
  const int64_t there = smaller(units, k), width = smaller(Layout::width, size);
  for (int64_t i = 0; i < units; i++)
    for (int64_t j = 0; j < Layout::width; j++)
      panel[Layout::offset(u + i, j)] =
          i < there && j < width ? load_unit<Form>(k_contiguous ? from + j * stride + i : from + i * stride + j) : 0;
}

#endif

// The memory is read along its rows: vector by vector, or unit by unit through all panels, where it is fetched
// row by row beforehand. Only long ways along a row get the processor to read ahead, and with that the full
// bandwidth of memory.
template <class Form, class Layout, bool k_contiguous, class Element>
void pack_region(const Operand& operand, const Element* data, Region region, typename Form::Unit* packed) {
  const auto square = [&](int64_t panel, int64_t u, int64_t v) {
    const int64_t at = panel * Layout::width + v, k = region.k0 + u * Form::k;
    const int64_t offset = k_contiguous ? at * operand.stride + k : k * operand.stride + at;
    pack_square<Form, Layout, k_contiguous>(data + offset, operand.stride, operand.size - at, operand.k - k, u, v,
                                            region.end,
                                            packed + (panel - region.first) * Layout::width * region.units);
  };
  if (k_contiguous) {
    for (int64_t panel = region.first; panel < region.last; panel++)
      for (int64_t v = 0; v < Layout::width; v += square_vectors)
        for (int64_t u = region.begin; u < region.end; u += square_units) square(panel, u, v);
  } else {
    const int64_t from = region.first * Layout::width, to = smaller(region.last * Layout::width, operand.size);
    for (int64_t u = region.begin; u < region.end; u += square_units) {
      const int64_t k = region.k0 + u * Form::k;
      for (int64_t i = k; i < smaller(k + square_units * Form::k, operand.k); i++)
        fetch(data + i * operand.stride + from, to - from);
      for (int64_t panel = region.first; panel < region.last; panel++)
        for (int64_t v = 0; v < Layout::width; v += square_vectors) square(panel, u, v);
    }
  }
}

// packed: [panels of the region][Layout].
template <class Form, class Layout>
void pack(const Operand& operand, Region region, typename Form::Unit* packed) {
  with_pointer(operand.data, [&](auto* data) {
    if (operand.k_contiguous)
      pack_region<Form, Layout, true>(operand, data, region, packed);
    else
      pack_region<Form, Layout, false>(operand, data, region, packed);
  });
}

}  // namespace mae::MAE_ISA
