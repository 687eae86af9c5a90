// attention and attention_grad against float64, at every level.
#include "check.h"

using check::Tensor;
using mae::Product;
using mae::Type;

namespace {

std::string name_of(const mae::Attention& of, Type type) {
  return std::to_string(of.tokens) + " tokens, " + std::to_string(of.heads) + " heads of " + std::to_string(of.width) +
         (of.product == Product::bf16 ? ", bf16 products" : "") + (type == Type::bf16 ? ", bf16 data" : "");
}

struct Reference {
  std::vector<double> y, lse, dqkv;
};

Reference reference(const mae::Attention& of, const Tensor& qkv, const Tensor& dy) {
  const int64_t T = of.tokens, H = of.heads, W = of.width;
  Reference r{std::vector<double>(of.batch * T * H * W), std::vector<double>(of.batch * H * T),
              std::vector<double>(of.batch * T * 3 * H * W)};
  std::vector<double> p(T), dp(T);
  for (int64_t b = 0; b < of.batch; b++)
    for (int64_t h = 0; h < H; h++) {
      const auto at = [&](int64_t t, int64_t part) { return ((b * T + t) * 3 + part) * H * W + h * W; };
      const auto y_at = [&](int64_t t) { return (b * T + t) * H * W + h * W; };
      for (int64_t i = 0; i < T; i++) {
        double top = -INFINITY, sum = 0, delta = 0;
        for (int64_t j = 0; j < T; j++) {
          p[j] = dp[j] = 0;
          for (int64_t w = 0; w < W; w++) {
            p[j] += static_cast<double>(qkv[at(i, 0) + w]) * qkv[at(j, 1) + w] * of.scale;
            dp[j] += static_cast<double>(dy[y_at(i) + w]) * qkv[at(j, 2) + w];
          }
          top = std::fmax(top, p[j]);
        }
        for (int64_t j = 0; j < T; j++) sum += p[j] = std::exp(p[j] - top);
        r.lse[(b * H + h) * T + i] = std::log(sum) + top;
        for (int64_t j = 0; j < T; j++) {
          p[j] /= sum;
          delta += p[j] * dp[j];
          for (int64_t w = 0; w < W; w++) r.y[y_at(i) + w] += p[j] * qkv[at(j, 2) + w];
        }
        for (int64_t j = 0; j < T; j++) {
          const double ds = p[j] * (dp[j] - delta) * of.scale;
          for (int64_t w = 0; w < W; w++) {
            r.dqkv[at(i, 0) + w] += ds * qkv[at(j, 1) + w];
            r.dqkv[at(j, 1) + w] += ds * qkv[at(i, 0) + w];
            r.dqkv[at(j, 2) + w] += p[j] * dy[y_at(i) + w];
          }
        }
      }
    }
  return r;
}

struct Outputs {
  Tensor y, lse, dqkv;
};

Outputs outputs_of(const mae::Attention& of, Type type, size_t threads, const Tensor& qkv, const Tensor& dy) {
  mae::Threads pool(threads);
  Outputs out{Tensor(dy.size(), type), Tensor(of.batch * of.heads * of.tokens, Type::f32), Tensor(qkv.size(), type)};
  check::Memory workspace(mae::attention_workspace(of)), grad_workspace(mae::attention_grad_workspace(of));
  mae::attention(of, qkv.data(), out.y.data(), out.lse.floats(), workspace.data(), pool.parallel());
  mae::attention_grad(of, dy.data(), qkv.data(), out.y.data(), out.lse.floats(), out.dqkv.data(),
                      grad_workspace.data(), pool.parallel());
  check::that(workspace.intact() && grad_workspace.intact() && out.y.intact() && out.lse.intact() &&
                  out.dqkv.intact(),
              name_of(of, type) + " writes past an end");
  return out;
}

void test(const mae::Attention& of, Type type, uint64_t seed) {
  const std::string name = name_of(of, type);
  check::Random random(seed);
  const auto normal = [&] { return random.normal(); };
  const Tensor qkv(of.batch * of.tokens * 3 * of.heads * of.width, type, normal),
      dy(of.batch * of.tokens * of.heads * of.width, type, normal);
  const Reference expected = reference(of, qkv, dy);
  const Outputs out = outputs_of(of, type, 1, qkv, dy), two = outputs_of(of, type, 2, qkv, dy);
  const bool exact = of.product == Product::f32 && type == Type::f32;
  check::at_most(relative_error(out.y, expected.y), exact ? 1e-6 : 5e-3, name + ": y");
  check::at_most(relative_error(out.lse, expected.lse), of.product == Product::f32 ? 1e-6 : 5e-3, name + ": lse");
  // rounded twice on the way: the factors of a product, and its result as a factor of the next
  check::at_most(relative_error(out.dqkv, expected.dqkv), exact ? 1e-6 : 6e-3, name + ": dqkv");
  check::that(out.y.same_bytes(two.y) && out.lse.same_bytes(two.lse) && out.dqkv.same_bytes(two.dqkv),
              name + ": one thread, two threads");
}

// What is not finite in one head's q stays in its row of y; in k or v it reaches every row; other heads are untouched.
void test_not_finite(Product product, float value) {
  const mae::Attention of{1, 21, 2, 19, 0.25f, product};
  check::Random random(3);
  const auto normal = [&] { return random.normal(); };
  for (int64_t part = 0; part < 3; part++) {
    Tensor qkv(of.tokens * 3 * of.heads * of.width, Type::f32, normal);
    const Tensor dy(of.tokens * of.heads * of.width, Type::f32, normal);
    qkv.set((20 * 3 + part) * of.heads * of.width + 18, value);
    const Outputs out = outputs_of(of, Type::f32, 1, qkv, dy);
    for (int64_t i = 0; i < dy.size(); i++) {
      const int64_t token = i / of.width / of.heads, head = i / of.width % of.heads, column = i % of.width;
      const bool untouched = head == 1 || (part == 0 && token != 20) || (part == 2 && column != 18);
      if (untouched) check::that(std::isfinite(out.y[i]), "what is not finite spreads too far");
      if (head == 0 && part == 0 && token == 20) check::that(std::isnan(out.y[i]), "NaN of q is lost");
      if (head == 0 && part == 2 && column == 18) check::that(!std::isfinite(out.y[i]), "NaN of v is lost");
      if (head == 0 && part == 1 && std::isnan(value)) check::that(std::isnan(out.y[i]), "NaN of k is lost");
    }
  }
}

}  // namespace

int main() {
  check::each_isa([](mae::Isa) {
    check::Random random(1);
    for (int i = 0; i < 48; i++) {
      const int64_t width = 1 + random.below(70);
      test({1 + random.below(2), 1 + random.below(70), 1 + random.below(3), width,
            1 / std::sqrt(static_cast<float>(width)), i % 2 ? Product::bf16 : Product::f32},
           i % 4 > 1 ? Type::bf16 : Type::f32, i);
    }
    for (Product product : {Product::f32, Product::bf16}) {
      test({2, 50, 12, 64, 0.125f, product}, Type::f32, 100);
      test({1, 197, 2, 32, 0.1767767f, product}, Type::f32, 101);
      test({1, 257, 1, 80, 0.1118034f, product}, Type::bf16, 102);
      test({1, 1025, 1, 16, 0.25f, product}, Type::f32, 103);
      test({1, 65, 1, 8, -0.5f, product}, Type::f32, 104);
      test_not_finite(product, NAN);
      test_not_finite(product, INFINITY);
    }
  });
  return check::report("attention");
}
