// Vectors of float as wide as the registers of the level, and the functions that the families take of them.
// The arithmetic is that of GCC's and clang's vector extensions; where those have no word (fused multiply-add, square
// root, masks) stand the level's intrinsics, and plain loops for processors that are not named.
#pragma once

#include <cstring>

#include "dispatch.h"

#if defined(__x86_64__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // of _mm512_undefined_ps, GCC bug 105593
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace mae::MAE_ISA {

#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX2__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif

using Floats = float __attribute__((vector_size(lanes * 4)));
using Ints = int32_t __attribute__((vector_size(lanes * 4)));
using Bits = uint32_t __attribute__((vector_size(lanes * 4)));
using Halves = bf16 __attribute__((vector_size(lanes * 2)));

inline Floats splat(float value) { return value - Floats{}; }
template <class To, class From>
inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// --- memory ----------------------------------------------------------------------------------------------------

// How many lanes of a vector are there: all, or the first `count`, where the others read as 0 and are not written.
struct Whole {};
struct Part {
  int count;
};

inline Floats widen(Halves halves) {
#if defined(__AVX512F__)
  return bit_cast<Floats>((Bits)_mm512_cvtepu16_epi32((__m256i)halves) << 16);
#elif defined(__AVX2__)
  return bit_cast<Floats>((Bits)_mm256_cvtepu16_epi32((__m128i)halves) << 16);
#else
  return bit_cast<Floats>(__builtin_convertvector(halves, Bits) << 16);
#endif
}
// To nearest even; NaN stays NaN, made quiet.
inline Halves narrow(Floats x) {
  const Bits bits = bit_cast<Bits>(x);
  const Bits rounded = x == x ? bits + 0x7fff + ((bits >> 16) & 1) : bits | 0x400000;
#if defined(__AVX512F__)
  const __m512i upper_halves = _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1, 31, 29, 27,
                                                25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return (Halves)_mm512_castsi512_si256(_mm512_permutexvar_epi16(upper_halves, (__m512i)rounded));
#else
  return __builtin_convertvector(rounded >> 16, Halves);
#endif
}
inline Floats round_to_bf16(Floats x) { return widen(narrow(x)); }

inline Floats load(const float* from, Whole = {}) {
  Floats x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
inline Floats load(const bf16* from, Whole = {}) {
  Halves x;
  std::memcpy(&x, from, sizeof x);
  return widen(x);
}
inline void store(float* to, Floats x, Whole = {}) { std::memcpy(to, &x, sizeof x); }
inline void store(bf16* to, Floats x, Whole = {}) {
  const Halves halves = narrow(x);
  std::memcpy(to, &halves, sizeof halves);
}

#if defined(__AVX512F__)
inline __mmask16 mask(Part part) { return static_cast<__mmask16>((1u << part.count) - 1); }
inline Floats load(const float* from, Part part) { return (Floats)_mm512_maskz_loadu_ps(mask(part), from); }
inline Floats load(const bf16* from, Part part) {
  return widen((Halves)_mm256_maskz_loadu_epi16(mask(part), from));
}
inline void store(float* to, Floats x, Part part) { _mm512_mask_storeu_ps(to, mask(part), (__m512)x); }
inline void store(bf16* to, Floats x, Part part) {
  _mm256_mask_storeu_epi16(to, mask(part), (__m256i)narrow(x));
}
#else
inline Floats load(const float* from, Part part) {
  Floats x = {};
  std::memcpy(&x, from, part.count * sizeof(float));
  return x;
}
inline Floats load(const bf16* from, Part part) {
  Halves x = {};
  std::memcpy(&x, from, part.count * sizeof(bf16));
  return widen(x);
}
inline void store(float* to, Floats x, Part part) { std::memcpy(to, &x, part.count * sizeof(float)); }
inline void store(bf16* to, Floats x, Part part) {
  const Halves halves = narrow(x);
  std::memcpy(to, &halves, part.count * sizeof(bf16));
}
#endif

// x in the lanes that are there, `other` in the rest.
inline Floats keep(Floats x, Whole, float = 0) { return x; }
inline Floats keep(Floats x, Part part, float other = 0) {
  Ints lane;
  for (int i = 0; i < lanes; i++) lane[i] = i;
  return lane < part.count ? x : splat(other);
}

// --- arithmetic ------------------------------------------------------------------------------------------------

// a·b + c, rounded once where the processor can.
inline Floats fma(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}
inline Floats fma(Floats a, float b, Floats c) { return fma(a, splat(b), c); }
inline Floats fma(Floats a, Floats b, float c) { return fma(a, b, splat(c)); }
inline Floats fma(Floats a, float b, float c) { return fma(a, splat(b), splat(c)); }

inline Floats sqrt(Floats x) {
#if defined(__AVX512F__)
  return (Floats)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
  return (Floats)_mm256_sqrt_ps((__m256)x);
#elif defined(__x86_64__)
  return (Floats)_mm_sqrt_ps((__m128)x);
#else
  for (int i = 0; i < lanes; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

inline Floats abs(Floats x) { return bit_cast<Floats>(bit_cast<Bits>(x) & 0x7fffffff); }
// b where either is NaN.
inline Floats max(Floats a, Floats b) {
#if defined(__AVX512F__)
  return (Floats)_mm512_max_ps((__m512)a, (__m512)b);
#else
  return a > b ? a : b;
#endif
}
inline Floats min(Floats a, Floats b) {
#if defined(__AVX512F__)
  return (Floats)_mm512_min_ps((__m512)a, (__m512)b);
#else
  return a < b ? a : b;
#endif
}
// x within [low, high]; NaN stays NaN.
inline Floats limit(Floats x, float low, float high) { return min(splat(high), max(splat(low), x)); }

// Over the lanes of a vector, by halves.
inline float sum(Floats x) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)x);
#else
  float part[lanes];
  std::memcpy(part, &x, sizeof part);
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) part[i] += part[i + half];
  return part[0];
#endif
}
inline float max(Floats x) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps((__m512)x);
#else
  float part[lanes];
  std::memcpy(part, &x, sizeof part);
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) part[i] = part[i] > part[i + half] ? part[i] : part[i + half];
  return part[0];
