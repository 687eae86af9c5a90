// Times of attention over the shapes of ViT-B at batch 8, with two threads: ms forward, ms backward.
#include <chrono>

#include "check.h"

using check::Tensor;
using mae::Product;
using mae::Type;

namespace {

// The median of runs for 0.3 s.
template <class Body>
double milliseconds(Body body) {
  using clock = std::chrono::steady_clock;
  body();
  std::vector<double> times;
  for (double total = 0; total < 300;) {
    const auto start = clock::now();
    body();
    times.push_back(std::chrono::duration<double, std::milli>(clock::now() - start).count());
    total += times.back();
  }
  for (size_t i = 0; i <= times.size() / 2; i++)
    for (size_t j = i + 1; j < times.size(); j++)
      if (times[j] < times[i]) std::swap(times[i], times[j]);
  return times[times.size() / 2];
}

void bench(const mae::Attention& of, Type type, const mae::Parallel& parallel) {
  check::Random random(1);
  const auto normal = [&] { return random.normal(); };
  const int64_t size = of.batch * of.tokens * of.heads * of.width;
  const Tensor qkv(3 * size, type, normal), dy(size, type, normal);
  Tensor y(size, type), lse(of.batch * of.heads * of.tokens, Type::f32), dqkv(3 * size, type);
  check::Memory workspace(mae::attention_workspace(of)), grad_workspace(mae::attention_grad_workspace(of));
  const double forward = milliseconds(
      [&] { mae::attention(of, qkv.data(), y.data(), lse.floats(), workspace.data(), parallel); });
  const double backward = milliseconds([&] {
    mae::attention_grad(of, dy.data(), qkv.data(), y.data(), lse.floats(), dqkv.data(), grad_workspace.data(),
                        parallel);
  });
  std::printf("%-12s [%lld, %lld, %lld, %lld] %s products, %s data %8.3f %8.3f\n", mae::isa_name(mae::isa()),
              static_cast<long long>(of.batch), static_cast<long long>(of.tokens), static_cast<long long>(of.heads),
              static_cast<long long>(of.width), of.product == Product::f32 ? "f32" : "bf16",
              type == Type::f32 ? "f32" : "bf16", forward, backward);
}

}  // namespace

int main() {
  mae::Threads threads(2);
  check::each_isa([&](mae::Isa isa) {
    for (const Product product : {Product::f32, Product::bf16}) {
      const auto run = [&](int64_t batch, int64_t tokens, int64_t heads, int64_t width, Type type) {
        bench({batch, tokens, heads, width, 1 / std::sqrt(static_cast<float>(width)), product}, type,
              threads.parallel());
      };
      run(8, 50, 12, 64, Type::f32);
      run(8, 197, 16, 32, Type::f32);
      if (isa == mae::best_isa() && product == Product::bf16) {
        run(8, 50, 12, 64, Type::bf16);
        run(8, 197, 16, 32, Type::bf16);
      }
    }
  });
}
