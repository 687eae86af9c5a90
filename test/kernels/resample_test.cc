// resample against plain sums in 64 bits, at every level.
#include "check.h"

#include <algorithm>

namespace {

struct Axis {
  int64_t inputs, outputs, pairs;
  std::vector<int64_t> from;                  // the first input of each output
  std::vector<std::vector<int32_t>> weights;  // of its inputs, 22 bits after the point
  std::vector<int32_t> first;                 // as the kernel takes them
  std::vector<int16_t> packed;
};

// Keys 1981, a = −0.5.
double bicubic(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

// Output i covers the inputs from start + i·length / outputs on; what it reads outside [low, high) is left out.
Axis bicubic_axis(int64_t inputs, double start, double length, int64_t outputs, bool clipped, bool flip, int64_t unit) {
  const double scale = length / outputs, widening = std::max(1.0, scale);
  Axis axis{inputs, outputs, static_cast<int64_t>(std::ceil(2 * widening)), {}, {}, {}, {}};
  const int64_t low = clipped ? static_cast<int64_t>(std::floor(start)) : 0;
  const int64_t high = clipped ? std::min(inputs, static_cast<int64_t>(std::ceil(start + length))) : inputs;
  for (int64_t at = 0; at < outputs; at++) {
    const double centre = start + ((flip ? outputs - 1 - at : at) + 0.5) * scale;
    const int64_t from = std::max(low, static_cast<int64_t>(std::floor(centre - 2 * widening + 0.5)));
    int64_t to = std::min(high, static_cast<int64_t>(std::floor(centre + 2 * widening + 0.5)));
    to = std::min(to, from + 2 * axis.pairs);
    std::vector<double> shares;
    double sum = 0;
    for (int64_t k = from; k < to; k++) {
      shares.push_back(bicubic((static_cast<double>(k) - centre + 0.5) / widening));
      sum += shares.back();
    }
    axis.from.push_back(from);
    axis.weights.emplace_back();
    for (double share : shares)
      axis.weights.back().push_back(static_cast<int32_t>(std::floor(share / sum * (1 << 22) + 0.5)));
    axis.first.push_back(static_cast<int32_t>(from * unit));
    for (int64_t k = 0; k < 2 * axis.pairs; k += 2) {
      const auto weight = [&](int64_t i) { return i < to - from ? axis.weights.back()[i] : 0; };
      for (int shift : {0, 11})
        for (int64_t i : {k, k + 1})
          axis.packed.push_back(static_cast<int16_t>(shift ? weight(i) >> 11 : weight(i) & 0x7ff));
    }
  }
  return axis;
}

mae::ResampleAxis view(const Axis& axis) {
  return {axis.outputs, axis.pairs, axis.first.data(), axis.packed.data()};
}

// [rows, axis.inputs, items] to [rows, axis.outputs, items].
std::vector<uint8_t> expected_pass(const std::vector<uint8_t>& in, int64_t rows, const Axis& axis, int64_t items) {
  std::vector<uint8_t> out(rows * axis.outputs * items);
  for (int64_t row = 0; row < rows; row++)
    for (int64_t i = 0; i < axis.outputs; i++)
      for (int64_t item = 0; item < items; item++) {
        int64_t sum = 1 << 21;
        for (size_t k = 0; k < axis.weights[i].size(); k++)
          sum += static_cast<int64_t>(axis.weights[i][k]) * in[(row * axis.inputs + axis.from[i] + k) * items + item];
        check::that(sum == static_cast<int32_t>(sum), "a sum that does not fit in an int32");
        out[(row * axis.outputs + i) * items + item] =
            static_cast<uint8_t>(std::clamp<int64_t>(sum >> 22, 0, 255));
      }
  return out;
}

void test(int64_t height, int64_t width, const Axis& down, const Axis& across, check::Random& random) {
  const std::string name = std::to_string(height) + "x" + std::to_string(width) + " to " +
                           std::to_string(down.outputs) + "x" + std::to_string(across.outputs);
  // Mostly the extreme levels: they overshoot. After the picture what may be read: anything.
  std::vector<uint8_t> picture(height * width * 3);
  for (uint8_t& byte : picture) byte = static_cast<uint8_t>(std::clamp<int64_t>(random.below(512) - 128, 0, 255));
  std::vector<uint8_t> source(picture);
  source.resize(picture.size() + across.pairs * 6 + 16, 255);

  const std::vector<uint8_t> rows = expected_pass(picture, height, across, 3);
  const std::vector<uint8_t> expected = expected_pass(rows, 1, down, across.outputs * 3);
  const check::Memory out(expected.size());
  const mae::Resample call{source.data(), width * 3, height, view(across), view(down),
                           static_cast<uint8_t*>(out.data())};
  const check::Memory workspace(mae::resample_workspace(call));
  mae::resample(call, workspace.data());
  check::that(std::memcmp(out.data(), expected.data(), expected.size()) == 0, name);
  check::that(out.intact() && workspace.intact(), name + " past an end");
}

void test_picture(int64_t height, int64_t width, int64_t to_height, int64_t to_width, check::Random& random) {
  for (bool flip : {false, true})
    test(height, width, bicubic_axis(height, 0, height, to_height, true, false, 1),
         bicubic_axis(width, 0, width, to_width, true, flip, 3), random);
}

// A box somewhere in [0, inputs), often at an end.
Axis random_axis(int64_t inputs, int64_t outputs, int64_t unit, check::Random& random) {
  const auto fraction = [&] { return (random.uniform() + 1.0) / 2; };
  const double start = random.below(3) ? fraction() * inputs * 0.99 : 0;
  const double length = random.below(3) ? std::max(0.01, fraction() * (inputs - start)) : inputs - start;
  return bicubic_axis(inputs, start, length, outputs, random.below(2), unit == 3 && random.below(2), unit);
}

}  // namespace

int main() {
  check::each_isa([](mae::Isa) {
    check::Random random(1);
    for (int i = 0; i < 150; i++) {
      const int64_t height = 1 + random.below(60), width = 1 + random.below(90);
      test(height, width, random_axis(height, 1 + random.below(50), 1, random),
           random_axis(width, 1 + random.below(70), 3, random), random);
    }
    test_picture(1, 1, 1, 1, random);
    test_picture(1, 1, 33, 47, random);
    test_picture(97, 131, 64, 64, random);  // 5 taps
    test_picture(200, 3, 2, 5, random);     // 400 taps
    test_picture(1, 3000, 3, 3, random);
    test_picture(3, 2, 40, 101, random);
  });
  return check::report("resample");
}
