// How resample sums at each level: some taps of some rows at a time.
//
// Weights have 22 bits after their binary point, too many for instructions that multiply bytes or 16-bit numbers, so
// they are cut into digits, and the sums of each digit's products are put together at the end. Sums of int32 wrap, so
// only the total has to fit:
//   VNNI   w = d₀ + 2⁸·d₁ + 2¹⁶·d₂, signed bytes: four taps at a time (vpdpbusd, which does not saturate). That needs
//          |w| < 2²³ − 2¹⁵: the weights of an output sum to 2²², and at the edge of a picture one is 1.125 times that.
//   AVX2   w = low + 2¹¹·high, as weights come: two taps at a time (vpmaddwd)
#pragma once

#include <cstring>

#include "dispatch.h"

#if MAE_LEVEL >= MAE_LEVEL_avx2
#include <immintrin.h>
#endif

namespace mae::MAE_ISA {
namespace {

constexpr int kPrecision = 22;
constexpr int kLowBits = 11;
constexpr int kHalf = 1 << (kPrecision - 1);

// A step takes kTaps taps of kRows rows at a time, with their digits in kWords words.
#if MAE_LEVEL >= MAE_LEVEL_avx512_bf16

constexpr int64_t kTaps = 4, kRows = 4, kWords = 4;
using Vector = __m512i;

struct Sums {
  Vector d0 = _mm512_set1_epi32(kHalf), d1 = _mm512_setzero_si512(), d2 = _mm512_setzero_si512();
  void add(Vector bytes, const int32_t* digits) {
    d0 = _mm512_dpbusd_epi32(d0, bytes, _mm512_set1_epi32(digits[0]));
    d1 = _mm512_dpbusd_epi32(d1, bytes, _mm512_set1_epi32(digits[1]));
    d2 = _mm512_dpbusd_epi32(d2, bytes, _mm512_set1_epi32(digits[2]));
  }
  // Not yet within 0 … 255.
  Vector levels() const {
    const Vector upper = _mm512_add_epi32(d1, _mm512_slli_epi32(d2, 8));
    return _mm512_srai_epi32(_mm512_add_epi32(d0, _mm512_slli_epi32(upper, 8)), kPrecision);
  }
};

// Four pixels r g b … of each row: the four r, the four g, the four b, nothing.
inline Vector gather(const uint8_t* const* rows, int64_t from) {
  const auto pixels = [&](int row) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + from)); };
  Vector bytes = _mm512_castsi128_si512(pixels(0));
  bytes = _mm512_mask_broadcast_i32x4(bytes, 0x00f0, pixels(1));
  bytes = _mm512_mask_broadcast_i32x4(bytes, 0x0f00, pixels(2));
  bytes = _mm512_mask_broadcast_i32x4(bytes, 0xf000, pixels(3));
  const __m128i order = _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1);
  return _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(order));
}

// a₀ b₀ c₀ d₀ a₁ … of four rows; pack() puts the order right again.
inline void interleave(const uint8_t* from, int64_t stride, Vector* parts) {
  const Vector a = _mm512_loadu_si512(from), b = _mm512_loadu_si512(from + stride);
  const Vector c = _mm512_loadu_si512(from + 2 * stride), d = _mm512_loadu_si512(from + 3 * stride);
  const Vector ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
  const Vector cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
  parts[0] = _mm512_unpacklo_epi16(ab_low, cd_low);
  parts[1] = _mm512_unpackhi_epi16(ab_low, cd_low);
  parts[2] = _mm512_unpacklo_epi16(ab_high, cd_high);
  parts[3] = _mm512_unpackhi_epi16(ab_high, cd_high);
}

// Clamped bytes of four times as many levels.
inline Vector pack(const Sums* sums) {
  return _mm512_packus_epi16(_mm512_packs_epi32(sums[0].levels(), sums[1].levels()),
                             _mm512_packs_epi32(sums[2].levels(), sums[3].levels()));
}

// r g b 0 of four pixels of each row, to twelve bytes and four that do not matter.
inline void store_pixels(Vector bytes, uint8_t* to, int64_t stride) {
  const __m128i order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  const Vector pixels = _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(order));
  const auto row = [&](int i) { return reinterpret_cast<__m128i*>(to + i * stride); };
  _mm_storeu_si128(row(0), _mm512_castsi512_si128(pixels));
  _mm_storeu_si128(row(1), _mm512_extracti32x4_epi32(pixels, 1));
  _mm_storeu_si128(row(2), _mm512_extracti32x4_epi32(pixels, 2));
  _mm_storeu_si128(row(3), _mm512_extracti32x4_epi32(pixels, 3));
}

