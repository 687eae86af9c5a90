// adamw and sum_of_squares against float64, at every level.
#include "check.h"

using check::Tensor;
using mae::Type;

namespace {

constexpr mae::AdamW scalars{0.9f, 0.95f, 1e-8f, 0.9995f, 1.5e-3f, 1.1f, 0.1f, 0.05f};

struct State {
  Tensor param, exp_avg, exp_avg_sq;
};

State initial(int64_t size, uint64_t seed) {
  check::Random random(seed);
  return {Tensor(size, Type::f32, [&] { return random.normal(); }),
          Tensor(size, Type::f32, [&] { return random.normal() / 100; }),
          Tensor(size, Type::f32, [&] { return std::fabs(random.normal()) / 1000; })};
}

State after(int64_t size, uint64_t seed, const Tensor& grad, size_t threads) {
  mae::Threads pool(threads);
  State state = initial(size, seed);
  for (int step = 0; step < 3; step++)
    mae::adamw(size, scalars, state.param.floats(), grad.floats(), state.exp_avg.floats(),
               state.exp_avg_sq.floats(), pool.parallel());
  check::that(state.param.intact() && state.exp_avg.intact() && state.exp_avg_sq.intact(), "adamw past an end");
  return state;
}

void test_adamw(int64_t size, uint64_t seed) {
  const std::string name = "adamw " + std::to_string(size);
  check::Random random(seed + 1);
  const Tensor grad(size, Type::f32, [&] { return random.normal() / 100; });
  const State start = initial(size, seed), end = after(size, seed, grad, 1), two = after(size, seed, grad, 2);
  std::vector<double> p, m, v;
  for (int64_t i = 0; i < size; i++) {
    double pi = start.param[i], mi = start.exp_avg[i], vi = start.exp_avg_sq[i], g = grad[i];
    for (int step = 0; step < 3; step++) {
      mi = scalars.beta1 * mi + scalars.first_moment_share * g;
      vi = scalars.beta2 * vi + scalars.second_moment_share * g * g;
      pi = scalars.decay * pi -
           scalars.step_size * mi / (std::sqrt(vi) * scalars.second_moment_scale + scalars.epsilon);
    }
    p.push_back(pi);
    m.push_back(mi);
    v.push_back(vi);
  }
  check::at_most(relative_error(end.param, p), 1e-6, name + " param");
  // A single m may be the difference of equals.
  check::at_most(relative_error(end.exp_avg, m), size > 8 ? 1e-6 : 1e-5, name + " exp_avg");
  check::at_most(relative_error(end.exp_avg_sq, v), 1e-6, name + " exp_avg_sq");
  check::that(end.param.same_bytes(two.param) && end.exp_avg.same_bytes(two.exp_avg) &&
                  end.exp_avg_sq.same_bytes(two.exp_avg_sq),
              name + " one thread, two threads");
}

double squares_of(const Tensor& x, size_t threads) {
  mae::Threads pool(threads);
  check::Memory workspace(mae::sum_of_squares_workspace(x.size()));
  const double sum = mae::sum_of_squares(x.size(), x.floats(), workspace.data(), pool.parallel());
  check::that(workspace.intact(), "sum_of_squares past the end");
  return sum;
}

void test_sum_of_squares(int64_t size, uint64_t seed) {
  const std::string name = "sum_of_squares " + std::to_string(size);
  check::Random random(seed);
  Tensor x(size, Type::f32, [&] { return random.normal(); });
  long double expected = 0;
  for (int64_t i = 0; i < size; i++) expected += static_cast<long double>(x[i]) * x[i];
  const double sum = squares_of(x, 1);
  check::at_most(std::fabs(sum - static_cast<double>(expected)), 1e-13 * size, name);
  check::that(sum == squares_of(x, 2), name + " one thread, two threads");
  if (size == 0) return;
  x.set(size - 1, NAN);
  check::that(std::isnan(squares_of(x, 1)), name + " NaN");
  x.set(size - 1, 3e38f);
  check::that(std::isfinite(squares_of(x, 1)), name + " of the large");
}

}  // namespace

int main() {
  check::each_isa([](mae::Isa) {
    for (int64_t size = 0; size <= 70; size++) {
      test_adamw(size, size);
      test_sum_of_squares(size, size);
    }
    test_adamw(100003, 71);
    test_sum_of_squares(500009, 72);
  });
  return check::report("adamw");
}
