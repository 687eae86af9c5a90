// How one source file becomes code for several processors.
//
// A file that includes this header is a family. bin/build-kernels.js compiles it once for each of its levels, with
// MAE_ISA set to the level's name (an enumerator of mae::Isa) and the compiler flags of that level:
//
//   #include "dispatch.h"
//   #include "kernels.h"
//
//   namespace mae::MAE_ISA {
//   namespace { ... helpers; everything that is not called from outside goes here ... }
//   void halve(int64_t size, Data x, Data y, const Parallel& parallel) { ... }
//   }
//
//   MAE_DISPATCH(void, halve, (int64_t size, Data x, Data y, const Parallel& parallel), (size, x, y, parallel))
//
// MAE_DISPATCH stands at global scope and expands to something only at the level `plain`: to mae::halve, which calls
// the best compiled mae::<level>::halve that isa() allows.
//
// Levels: gemm* and attention* have all of them; the others have plain, avx2 and avx512, and use avx512 above it, but
// for resample, which has avx512_bf16 too: that level stands for VNNI as well.
// Beside the compiler's own __AVX2__, __AVX512F__, __AVX512BF16__ and __AMX_TILE__, MAE_LEVEL holds the level as a
// number to compare with MAE_LEVEL_avx2 and so on.
//
// One trap: an inline function of the standard library (std::min, std::vector) that is not inlined is kept by the
// linker once for all levels, perhaps the copy that needs AVX-512. Families keep to their own functions, in
// the anonymous namespace or in mae::MAE_ISA; a header with code that families share puts it there too.
#pragma once

#include "kernels.h"

#define MAE_LEVEL_plain 0
#define MAE_LEVEL_avx2 1
#define MAE_LEVEL_avx512 2
#define MAE_LEVEL_avx512_bf16 3
#define MAE_LEVEL_amx 4

#define MAE_JOIN_(a, b) a##b
#define MAE_JOIN(a, b) MAE_JOIN_(a, b)
#define MAE_LEVEL MAE_JOIN(MAE_LEVEL_, MAE_ISA)

#define MAE_CASE_(result, level, name, parameters, arguments) \
  if (isa() >= Isa::level) return level::name arguments;
#define MAE_DECLARE_(result, level, name, parameters, arguments) \
  namespace level {                                              \
  result name parameters;                                        \
  }

// MAE_HAS_<level>: the build compiles this file for the level.
#ifdef MAE_HAS_avx2
#define MAE_AVX2_(macro, ...) macro(__VA_ARGS__)
#else
#define MAE_AVX2_(macro, ...)
#endif
#ifdef MAE_HAS_avx512
#define MAE_AVX512_(macro, ...) macro(__VA_ARGS__)
#else
#define MAE_AVX512_(macro, ...)
#endif
#ifdef MAE_HAS_avx512_bf16
#define MAE_AVX512_BF16_(macro, ...) macro(__VA_ARGS__)
#else
#define MAE_AVX512_BF16_(macro, ...)
#endif
#ifdef MAE_HAS_amx
#define MAE_AMX_(macro, ...) macro(__VA_ARGS__)
#else
#define MAE_AMX_(macro, ...)
#endif

// One `macro` for each level above plain, from the best down.
#define MAE_LEVELS_(macro, result, name, parameters, arguments)             \
  MAE_AMX_(macro, result, amx, name, parameters, arguments)                 \
  MAE_AVX512_BF16_(macro, result, avx512_bf16, name, parameters, arguments) \
  MAE_AVX512_(macro, result, avx512, name, parameters, arguments)           \
  MAE_AVX2_(macro, result, avx2, name, parameters, arguments)

#if MAE_LEVEL == MAE_LEVEL_plain
#define MAE_DISPATCH(result, name, parameters, arguments)        \
  namespace mae {                                                \
  MAE_LEVELS_(MAE_DECLARE_, result, name, parameters, arguments) \
  MAE_DECLARE_(result, plain, name, parameters, arguments)       \
  result name parameters {                                       \
    MAE_LEVELS_(MAE_CASE_, result, name, parameters, arguments)  \
    return plain::name arguments;                                \
  }                                                              \
  }
#else
#define MAE_DISPATCH(result, name, parameters, arguments)
#endif
