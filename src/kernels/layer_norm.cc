// Layer normalisation. A row stays in the first-level cache from its first reading to its last.
#include "dispatch.h"
#include "loops.h"

namespace mae::MAE_ISA {
namespace {

struct Moments {
  float mean, inv_std;
};

// In two passes, since Σx² − (Σx)² cancels.
Moments moments_of(const float* x, int64_t width, float epsilon) {
  const float mean = sum_vectors(width, [&](int64_t j, auto part) { return load(x + j, part); }) / width;
  const float variance = sum_vectors(width, [&](int64_t j, auto part) {
    const Floats centered = load(x + j, part) - mean;
    return centered * centered;
  }) / width;
  return {mean, 1 / __builtin_sqrtf(variance + epsilon)};
}

template <class T>
void normalize_row(int64_t width, const float* x, const float* scale, const float* bias, Moments moments, T* y) {
  for_vectors(width, [&](int64_t j, auto part) {
    const Floats normal = (load(x + j, part) - moments.mean) * moments.inv_std;
    store(y + j, fma(normal, load(scale + j, part), load(bias + j, part)), part);
  });
}

struct Gradient {
  int64_t width;
  const float *x, *scale, *mean, *inv_std, *addend;
  float* dx;
};

// dx of one row; dscale and dbias grow by what the row gives.
template <class T>
void gradient_of_row(const Gradient& of, int64_t row, const T* dy, float* dscale, float* dbias) {
  const int64_t width = of.width;
  const float *x = of.x + row * width, mean = of.mean[row], inv_std = of.inv_std[row];
  Floats sum_g[2] = {}, sum_gx[2] = {};
  for_vectors(width, [&](int64_t j, auto part) {
    const Floats normal = keep((load(x + j, part) - mean) * inv_std, part), d = load(dy + j, part);
    store(dscale + j, load(dscale + j, part) + d * normal, part);
    store(dbias + j, load(dbias + j, part) + d, part);
    const Floats g = d * load(of.scale + j, part);
    const int chain = j / lanes % 2;
    sum_g[chain] += g;
    sum_gx[chain] += g * normal;
  });
  const float mean_g = sum(sum_g[0] + sum_g[1]) / width, mean_gx = sum(sum_gx[0] + sum_gx[1]) / width;
  const float* addend = of.addend ? of.addend + row * width : nullptr;
  float* dx = of.dx + row * width;
  for_vectors(width, [&](int64_t j, auto part) {
    const Floats normal = (load(x + j, part) - mean) * inv_std;
    const Floats g = load(dy + j, part) * load(of.scale + j, part);
    const Floats d = inv_std * (g - mean_g - normal * mean_gx);
    store(dx + j, addend ? d + load(addend + j, part) : d, part);
  });
}

}  // namespace

void layer_norm(int64_t rows, int64_t width, float epsilon, const float* x, const float* scale, const float* bias,
                Data y, float* mean, float* inv_std, const Parallel& parallel) {
  with_pointer(y, [&](auto* out) {
    for_blocks(parallel, rows, rows_per_block(width), [&](int64_t first, int64_t last, int64_t) {
      for (int64_t row = first; row < last; row++) {
        const float* in = x + row * width;
        auto* to = out + row * width;
        const Moments moments = moments_of(in, width, epsilon);
        mean[row] = moments.mean;
        inv_std[row] = moments.inv_std;
        normalize_row(width, in, scale, bias, moments, to);
      }
    });
  });
}

size_t layer_norm_grad_workspace(int64_t rows, int64_t width) { return 2 * partials_workspace(rows, width); }

void layer_norm_grad(int64_t rows, int64_t width, Data dy, const float* x, const float* scale, const float* bias,
                     const float* mean, const float* inv_std, const float* addend, float* dx, float* dscale,
                     float* dbias, Data y, void* workspace, const Parallel& parallel) {
  const Gradient gradient{width, x, scale, mean, inv_std, addend, dx};
  float* dscales = static_cast<float*>(workspace);
  float* dbiases = dscales + partials_workspace(rows, width) / sizeof(float);
  with_pointer(dy, [&](auto* d) {
    for_blocks(parallel, rows, rows_per_block(width), [&](int64_t first, int64_t last, int64_t block) {
      float *block_dscale = dscales + block * partial_stride(width),
            *block_dbias = dbiases + block * partial_stride(width);
      std::memset(block_dscale, 0, width * sizeof(float));
      std::memset(block_dbias, 0, width * sizeof(float));
      for (int64_t row = first; row < last; row++) {
        gradient_of_row(gradient, row, d + row * width, block_dscale, block_dbias);
        if (y.data == nullptr) continue;
        with_pointer(y, [&](auto* out) {
          normalize_row(width, x + row * width, scale, bias, {mean[row], inv_std[row]}, out + row * width);
        });
      }
    });
  });
  add_partials(rows, width, dscales, nullptr, dscale, parallel);
  add_partials(rows, width, dbiases, nullptr, dbias, parallel);
}

}  // namespace mae::MAE_ISA

MAE_DISPATCH(void, layer_norm,
             (int64_t rows, int64_t width, float epsilon, const float* x, const float* scale, const float* bias,
              Data y, float* mean, float* inv_std, const Parallel& parallel),
             (rows, width, epsilon, x, scale, bias, y, mean, inv_std, parallel))
MAE_DISPATCH(size_t, layer_norm_grad_workspace, (int64_t rows, int64_t width), (rows, width))
MAE_DISPATCH(void, layer_norm_grad,
             (int64_t rows, int64_t width, Data dy, const float* x, const float* scale, const float* bias,
              const float* mean, const float* inv_std, const float* addend, float* dx, float* dscale, float* dbias,
              Data y, void* workspace, const Parallel& parallel),
             (rows, width, dy, x, scale, bias, mean, inv_std, addend, dx, dscale, dbias, y, workspace, parallel))