inline void store(uint8_t* to, int64_t length, Vector bytes) {
  _mm512_mask_storeu_epi8(to, length >= 64 ? ~0ull : (1ull << length) - 1, bytes);
}

// d₀ of four taps, d₁, d₂, and four bytes that nobody reads. w + 0x808080 has the bytes d + 128.
const int32_t* digits_of(const ResampleAxis& axis, int32_t* digits) {
  const __m128i low = _mm_setr_epi8(0, 1, -1, -1, 2, 3, -1, -1, 8, 9, -1, -1, 10, 11, -1, -1);
  const __m128i high = _mm_setr_epi8(4, 5, -1, -1, 6, 7, -1, -1, 12, 13, -1, -1, 14, 15, -1, -1);
  const __m128i transpose = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m128i bias = _mm_set1_epi32(0x808080);
  const int16_t* from = axis.weights;
  int32_t* to = digits;
  for (int64_t i = 0; i < axis.outputs; i++)
    for (int64_t left = axis.pairs; left > 0; left -= 2, to += kWords) {
      const auto* packed = reinterpret_cast<const __m128i*>(from);
      const __m128i two = left > 1 ? _mm_loadu_si128(packed) : _mm_loadl_epi64(packed);
      from += left > 1 ? 8 : 4;
      const __m128i w = _mm_add_epi32(_mm_shuffle_epi8(two, low),
                                      _mm_slli_epi32(_mm_shuffle_epi8(two, high), kLowBits));
      const __m128i bytes = _mm_xor_si128(_mm_add_epi32(w, bias), bias);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_shuffle_epi8(bytes, transpose));
    }
  return digits;
}

#elif MAE_LEVEL >= MAE_LEVEL_avx2

constexpr int64_t kTaps = 2, kRows = 2, kWords = 2;
using Vector = __m256i;

struct Sums {
  Vector low = _mm256_set1_epi32(kHalf), high = _mm256_setzero_si256();
  void add(Vector numbers, const int32_t* digits) {
    low = _mm256_add_epi32(low, _mm256_madd_epi16(numbers, _mm256_set1_epi32(digits[0])));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(numbers, _mm256_set1_epi32(digits[1])));
  }
  // Not yet within 0 … 255.
  Vector levels() const {
    return _mm256_srai_epi32(_mm256_add_epi32(low, _mm256_slli_epi32(high, kLowBits)), kPrecision);
  }
};

// Two pixels r g b r g b … of each row, as 16-bit numbers: r r g g b b, nothing.
inline Vector gather(const uint8_t* const* rows, int64_t from) {
  const auto pixels = [&](int row) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + from)); };
  const __m128i order = _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
  const Vector bytes = _mm256_inserti128_si256(_mm256_castsi128_si256(pixels(0)), pixels(1), 1);
  return _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(order));
}

// a₀ b₀ a₁ … of two rows, as 16-bit numbers; pack() puts the order right again.
inline void interleave(const uint8_t* from, int64_t stride, Vector* parts) {
  const Vector a = _mm256_loadu_si256(reinterpret_cast<const Vector*>(from));
  const Vector b = _mm256_loadu_si256(reinterpret_cast<const Vector*>(from + stride));
  const Vector zero = _mm256_setzero_si256();
  const Vector low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
  parts[0] = _mm256_unpacklo_epi8(low, zero);
  parts[1] = _mm256_unpackhi_epi8(low, zero);
  parts[2] = _mm256_unpacklo_epi8(high, zero);
  parts[3] = _mm256_unpackhi_epi8(high, zero);
}

// Clamped bytes of four times as many levels.
inline Vector pack(const Sums* sums) {
  return _mm256_packus_epi16(_mm256_packs_epi32(sums[0].levels(), sums[1].levels()),
                             _mm256_packs_epi32(sums[2].levels(), sums[3].levels()));
}

// r g b 0 of four pixels of each row, to twelve bytes and four that do not matter.
inline void store_pixels(Vector bytes, uint8_t* to, int64_t stride) {
  const __m128i order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  const Vector pixels = _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(order));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(pixels));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to + stride), _mm256_extracti128_si256(pixels, 1));
}

inline void store(uint8_t* to, int64_t length, Vector bytes) {
  if (length >= 32) {
    _mm256_storeu_si256(reinterpret_cast<Vector*>(to), bytes);
  } else {
    alignas(32) uint8_t part[32];
    _mm256_store_si256(reinterpret_cast<Vector*>(part), bytes);
    std::memcpy(to, part, length);
  }
}

// As they come.
const int32_t* digits_of(const ResampleAxis& axis, int32_t*) {
  return reinterpret_cast<const int32_t*>(axis.weights);
}

#else

constexpr int64_t kTaps = 2, kRows = 1, kWords = 2;

#endif

}  // namespace
}  // namespace mae::MAE_ISA