#endif
}

// To the nearest integer, |x| ≤ 2²².
inline Floats round(Floats x) {
#if defined(__AVX512F__)
  return (Floats)_mm512_roundscale_ps((__m512)x, 0);
#else
  return (x + 12582912.f) - 12582912.f;
#endif
}

// x·2ⁿ for whole n, |n| ≤ 250: 0 or inf where that is the result.
inline Floats scale_by_power(Floats x, Floats n) {
#if defined(__AVX512F__)
  return (Floats)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
  const Ints exponent = bit_cast<Ints>(n + 12582912.f) - 0x4b400000, half = exponent >> 1;
  return x * bit_cast<Floats>((half + 127) << 23) * bit_cast<Floats>((exponent - half + 127) << 23);
#endif
}

// exp(x) = 2ⁿ·exp(r) with x = n·ln 2 + r, |r| ≤ ln 2 / 2
constexpr float log2_e = 1.44269504f, ln2_high = 0.693145752f, ln2_low = 1.42860677e-6f;

inline Floats exp_of_parts(Floats n, Floats r) {
  // exp(r) = 1 + r + r²·q(r): minimax of relative error 3e-9
  Floats q = fma(r, 1.38148488981e-3f, 8.36871009286e-3f);
  q = fma(q, r, 4.16683802373e-2f);
  q = fma(q, r, 0.166665208649f);
  q = fma(q, r, 0.49999993515f);
  q = fma(q, r, 1.f);
  q = fma(q, r, 1.f);
  return scale_by_power(q, n);
}

// Relative error under 1.2e-7; 0 below −104, inf above 88.73, NaN of NaN.
inline Floats exp(Floats x) {
  x = limit(x, -150, 150);
  const Floats n = round(x * log2_e);
  return exp_of_parts(n, fma(n, -ln2_low, fma(n, -ln2_high, x)));
}

// exp(a·b) for |a·b| ≤ 150, the product not rounded where the processor can.
inline Floats exp_of_product(Floats a, Floats b) {
  const Floats n = round(a * b * log2_e);
  return exp_of_parts(n, fma(n, -ln2_low, fma(a, b, n * -ln2_high)));
}

// The normal distribution: Φ(x) and φ(x) = exp(−x²/2)/√(2π), to a relative error under 3e-7 in both tails.
struct Normal {
  Floats cumulative, density;
};
inline Normal normal(Floats x) {
  const Floats t = min(splat(17), abs(x));  // φ(17) is 0 in float32
  const Floats density = exp_of_product(t * -0.5f, t) * 0.398942280f;
  // Φ(−t)/φ(t), the Mills ratio, is u·p(u) with u = 1/(3 + t): minimax of relative error 5e-8 over t in [0, 14]
  const Floats u = 1.f / (t + 3.f);
  Floats p = fma(u, -1123.1283f, 2131.31081f);
  p = fma(p, u, -1487.14332f);
  p = fma(p, u, 400.102231f);
  p = fma(p, u, -32.5089847f);
  p = fma(p, u, 24.3473793f);
  p = fma(p, u, 7.60833445f);
  p = fma(p, u, 3.01340857f);
  p = fma(p, u, 0.999805382f);
  const Floats tail = density * (u * p);
  return {x > 0.f ? 1.f - tail : tail, density};
}

}  // namespace mae::MAE_ISA
