// gelu_grad against float64, at every level.
#include "check.h"

using check::Tensor;
using mae::Type;

namespace {

double cumulative(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }
double gelu(double x) { return x * cumulative(x); }
double slope(double x) { return cumulative(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }

double limit(Type type) { return type == Type::f32 ? 1e-6 : 5e-3; }

// The relative error of each value, in the tails too.
void test_accuracy() {
  mae::Threads one(1);
  const int64_t size = 20001;
  Tensor x(size, Type::f32), y(size, Type::f32), dx(size, Type::f32), dy(size, Type::f32, [] { return 1.f; });
  for (int64_t i = 0; i < size; i++) x.set(i, (i - 10000) / 10000.f * 12.5f);
  mae::gelu_grad(size, dy.data(), x.data(), dx.data(), y.data(), one.parallel());
  double worst = 0, worst_slope = 0;
  for (int64_t i = 0; i < size; i++) {
    worst = std::fmax(worst, std::fabs(y[i] / gelu(x[i]) - 1) * (x[i] != 0));
    worst_slope = std::fmax(worst_slope, std::fabs(dx[i] - slope(x[i])));
  }
  const double fused = mae::isa() == mae::Isa::plain ? 1 : 0;  // without fma x² is rounded, which the tail shows
  check::at_most(worst, 5e-7 + fused * 1e-5, "gelu, relative");
  check::at_most(worst_slope, 3e-7, "slope of gelu, absolute");
}

struct Case {
  int64_t size;
  Type dy, x, dx, y;
  bool wants_y;
};

struct Outputs {
  Tensor dx, y;
};

Outputs outputs_of(const Case& c, size_t threads, const Tensor& dy, const Tensor& x) {
  mae::Threads pool(threads);
  Outputs out{Tensor(c.size, c.dx), Tensor(c.size, c.y)};
  mae::gelu_grad(c.size, dy.data(), x.data(), out.dx.data(), c.wants_y ? out.y.data() : mae::Data{}, pool.parallel());
  check::that(out.dx.intact() && out.y.intact(), "gelu_grad past an end");
  return out;
}

void test_grad(const Case& c, uint64_t seed) {
  const std::string name = "gelu_grad " + std::to_string(c.size);
  check::Random random(seed);
  const Tensor dy(c.size, c.dy, [&] { return random.normal(); }), x(c.size, c.x, [&] { return 2 * random.normal(); });
  std::vector<double> dx, y;
  for (int64_t i = 0; i < c.size; i++) {
    dx.push_back(dy[i] * slope(x[i]));
    y.push_back(gelu(x[i]));
  }
  const Outputs out = outputs_of(c, 1, dy, x), two = outputs_of(c, 2, dy, x);
  check::at_most(relative_error(out.dx, dx), limit(c.dx), name + " dx");
  if (c.wants_y) check::at_most(relative_error(out.y, y), limit(c.y), name + " y");
  check::that(out.dx.same_bytes(two.dx) && out.y.same_bytes(two.y), name + " one thread, two threads");
}

void test_not_finite() {
  mae::Threads one(1);
  const float at[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 0.f};
  for (int64_t place : {3, 16, 20}) {
    for (float value : at) {
      Tensor x(21, Type::f32, [] { return 0.5f; }), y(21, Type::f32), dy(21, Type::f32, [] { return 1.f; }),
          dx(21, Type::f32);
      x.set(place, value);
      mae::gelu_grad(21, dy.data(), x.data(), dx.data(), y.data(), one.parallel());
      const bool undefined = std::isnan(value) || value == -INFINITY;
      check::that(undefined ? std::isnan(y[place]) : y[place] == (value > 0 ? value : 0.f), "gelu of the infinite");
      check::that(undefined || value == INFINITY ? std::isnan(dx[place]) : std::isfinite(dx[place]),
                  "gelu_grad of the infinite");
      check::that(y[place - 1] == y[0] && dx[place - 1] == dx[0], "the neighbours of the infinite");
    }
  }
}

}  // namespace

int main() {
  check::each_isa([](mae::Isa) {
    const Type types[] = {Type::f32, Type::bf16};
    check::Random random(1);
    test_accuracy();
    for (int64_t size = 1; size <= 70; size++)
      test_grad({size, types[size & 1], types[size >> 1 & 1], types[size >> 2 & 1], types[size >> 3 & 1], true}, size);
    for (int i = 0; i < 32; i++)
      test_grad({1 + random.below(4900), types[i & 1], types[i >> 1 & 1], types[i >> 2 & 1], types[i >> 3 & 1],
                 i % 3 > 0}, 70 + i);
    test_grad({400 * 3072, Type::f32, Type::f32, Type::f32, Type::bf16, true}, 200);
    test_grad({197 * 2048, Type::bf16, Type::bf16, Type::bf16, Type::bf16, false}, 201);
    test_not_finite();
  });
  return check::report("gelu");
}
