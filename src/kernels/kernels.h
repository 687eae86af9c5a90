// The kernels of mae: plain functions over memory, each one pass where the definition in ONNX's operators is many.
//
// Matrices are row-major and dense. No function allocates: callers give `workspace` of the size that the matching
// `*_workspace` function asks for, aligned to 64 bytes. Work is cut into tasks by the sizes of the problem alone,
// never by the number of threads, and partial sums are added in a fixed order, so results do not depend on threads.
#pragma once

#include <cstddef>
#include <cstdint>

// What the library shows to others by its name.
#if defined(_WIN32)
#define MAE_EXPORT extern "C" __declspec(dllexport)
#else
#define MAE_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace mae {

// A thread pool. `run` calls body(context, i) for every i in [0, tasks), in any order, and returns when all are done.
struct Parallel {
  void (*run)(void* self, size_t tasks, void (*body)(void* context, size_t task), void* context);
  void* self;
};

// Which instructions to use. The best that the processor has, or less where MAE_KERNELS_ISA says so
// ("plain", "avx2", "avx512", "avx512_bf16", "amx"). Asking for more than there is gives what there is.
enum class Isa { plain, avx2, avx512, avx512_bf16, amx };
Isa isa();
const char* isa_name(Isa isa);

// bfloat16 is the upper half of a float32; rounding is to nearest even, NaN stays NaN.
using bf16 = uint16_t;

// A matrix or vector in memory, float32 or bfloat16.
enum class Type { f32, bf16 };
struct Data {
  void* data = nullptr;
  Type type = Type::f32;
};

// --- gemm*.cc -------------------------------------------------------------------------------------------------

// How products are formed. f32: float32 products and sums. bf16: both factors rounded to bfloat16 as they are
// packed, products summed in float32, which is what PyTorch's autocast does.
enum class Product { f32, bf16 };

// c = alpha · op(a) · op(b) + bias + addend; gelu = GELU(c).  a: [m, k] ([k, m] with trans_a);
// b: [k, n] ([n, k] with trans_b); bias: [n] or none; addend: [m, n] or none, may be c itself; c: [m, n] or
// none; gelu: [m, n] or none, erf form. Any of the matrices may be f32 or bf16; bias is f32. Sizes may be 0.
struct Gemm {
  int64_t m, n, k;
  bool trans_a = false, trans_b = false;
  float alpha = 1;
  Data a, b, addend, c, gelu;
  const float* bias = nullptr;
  Product product = Product::f32;
};
size_t gemm_workspace(const Gemm& gemm);
void gemm(const Gemm& gemm, void* workspace, const Parallel& parallel);

// --- attention*.cc --------------------------------------------------------------------------------------------

// Multi-head self-attention for one head at a time, scores never in memory.
// qkv: [batch, tokens, 3, heads, width]; y: [batch, tokens, heads, width];
// lse: float32 [batch, heads, tokens], log Σ exp(scale · q·kᵀ) of each row, which the backward pass starts from.
struct Attention {
  int64_t batch, tokens, heads, width;
  float scale;
  Product product = Product::f32;
};
size_t attention_workspace(const Attention& attention);
void attention(const Attention& attention, Data qkv, Data y, float* lse, void* workspace, const Parallel& parallel);
// dqkv from dy and what the forward pass made.
size_t attention_grad_workspace(const Attention& attention);
void attention_grad(const Attention& attention, Data dy, Data qkv, Data y, const float* lse, Data dqkv,
                    void* workspace, const Parallel& parallel);

// --- layer_norm.cc --------------------------------------------------------------------------------------------

// Over rows of `width`: y = (x − mean)·inv_std·scale + bias, inv_std = 1/√(variance + epsilon), biased variance.
// mean, inv_std: [rows]. x is float32, y float32 or bfloat16.
void layer_norm(int64_t rows, int64_t width, float epsilon, const float* x, const float* scale, const float* bias,
                Data y, float* mean, float* inv_std, const Parallel& parallel);
// dx = inv_std·(g − mean(g) − x̂·mean(g·x̂)) + addend, g = dy·scale; dscale = Σ dy·x̂; dbias = Σ dy.
// addend: [rows, width] or none (the gradient that comes past the norm by the residual), may be dx itself.
// y: layer_norm's once more, the same bytes, where asked for, so that it need not be kept from the forward pass.
size_t layer_norm_grad_workspace(int64_t rows, int64_t width);
void layer_norm_grad(int64_t rows, int64_t width, Data dy, const float* x, const float* scale, const float* bias,
                     const float* mean, const float* inv_std, const float* addend, float* dx, float* dscale,
                     float* dbias, Data y, void* workspace, const Parallel& parallel);

// --- gelu.cc --------------------------------------------------------------------------------------------------

// dx = dy·(Φ(x) + x·φ(x)); y = x·Φ(x), which is GELU(x), once more where asked for, so that it need not be kept from
// the forward pass. Φ by the error function.
void gelu_grad(int64_t size, Data dy, Data x, Data dx, Data y, const Parallel& parallel);

// --- reduce.cc ------------------------------------------------------------------------------------------------

// sums[j] = Σ x[:, j] (+ addend[j]): the gradient of a bias. x: [rows, width].
size_t column_sums_workspace(int64_t rows, int64_t width);
void column_sums(int64_t rows, int64_t width, Data x, const float* addend, float* sums, void* workspace,
                 const Parallel& parallel);

// --- adamw.cc -------------------------------------------------------------------------------------------------

// One step of AdamW over float32 arenas of `size`, in place; the scalars are those of `src/model/optim/adamw.ts`:
//   m ← beta1·m + first_moment_share·g      v ← beta2·v + second_moment_share·g²
//   p ← decay·p − step_size · m / (√v·second_moment_scale + epsilon)
struct AdamW {
  float beta1, beta2, epsilon, decay, step_size, second_moment_scale, first_moment_share, second_moment_share;
};
void adamw(int64_t size, const AdamW& scalars, float* param, const float* grad, float* exp_avg, float* exp_avg_sq,
           const Parallel& parallel);
// Σ x² in double, pairwise in a fixed order.
size_t sum_of_squares_workspace(int64_t size);
double sum_of_squares(int64_t size, const float* x, void* workspace, const Parallel& parallel);

// --- resample.cc ----------------------------------------------------------------------------------------------

// Resamples RGB bytes, first across and then down, rounded to bytes in between, on the caller's thread:
//   out[i] = clamp((2²¹ + Σₖ in[first[i] + k]·w[i][k]) >> 22), in int32.
// w is 22-bit fixed point, in pairs of taps as src/data/resample.ts writes them: low₀ low₁ high₀ high₁, w = low + 2¹¹·high.
// `first` is in bytes of a source row across, in rows down.
struct ResampleAxis {
  int64_t outputs, pairs;
  const int32_t* first;
  const int16_t* weights;  // [outputs, pairs, 4]
};
// source: `row_count` rows of RGB, `source_stride` bytes apart; taps of weight 0 may lie past a row's end, so 6 bytes
// for each pair across and 16 more must be readable after the last one. out: [down.outputs, across.outputs, 3].
struct Resample {
  const uint8_t* source;
  int64_t source_stride, row_count;
  ResampleAxis across, down;
  uint8_t* out;
};
size_t resample_workspace(const Resample& resample);
void resample(const Resample& resample, void* workspace);
// The same for callers that have no structs: mae_resample_workspace and mae_resample, which src/data calls.

}  // namespace mae
