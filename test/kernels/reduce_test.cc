// column_sums against float64, at every level.
#include "check.h"

using check::Tensor;
using mae::Type;

namespace {

Tensor sums_of(int64_t rows, int64_t width, size_t threads, const Tensor& x, const float* addend) {
  mae::Threads pool(threads);
  Tensor sums(width, Type::f32);
  check::Memory workspace(mae::column_sums_workspace(rows, width));
  mae::column_sums(rows, width, x.data(), addend, sums.floats(), workspace.data(), pool.parallel());
  check::that(workspace.intact() && sums.intact(), "column_sums past an end");
  return sums;
}

void test(int64_t rows, int64_t width, Type type, bool with_addend, uint64_t seed) {
  const std::string name = std::to_string(rows) + "x" + std::to_string(width);
  check::Random random(seed);
  const Tensor x(rows * width, type, [&] { return random.normal(); });
  const Tensor addend(width, Type::f32, [&] { return random.normal(); });
  std::vector<double> expected(width);
  for (int64_t i = 0; i < rows * width; i++) expected[i % width] += x[i];
  for (int64_t j = 0; with_addend && j < width; j++) expected[j] += addend[j];
  const float* added = with_addend ? addend.floats() : nullptr;
  const Tensor sums = sums_of(rows, width, 1, x, added);
  check::at_most(relative_error(sums, expected), 1e-6, name);
  check::that(sums.same_bytes(sums_of(rows, width, 2, x, added)), name + " one thread, two threads");
}

void test_not_finite() {
  Tensor x(40 * 21, Type::f32, [] { return 1.f; });
  x.set(21 * 7 + 20, NAN);
  x.set(21 * 9 + 3, INFINITY);
  const Tensor sums = sums_of(40, 21, 1, x, nullptr);
  for (int64_t j = 0; j < 21; j++)
    check::that(j == 20 ? std::isnan(sums[j]) : sums[j] == (j == 3 ? INFINITY : 40.f), "NaN and inf");
}

}  // namespace

int main() {
  check::each_isa([](mae::Isa) {
    check::Random random(1);
    for (int i = 0; i < 60; i++)
      test(1 + random.below(70), 1 + random.below(70), i % 2 ? Type::f32 : Type::bf16, i % 3 > 0, i);
    test(0, 5, Type::f32, true, 60);
    test(1576, 2048, Type::f32, true, 61);
    test(400, 2304, Type::bf16, false, 62);
    test(9000, 9, Type::f32, false, 63);
    test_not_finite();
  });
  return check::report("reduce");
}
