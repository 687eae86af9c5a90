// GELU by the error function, and its gradient: one exponential and one division an element serve both.
#include "dispatch.h"
#include "loops.h"

namespace mae::MAE_ISA {
namespace {

constexpr int64_t block_size = 16384;  // elements a task

// Some elements of a gradient; y and dbias may be nullptr.
template <class Dy, class X, class Dx, class Y>
void gradient(int64_t size, const Dy* dy, const X* x, Dx* dx, Y* y, float* dbias) {
  for_vectors(size, [&](int64_t i, auto part) {
    const Floats value = load(x + i, part), dy_value = load(dy + i, part);
    const Normal at = normal(value);
    const Floats dx_value = dy_value * fma(value, at.density, at.cumulative);
    store(dx + i, dx_value, part);
    if (y) store(y + i, value * at.cumulative, part);
    if (dbias) store(dbias + i, load(dbias + i, part) + dx_value, part);
  });
}

}  // namespace

void gelu(int64_t size, Data x, Data y, const Parallel& parallel) {
  with_pointer(x, [&](auto* in) {
    with_pointer(y, [&](auto* out) {
      for_blocks(parallel, size, block_size, [&](int64_t first, int64_t last, int64_t) {
        for_vectors(last - first, [&](int64_t i, auto part) {
          const Floats value = load(in + first + i, part);
          store(out + first + i, value * normal(value).cumulative, part);
        });
      });
    });
  });
}

size_t gelu_grad_workspace(int64_t rows, int64_t width) { return partials_workspace(rows, width); }

void gelu_grad(int64_t rows, int64_t width, Data dy, Data x, Data dx, Data y, float* dbias, void* workspace,
               const Parallel& parallel) {
  const auto each_type = [&](auto body) {
    with_pointer(dy, [&](auto* dy) {
      with_pointer(x, [&](auto* x) {
        with_pointer(dx, [&](auto* dx) { with_pointer(y, [&](auto* y) { body(dy, x, dx, y); }); });
      });
    });
  };
  float* partials = static_cast<float*>(workspace);
  each_type([&](auto* dy, auto* x, auto* dx, auto* y) {
    if (!dbias) {
      for_blocks(parallel, rows * width, block_size, [&](int64_t first, int64_t last, int64_t) {
        gradient(last - first, dy + first, x + first, dx + first, y ? y + first : y, nullptr);
      });
      return;
    }
    for_blocks(parallel, rows, rows_per_block(width), [&](int64_t first, int64_t last, int64_t block) {
      float* sums = partials + block * partial_stride(width);
      std::memset(sums, 0, width * sizeof(float));
      for (int64_t at = first * width; at < last * width; at += width)
        gradient(width, dy + at, x + at, dx + at, y ? y + at : y, sums);
    });
  });
  if (dbias) add_partials(rows, width, partials, nullptr, dbias, parallel);
}

}  // namespace mae::MAE_ISA

MAE_DISPATCH(void, gelu, (int64_t size, Data x, Data y, const Parallel& parallel), (size, x, y, parallel))
MAE_DISPATCH(size_t, gelu_grad_workspace, (int64_t rows, int64_t width), (rows, width))
MAE_DISPATCH(void, gelu_grad,
             (int64_t rows, int64_t width, Data dy, Data x, Data dx, Data y, float* dbias, void* workspace,
              const Parallel& parallel),
             (rows, width, dy, x, dx, y, dbias, workspace, parallel))
