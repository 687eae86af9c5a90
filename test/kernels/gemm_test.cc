// gemm against a product in double, at every level that this processor has.
//
// Errors are relative in the Frobenius norm, ‖c − expected‖ / ‖expected‖: under 1e-6 for float32 products, and under
// 5e-3 for bfloat16 ones against factors that were not rounded; against factors rounded beforehand these too are held
// to 1e-6, since only sums differ. Storing bfloat16 adds up to 2⁻⁸ to either. A c of few elements may cancel by chance,
// which no error relative to it withstands: there, three times that.
#include "check.h"

using check::Random;
using check::Tensor;
using mae::Isa;
using mae::Type;

namespace {

struct Case {
  int64_t m, n, k;
  bool trans_a = false, trans_b = false;
  float alpha = 1;
  bool bias = false, gelu = false;
  enum { no_addend, own_addend, addend_is_c } addend = no_addend;
  Type type_a = Type::f32, type_b = Type::f32, type_c = Type::f32, type_addend = Type::f32, type_gelu = Type::f32;
  mae::Product product = mae::Product::f32;

  std::string name() const {
    const auto letter = [](Type type) { return type == Type::f32 ? 'f' : 'b'; };
    char text[160];
    std::snprintf(text, sizeof text, "%s m %d n %d k %d trans %d%d alpha %g bias %d addend %d gelu %d types %c%c%c%c%c",
                  product == mae::Product::f32 ? "f32" : "bf16", int(m), int(n), int(k), trans_a, trans_b, alpha, bias,
                  addend, gelu, letter(type_a), letter(type_b), letter(type_c), letter(type_addend),
                  letter(type_gelu));
    return text;
  }
};

mae::Threads one(1), two(2);

double at(const Tensor& x, bool transposed, int64_t rows, int64_t columns, int64_t i, int64_t j, bool rounded) {
  const float value = transposed ? x[j * rows + i] : x[i * columns + j];
  return rounded ? check::from_bf16(check::to_bf16(value)) : value;
}

std::vector<double> expected_c(const Case& c, const Tensor& a, const Tensor& b, const Tensor& bias,
                               const Tensor& addend, bool rounded) {
  std::vector<double> left(c.m * c.k), right(c.k * c.n), result(c.m * c.n);
  for (int64_t i = 0; i < c.m; i++)
    for (int64_t l = 0; l < c.k; l++) left[i * c.k + l] = at(a, c.trans_a, c.m, c.k, i, l, rounded);
  for (int64_t l = 0; l < c.k; l++)
    for (int64_t j = 0; j < c.n; j++) right[l * c.n + j] = at(b, c.trans_b, c.k, c.n, l, j, rounded);
  for (int64_t i = 0; i < c.m; i++)
    for (int64_t l = 0; l < c.k; l++)
      for (int64_t j = 0; j < c.n; j++) result[i * c.n + j] += left[i * c.k + l] * right[l * c.n + j];
  for (int64_t i = 0; i < c.m; i++)
    for (int64_t j = 0; j < c.n; j++) {
      double& value = result[i * c.n + j];
      value = c.alpha * value + (c.bias ? bias[j] : 0) + (c.addend != Case::no_addend ? addend[i * c.n + j] : 0);
    }
  return result;
}

void run(const Case& c, uint64_t seed) {
  Random random(seed);
  const auto normal = [&] { return random.normal(); };
  const Tensor a(c.m * c.k, c.type_a, normal), b(c.k * c.n, c.type_b, normal), bias(c.n, Type::f32, normal);
  const Tensor addend(c.m * c.n, c.addend == Case::addend_is_c ? c.type_c : c.type_addend, normal);

  mae::Gemm gemm{};
  gemm.m = c.m;
  gemm.n = c.n;
  gemm.k = c.k;
  gemm.trans_a = c.trans_a;
  gemm.trans_b = c.trans_b;
  gemm.alpha = c.alpha;
  gemm.a = a.data();
  gemm.b = b.data();
  gemm.product = c.product;
  if (c.bias) gemm.bias = bias.floats();
  if (c.addend == Case::own_addend) gemm.addend = addend.data();

  const auto compute = [&](mae::Threads& threads, Tensor& y, Tensor& gelu) {
    gemm.c = y.data();
    if (c.addend == Case::addend_is_c) gemm.addend = gemm.c;
    if (c.gelu) gemm.gelu = gelu.data();
    const check::Memory workspace(mae::gemm_workspace(gemm));
    mae::gemm(gemm, workspace.data(), threads.parallel());
    check::that(workspace.intact() && y.intact() && gelu.intact(), c.name() + ": wrote beyond its memory");
  };
  const auto blank = [&] {
    return c.addend == Case::addend_is_c ? addend : Tensor(c.m * c.n, c.type_c);
  };
  Tensor y = blank(), y2 = blank(), gelu(c.m * c.n, c.type_gelu), gelu2(c.m * c.n, c.type_gelu);
  compute(one, y, gelu);
  compute(two, y2, gelu2);
  check::that(y.same_bytes(y2) && gelu.same_bytes(gelu2), c.name() + ": one and two threads differ");

  const bool rounds = c.product == mae::Product::bf16;
  const double storing = c.type_c == Type::f32 ? 0 : 0x1p-8, chance = c.m * c.n < 16 ? 3 : 1;
  const std::vector<double> exact = expected_c(c, a, b, bias, addend, rounds);
  check::at_most(check::relative_error(y, exact), chance * 1e-6 + storing, c.name());
  if (rounds && c.k > 0)
    check::at_most(check::relative_error(y, expected_c(c, a, b, bias, addend, false)), chance * 5e-3 + storing,
                   c.name() + ", factors not rounded");
  if (!c.gelu) return;
  std::vector<double> activated(exact.size());
  for (size_t i = 0; i < exact.size(); i++) activated[i] = exact[i] * 0.5 * std::erfc(-exact[i] * std::sqrt(0.5));
  check::at_most(check::relative_error(gelu, activated), chance * 1e-6 + (c.type_gelu == Type::f32 ? 0 : 0x1p-8),
                 c.name() + ", gelu");
}

Case random_case(Random& random) {
  const auto size = [&] { return random.below(12) == 0 ? random.below(2) : 1 + random.below(70); };
  const auto flag = [&] { return random.below(2) == 0; };
  const auto type = [&] { return flag() ? Type::f32 : Type::bf16; };
  Case c{size(), size(), size()};
  c.trans_a = flag();
  c.trans_b = flag();
  c.alpha = flag() ? 1.f : -0.37f;
  c.bias = flag();
  c.gelu = flag();
  c.addend = static_cast<decltype(c.addend)>(random.below(3));
  c.type_a = type();
  c.type_b = type();
  c.type_c = type();
  c.type_addend = type();
  c.type_gelu = type();
  c.product = flag() ? mae::Product::f32 : mae::Product::bf16;
  return c;
}

// Sizes with several slices of k, several tasks, and edges everywhere.
void run_large() {
  const int64_t sizes[][3] = {{200, 333, 1601}, {517, 70, 900}, {33, 600, 770}, {1, 1000, 2000}, {3, 1, 5000}};
  uint64_t seed = 1;
  for (const auto& size : sizes)
    for (int transposed = 0; transposed < 4; transposed++)
      for (mae::Product product : {mae::Product::f32, mae::Product::bf16}) {
        Case c{size[0], size[1], size[2]};
        c.trans_a = transposed & 1;
        c.trans_b = transposed & 2;
        c.product = product;
        c.bias = c.gelu = transposed == 2;
        c.addend = transposed == 1 ? Case::addend_is_c : Case::no_addend;
        c.type_a = transposed == 3 ? Type::bf16 : Type::f32;
        run(c, seed++);
      }
}

// One NaN or infinity in a factor reaches its row or column of c and nothing else.
void run_not_finite() {
  const int64_t m = 37, n = 41, k = 50;
  for (mae::Product product : {mae::Product::f32, mae::Product::bf16})
    for (float bad : {std::nanf(""), HUGE_VALF}) {
      Random random(7);
      const auto positive = [&] { return 1.5f + random.uniform(); };
      Tensor a(m * k, Type::f32, positive), b(k * n, Type::f32, positive), c(m * n, Type::f32);
      a.set(5 * k + 49, bad);
      b.set(3 * n + 40, bad);
      mae::Gemm gemm{};
      gemm.m = m;
      gemm.n = n;
      gemm.k = k;
      gemm.a = a.data();
      gemm.b = b.data();
      gemm.c = c.data();
      gemm.product = product;
      const check::Memory workspace(mae::gemm_workspace(gemm));
      mae::gemm(gemm, workspace.data(), two.parallel());
      bool right = true;
      for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
          const float value = c[i * n + j];
          const bool touched = i == 5 || j == 40;
          right = right && (touched ? (bad != bad ? value != value : value == bad) : std::isfinite(value));
        }
      check::that(right, product == mae::Product::f32 ? "not finite, f32" : "not finite, bf16");
    }
}

}  // namespace

int main() {
  check::each_isa([](Isa) {
    Random random(42);
    for (uint64_t i = 0; i < 600; i++) run(random_case(random), i);
    run_large();
    run_not_finite();
  });
  return check::report("gemm");
}
