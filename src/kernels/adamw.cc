// The optimizer's passes over the arenas of all parameters, at the speed of memory.
#include "dispatch.h"
#include "loops.h"

namespace mae::MAE_ISA {
namespace {

constexpr int64_t update_block = 16384, sum_block = 65536;  // elements a task

using Doubles = double __attribute__((vector_size(lanes * 4)));
using HalfOfFloats = float __attribute__((vector_size(lanes * 2)));

// Σ x² of one block, in four chains: float products are exact in double.
double squares_of(int64_t size, const float* x) {
  constexpr int width = lanes / 2;
  Doubles chain[4] = {};
  int64_t i = 0;
  for (; i + 4 * width <= size; i += 4 * width)
    for (int j = 0; j < 4; j++) {
      HalfOfFloats half;
      std::memcpy(&half, x + i + j * width, sizeof half);
      const Doubles value = __builtin_convertvector(half, Doubles);
      chain[j] += value * value;
    }
  const Doubles sum = (chain[0] + chain[1]) + (chain[2] + chain[3]);
  double total = 0;
  for (int lane = 0; lane < width; lane++) total += sum[lane];
  for (; i < size; i++) total += static_cast<double>(x[i]) * x[i];
  return total;
}

// By halves, so that the error grows with the logarithm of the count.
double pairwise_sum(const double* x, int64_t size) {
  if (size == 0) return 0;
  if (size == 1) return x[0];
  return pairwise_sum(x, size / 2) + pairwise_sum(x + size / 2, size - size / 2);
}

}  // namespace

void adamw(int64_t size, const AdamW& scalars, float* param, const float* grad, float* exp_avg, float* exp_avg_sq,
           const Parallel& parallel) {
  const AdamW s = scalars;
  for_blocks(parallel, size, update_block, [&](int64_t first, int64_t last, int64_t) {
    float *p_at = param + first, *m_at = exp_avg + first, *v_at = exp_avg_sq + first;
    const float* g_at = grad + first;
    for_vectors(last - first, [&](int64_t i, auto part) {
      const Floats g = load(g_at + i, part);
      const Floats m = s.beta1 * load(m_at + i, part) + s.first_moment_share * g;
      const Floats v = s.beta2 * load(v_at + i, part) + s.second_moment_share * (g * g);
      const Floats p = s.decay * load(p_at + i, part);
      store(m_at + i, m, part);
      store(v_at + i, v, part);
      store(p_at + i, p - s.step_size * (m / (sqrt(v) * s.second_moment_scale + s.epsilon)), part);
    });
  });
}

size_t sum_of_squares_workspace(int64_t size) { return sizeof(double) * divide_up(size, sum_block); }

double sum_of_squares(int64_t size, const float* x, void* workspace, const Parallel& parallel) {
  double* sums = static_cast<double*>(workspace);
  for_blocks(parallel, size, sum_block, [&](int64_t first, int64_t last, int64_t block) {
    sums[block] = squares_of(last - first, x + first);
  });
  return pairwise_sum(sums, divide_up(size, sum_block));
}

}  // namespace mae::MAE_ISA

MAE_DISPATCH(void, adamw,
             (int64_t size, const AdamW& scalars, float* param, const float* grad, float* exp_avg,
              float* exp_avg_sq, const Parallel& parallel),
             (size, scalars, param, grad, exp_avg, exp_avg_sq, parallel))
MAE_DISPATCH(size_t, sum_of_squares_workspace, (int64_t size), (size))
MAE_DISPATCH(double, sum_of_squares, (int64_t size, const float* x, void* workspace, const Parallel& parallel),
             (size, x, workspace, parallel))
