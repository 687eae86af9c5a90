// Times of the elementwise kernels over the shapes of ViT-B at batch 8, with two threads: ms, GB/s.
#include <chrono>

#include "check.h"

using check::Tensor;
using mae::Type;

namespace {

// The median of runs for 0.3 s.
template <class Body>
double seconds(Body body) {
  using clock = std::chrono::steady_clock;
  body();
  std::vector<double> times;
  for (double total = 0; total < 0.3;) {
    const auto start = clock::now();
    body();
    times.push_back(std::chrono::duration<double>(clock::now() - start).count());
    total += times.back();
  }
  for (size_t i = 0; i <= times.size() / 2; i++)
    for (size_t j = i + 1; j < times.size(); j++)
      if (times[j] < times[i]) std::swap(times[i], times[j]);
  return times[times.size() / 2];
}

template <class Body>
void bench(const std::string& name, double bytes, Body body) {
  const double time = seconds(body);
  std::printf("%-28s %8.3f ms %7.1f GB/s\n", name.c_str(), time * 1e3, bytes / time * 1e-9);
}

std::string shape(int64_t rows, int64_t width) { return std::to_string(rows) + "x" + std::to_string(width); }

void layer_norm(int64_t rows, int64_t width, const mae::Parallel& parallel) {
  check::Random random(1);
  const auto normal = [&] { return random.normal(); };
  const int64_t size = rows * width;
  const Tensor x(size, Type::f32, normal), dy(size, Type::f32, normal), addend(size, Type::f32, normal),
      scale(width, Type::f32, normal), bias(width, Type::f32, normal);
  Tensor y(size, Type::f32), mean(rows, Type::f32), inv_std(rows, Type::f32), dx(size, Type::f32),
      dscale(width, Type::f32), dbias(width, Type::f32);
  check::Memory workspace(mae::layer_norm_grad_workspace(rows, width));
  bench("layer_norm " + shape(rows, width), 8. * size, [&] {
    mae::layer_norm(rows, width, 1e-6f, x.floats(), scale.floats(), bias.floats(), y.data(), mean.floats(),
                    inv_std.floats(), parallel);
  });
  bench("layer_norm_grad " + shape(rows, width), 16. * size, [&] {
    mae::layer_norm_grad(rows, width, dy.data(), x.floats(), scale.floats(), bias.floats(), mean.floats(),
                         inv_std.floats(), addend.floats(), dx.floats(), dscale.floats(), dbias.floats(), y.data(),
                         workspace.data(), parallel);
  });
}

void gelu_grad(int64_t rows, int64_t width, Type type, const mae::Parallel& parallel) {
  check::Random random(1);
  const auto normal = [&] { return random.normal(); };
  const int64_t size = rows * width;
  const Tensor x(size, type, normal), dy(size, type, normal);
  Tensor y(size, type), dx(size, type);
  const double bytes = (type == Type::f32 ? 4. : 2.) * size;
  const std::string name = shape(rows, width) + (type == Type::f32 ? "" : " bf16");
  bench("gelu_grad " + name, 3 * bytes, [&] {
    mae::gelu_grad(size, dy.data(), x.data(), dx.data(), {}, parallel);
  });
  bench("gelu_grad with y " + name, 4 * bytes, [&] {
    mae::gelu_grad(size, dy.data(), x.data(), dx.data(), y.data(), parallel);
  });
}

void column_sums(int64_t rows, int64_t width, const mae::Parallel& parallel) {
  check::Random random(1);
  const Tensor x(rows * width, Type::f32, [&] { return random.normal(); });
  Tensor sums(width, Type::f32);
  check::Memory workspace(mae::column_sums_workspace(rows, width));
  bench("column_sums " + shape(rows, width), 4. * rows * width, [&] {
    mae::column_sums(rows, width, x.data(), nullptr, sums.floats(), workspace.data(), parallel);
  });
}

void optimizer(int64_t size, const mae::Parallel& parallel) {
  const auto some = [i = 0]() mutable { return (i++ % 1000 + 1) * 1e-4f; };
  Tensor param(size, Type::f32, some), grad(size, Type::f32, some), exp_avg(size, Type::f32, some),
      exp_avg_sq(size, Type::f32, some);
  const mae::AdamW scalars{0.9f, 0.95f, 1e-8f, 0.9995f, 1.5e-3f, 1.1f, 0.1f, 0.05f};
  check::Memory workspace(mae::sum_of_squares_workspace(size));
  bench("adamw 112M", 28. * size, [&] {
    mae::adamw(size, scalars, param.floats(), grad.floats(), exp_avg.floats(), exp_avg_sq.floats(), parallel);
  });
  double sum = 0;
  bench("sum_of_squares 112M", 4. * size, [&] {
    sum += mae::sum_of_squares(size, grad.floats(), workspace.data(), parallel);
  });
  if (sum == 0) std::printf("no sum\n");
}

}  // namespace

int main() {
  mae::Threads threads(2);
  const mae::Parallel parallel = threads.parallel();
  std::printf("%s\n", mae::isa_name(mae::isa()));
  layer_norm(400, 768, parallel);
  layer_norm(1576, 512, parallel);
  gelu_grad(400, 3072, Type::f32, parallel);
  gelu_grad(1576, 2048, Type::f32, parallel);
  gelu_grad(400, 3072, Type::bf16, parallel);
  gelu_grad(1576, 2048, Type::bf16, parallel);
  column_sums(400, 3072, parallel);
  column_sums(1576, 2048, parallel);
  optimizer(112'000'000, parallel);
}
