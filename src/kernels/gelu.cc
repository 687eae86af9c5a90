// The gradient of GELU by the error function, and GELU once more: one exponential and one division an element serve
// both.
#include "dispatch.h"
#include "loops.h"

namespace mae::MAE_ISA {
namespace {

constexpr int64_t block_size = 16384;  // elements a task

// Some elements of a gradient; y may be nullptr.
template <class Dy, class X, class Dx, class Y>
void gradient(int64_t size, const Dy* dy, const X* x, Dx* dx, Y* y) {
  for_vectors(size, [&](int64_t i, auto part) {
    const Floats value = load(x + i, part), dy_value = load(dy + i, part);
    const Normal at = normal(value);
    store(dx + i, dy_value * fma(value, at.density, at.cumulative), part);
    if (y) store(y + i, value * at.cumulative, part);
  });
}

}  // namespace

void gelu_grad(int64_t size, Data dy, Data x, Data dx, Data y, const Parallel& parallel) {
  const auto each_type = [&](auto body) {
    with_pointer(dy, [&](auto* dy) {
      with_pointer(x, [&](auto* x) {
        with_pointer(dx, [&](auto* dx) { with_pointer(y, [&](auto* y) { body(dy, x, dx, y); }); });
      });
    });
  };
  each_type([&](auto* dy, auto* x, auto* dx, auto* y) {
    for_blocks(parallel, size, block_size, [&](int64_t first, int64_t last, int64_t) {
      gradient(last - first, dy + first, x + first, dx + first, y ? y + first : y);
    });
  });
}

}  // namespace mae::MAE_ISA

MAE_DISPATCH(void, gelu_grad, (int64_t size, Data dy, Data x, Data dx, Data y, const Parallel& parallel),
             (size, dy, x, dx, y, parallel))
