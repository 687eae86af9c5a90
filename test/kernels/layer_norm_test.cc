// layer_norm and layer_norm_grad against float64, at every level.
#include "check.h"

using check::Tensor;
using mae::Type;

namespace {

constexpr float epsilon = 1e-6f;

struct Case {
  int64_t rows, width;
  Type type;  // of y and dy
  bool addend, in_place;
};

std::string name_of(const Case& c) {
  return std::to_string(c.rows) + "x" + std::to_string(c.width) + (c.type == Type::bf16 ? " bf16" : "") +
         (c.addend ? " addend" : "") + (c.in_place ? " in place" : "");
}

struct Reference {
  std::vector<double> y, mean, inv_std, dx, dscale, dbias;
};

Reference reference(const Case& c, const Tensor& x, const Tensor& scale, const Tensor& bias, const Tensor& dy,
                    const Tensor& addend) {
  const int64_t rows = c.rows, width = c.width;
  Reference r{std::vector<double>(rows * width), std::vector<double>(rows),  std::vector<double>(rows),
              std::vector<double>(rows * width), std::vector<double>(width), std::vector<double>(width)};
  for (int64_t i = 0; i < rows; i++) {
    double mean = 0, variance = 0;
    for (int64_t j = 0; j < width; j++) mean += static_cast<double>(x[i * width + j]) / width;
    for (int64_t j = 0; j < width; j++) variance += std::pow(x[i * width + j] - mean, 2) / width;
    const double inv_std = 1 / std::sqrt(variance + epsilon);
    double mean_g = 0, mean_gx = 0;
    for (int64_t j = 0; j < width; j++) {
      const double normal = (x[i * width + j] - mean) * inv_std, d = dy[i * width + j], g = d * scale[j];
      r.y[i * width + j] = normal * scale[j] + bias[j];
      r.dscale[j] += d * normal;
      r.dbias[j] += d;
      mean_g += g / width;
      mean_gx += g * normal / width;
    }
    for (int64_t j = 0; j < width; j++) {
      const double normal = (x[i * width + j] - mean) * inv_std;
      r.dx[i * width + j] = inv_std * (static_cast<double>(dy[i * width + j]) * scale[j] - mean_g - normal * mean_gx) +
                            (c.addend ? addend[i * width + j] : 0);
    }
    r.mean[i] = mean;
    r.inv_std[i] = inv_std;
  }
  return r;
}

struct Outputs {
  Tensor y, mean, inv_std, dx, dscale, dbias, again;
};

Outputs outputs_of(const Case& c, size_t threads, const Tensor& x, const Tensor& scale, const Tensor& bias,
                   const Tensor& dy, const Tensor& addend) {
  mae::Threads pool(threads);
  const int64_t size = c.rows * c.width;
  Outputs out{Tensor(size, c.type),        Tensor(c.rows, Type::f32),  Tensor(c.rows, Type::f32),
              Tensor(size, Type::f32),     Tensor(c.width, Type::f32), Tensor(c.width, Type::f32),
              Tensor(size, c.type)};
  mae::layer_norm(c.rows, c.width, epsilon, x.floats(), scale.floats(), bias.floats(), out.y.data(),
                  out.mean.floats(), out.inv_std.floats(), pool.parallel());
  if (c.in_place)
    for (int64_t i = 0; i < size; i++) out.dx.set(i, addend[i]);
  const float* added = !c.addend ? nullptr : c.in_place ? out.dx.floats() : addend.floats();
  check::Memory workspace(mae::layer_norm_grad_workspace(c.rows, c.width));
  mae::layer_norm_grad(c.rows, c.width, dy.data(), x.floats(), scale.floats(), bias.floats(), out.mean.floats(),
                       out.inv_std.floats(), added, out.dx.floats(), out.dscale.floats(), out.dbias.floats(),
                       c.addend ? out.again.data() : mae::Data{}, workspace.data(), pool.parallel());
  check::that(workspace.intact(), name_of(c) + " workspace");
  return out;
}

void test(const Case& c, uint64_t seed) {
  check::Random random(seed);
  const auto normal = [&] { return random.normal(); };
  const Tensor x(c.rows * c.width, Type::f32, [&] { return 2 * random.normal() + 1; });
  const Tensor scale(c.width, Type::f32, [&] { return 1 + random.normal() / 2; });
  const Tensor bias(c.width, Type::f32, normal), dy(c.rows * c.width, c.type, normal),
      addend(c.rows * c.width, Type::f32, normal);
  const Reference expected = reference(c, x, scale, bias, dy, addend);
  const Outputs out = outputs_of(c, 1, x, scale, bias, dy, addend), two = outputs_of(c, 2, x, scale, bias, dy, addend);
  const std::string name = name_of(c);
  check::at_most(relative_error(out.y, expected.y), c.type == Type::f32 ? 1e-6 : 5e-3, name + " y");
  check::at_most(relative_error(out.mean, expected.mean), 1e-6, name + " mean");
  check::at_most(relative_error(out.inv_std, expected.inv_std), 1e-6, name + " inv_std");
  // With a few columns dx and dscale are differences of equals.
  if (c.width > 4) check::at_most(relative_error(out.dx, expected.dx), 1e-6, name + " dx");
  if (c.width > 4) check::at_most(relative_error(out.dscale, expected.dscale), 1e-6, name + " dscale");
  check::at_most(relative_error(out.dbias, expected.dbias), 1e-6, name + " dbias");
  check::that(!c.addend || out.again.same_bytes(out.y), name + " y once more");
  check::that(out.y.same_bytes(two.y) && out.mean.same_bytes(two.mean) && out.inv_std.same_bytes(two.inv_std) &&
                  out.dx.same_bytes(two.dx) && out.dscale.same_bytes(two.dscale) && out.dbias.same_bytes(two.dbias),
              name + " one thread, two threads");
  check::that(out.y.intact() && out.mean.intact() && out.inv_std.intact() && out.dx.intact() &&
                  out.dscale.intact() && out.dbias.intact(),
              name + " writes past an end");
}

// A row that is not finite is NaN, and the rows beside it are not touched.
void test_not_finite(float value) {
  const Case c{3, 37, Type::f32, false, false};
  check::Random random(5);
  const auto normal = [&] { return random.normal(); };
  Tensor x(c.rows * c.width, Type::f32, normal);
  const Tensor scale(c.width, Type::f32, normal), bias(c.width, Type::f32, normal),
      dy(c.rows * c.width, Type::f32, normal);
  x.set(c.width + 35, value);
  const Outputs out = outputs_of(c, 1, x, scale, bias, dy, dy);
  for (int64_t i = 0; i < c.rows * c.width; i++) {
    const bool bad = i / c.width == 1;
    check::that(std::isnan(out.y[i]) == bad && std::isnan(out.dx[i]) == bad, "NaN and inf stay in their row");
  }
  check::that(std::isnan(out.dscale[0]) && std::isfinite(out.dbias[0]), "NaN and inf reach dscale");
}

}  // namespace

int main() {
  check::each_isa([](mae::Isa) {
    check::Random random(1);
    for (int i = 0; i < 60; i++)
      test({1 + random.below(70), 1 + random.below(70), i % 2 ? Type::f32 : Type::bf16, i % 3 > 0, i % 3 > 1}, i);
    test({400, 768, Type::f32, true, true}, 100);
    test({400, 768, Type::bf16, true, false}, 101);
    test({1576, 512, Type::f32, false, false}, 102);
    test({3, 5000, Type::f32, true, false}, 103);
    test_not_finite(NAN);
    test_not_finite(INFINITY);
  });
  return check::report("layer_norm");
}
