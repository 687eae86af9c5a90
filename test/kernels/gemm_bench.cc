// GFLOP/s of gemm over the shapes of one training step of MAE ViT-B (batch 8) and ViT-L (batch 4), on two threads.
// Operands are taken in turn from several copies, more than a core's own cache, as in training.
#include <algorithm>
#include <chrono>

#include "check.h"

using check::Tensor;
using mae::Type;

namespace {

constexpr int64_t shapes[][3] = {  // rows, in, out
    {400, 768, 2304}, {400, 768, 768},  {400, 768, 3072},  {400, 3072, 768}, {1576, 512, 1536},
    {1576, 512, 512}, {1576, 512, 2048}, {1576, 2048, 512}, {400, 768, 512},  {1176, 512, 768},
    {200, 1024, 3072}, {200, 1024, 4096}, {200, 4096, 1024}, {788, 512, 2048}};

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The median of `repeats` calls.
double gflops(mae::Gemm gemm, Type type, Type type_c, int repeats, mae::Threads& threads) {
  const int64_t a_size = gemm.m * gemm.k, b_size = gemm.k * gemm.n, c_size = gemm.m * gemm.n;
  const int copies = static_cast<int>(std::clamp<int64_t>(50'000'000 / (a_size + b_size + c_size), 2, 8));
  check::Random random(1);
  const auto filled = [&](int64_t size) {
    Tensor x(size, type);
    for (int64_t i = 0; i < size; i++) x.set(i, random.uniform());
    return x;
  };
  std::vector<Tensor> a, b, c;
  for (int i = 0; i < copies; i++) {
    a.push_back(i ? a[0] : filled(a_size));
    b.push_back(i ? b[0] : filled(b_size));
    c.emplace_back(c_size, type_c);
  }
  const check::Memory workspace(mae::gemm_workspace(gemm));
  std::vector<double> times;
  for (int i = 0; i < repeats + 2; i++) {
    gemm.a = a[i % copies].data();
    gemm.b = b[i % copies].data();
    gemm.c = c[i % copies].data();
    const double start = seconds();
    mae::gemm(gemm, workspace.data(), threads.parallel());
    if (i >= 2) times.push_back(seconds() - start);
  }
  std::sort(times.begin(), times.end());
  return 2e-9 * double(gemm.m) * double(gemm.n) * double(gemm.k) / times[times.size() / 2];
}

void measure(const char* name, mae::Product product, Type type, Type type_c, int repeats, mae::Threads& threads) {
  for (const auto& shape : shapes) {
    const int64_t rows = shape[0], in = shape[1], out = shape[2];
    const auto sized = [&](int64_t m, int64_t n, int64_t k) {
      mae::Gemm gemm{};
      gemm.m = m;
      gemm.n = n;
      gemm.k = k;
      gemm.product = product;
      return gemm;
    };
    mae::Gemm forward = sized(rows, out, in), dx = sized(rows, in, out), dw = sized(out, in, rows);
    forward.trans_b = dw.trans_a = true;
    std::printf("%-22s rows %5d in %5d out %5d: forward %6.0f  dx %6.0f  dw %6.0f\n", name, int(rows), int(in),
                int(out), gflops(forward, type, type_c, repeats, threads), gflops(dx, type, type_c, repeats, threads),
                gflops(dw, type, Type::f32, repeats, threads));
    std::fflush(stdout);
  }
}

}  // namespace

int main() {
  mae::Threads threads(2);
  std::printf("%s\n", mae::isa_name(mae::isa()));
  measure("bf16 from f32 to f32", mae::Product::bf16, Type::f32, Type::f32, 24, threads);
  measure("bf16 from bf16 to bf16", mae::Product::bf16, Type::bf16, Type::bf16, 24, threads);
  measure("f32", mae::Product::f32, Type::f32, Type::f32, 12, threads);
}
