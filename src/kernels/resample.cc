// Bicubic resampling of RGB bytes, as src/data/wasm/resample.ts has it: every sum is the same int32 to the last bit.
#include "dispatch.h"
#include "resample_steps.h"

namespace mae::MAE_ISA {
namespace {

// Pixels of a row, and the vectors that pack() makes one of.
constexpr int64_t kGroup = 4;

int64_t align64(int64_t bytes) { return (bytes + 63) / 64 * 64; }
int64_t steps_of(const ResampleAxis& axis) { return (2 * axis.pairs + kTaps - 1) / kTaps; }

// Where the workspace holds what: digits (where they are not as weights come) and the rows that are resampled across.
// Pixels come in whole groups, vectors read past the end of a row, and taps of weight 0 past the last row.
struct Layout {
  int64_t across_steps, down_steps, down_digits, rows, stride, bytes;
  explicit Layout(const Resample& r) : across_steps(steps_of(r.across)), down_steps(steps_of(r.down)) {
    down_digits = align64(r.across.outputs * across_steps * kWords * 4);
    rows = down_digits + align64(r.down.outputs * down_steps * kWords * 4);
    stride = align64((r.across.outputs + kGroup) * 3 + 64);
    bytes = rows + (r.row_count + kRows + kTaps * down_steps) * stride;
  }
};

#if MAE_LEVEL >= MAE_LEVEL_avx2

// `kSteps` is `steps` where the loop is to be written out, else 0.
template <int64_t kSteps>
void across(const Resample& r, const int32_t* digits, int64_t steps, uint8_t* rows, int64_t stride) {
  const int64_t width = r.across.outputs;
  if (kSteps) steps = kSteps;
  for (int64_t y = 0; y < r.row_count; y += kRows, rows += kRows * stride) {
    const uint8_t* from[kRows];
    for (int64_t i = 0; i < kRows; i++)
      from[i] = r.source + (y + i < r.row_count ? y + i : r.row_count - 1) * r.source_stride;
    for (int64_t x = 0; x < width; x += kGroup) {
      Sums sums[kGroup];
      for (int64_t i = 0; i < kGroup; i++) {
        const int64_t at = x + i < width ? x + i : width - 1;
        for (int64_t k = 0; k < steps; k++)
          sums[i].add(gather(from, r.across.first[at] + k * kTaps * 3), digits + (at * steps + k) * kWords);
      }
      store_pixels(pack(sums), rows + x * 3, stride);
    }
  }
}

void down(const Resample& r, const int32_t* digits, int64_t steps, const uint8_t* rows, int64_t stride) {
  const int64_t row_bytes = r.across.outputs * 3;
  for (int64_t y = 0; y < r.down.outputs; y++, digits += steps * kWords) {
    const uint8_t* row = rows + r.down.first[y] * stride;
    uint8_t* out = r.out + y * row_bytes;
    for (int64_t x = 0; x < row_bytes; x += sizeof(Vector)) {
      Sums sums[kGroup];
      for (int64_t k = 0; k < steps; k++) {
        Vector parts[kGroup];
        interleave(row + k * kTaps * stride + x, stride, parts);
        for (int64_t i = 0; i < kGroup; i++) sums[i].add(parts[i], digits + k * kWords);
      }
      store(out + x, row_bytes - x, pack(sums));
    }
  }
}

void passes(const Resample& r, const Layout& layout, uint8_t* workspace) {
  uint8_t* rows = workspace + layout.rows;
  const int32_t* digits = digits_of(r.across, reinterpret_cast<int32_t*>(workspace));
  const int64_t steps = layout.across_steps;
  (steps == 1 ? across<1> : steps == 2 ? across<2> : steps == 3 ? across<3> : steps == 4 ? across<4> : across<0>)(
      r, digits, steps, rows, layout.stride);
  digits = digits_of(r.down, reinterpret_cast<int32_t*>(workspace + layout.down_digits));
  down(r, digits, layout.down_steps, rows, layout.stride);
}

#else

// Σₖ byteₖ·wₖ in int32 that wraps, for bytes `apart`, as a level.
uint8_t level(const uint8_t* bytes, int64_t apart, const int16_t* weights, int64_t pairs) {
  uint32_t sum = kHalf;
  for (int64_t k = 0; k < pairs; k++, weights += 4, bytes += 2 * apart) {
    sum += bytes[0] * (static_cast<uint32_t>(weights[0]) + (static_cast<uint32_t>(weights[2]) << kLowBits));
    sum += bytes[apart] * (static_cast<uint32_t>(weights[1]) + (static_cast<uint32_t>(weights[3]) << kLowBits));
  }
  const int32_t value = static_cast<int32_t>(sum) >> kPrecision;
  return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

void passes(const Resample& r, const Layout& layout, uint8_t* workspace) {
  uint8_t* rows = workspace + layout.rows;
  const int64_t row_bytes = r.across.outputs * 3;
  for (int64_t y = 0; y < r.row_count; y++)
    for (int64_t x = 0; x < row_bytes; x++) {
      const uint8_t* from = r.source + y * r.source_stride + r.across.first[x / 3] + x % 3;
      rows[y * layout.stride + x] = level(from, 3, r.across.weights + x / 3 * r.across.pairs * 4, r.across.pairs);
    }
  for (int64_t y = 0; y < r.down.outputs; y++)
    for (int64_t x = 0; x < row_bytes; x++)
      r.out[y * row_bytes + x] = level(rows + r.down.first[y] * layout.stride + x, layout.stride,
                                       r.down.weights + y * r.down.pairs * 4, r.down.pairs);
}

#endif

}  // namespace

size_t resample_workspace(const Resample& r) { return Layout(r).bytes; }

void resample(const Resample& r, void* workspace) { passes(r, Layout(r), static_cast<uint8_t*>(workspace)); }

}  // namespace mae::MAE_ISA

MAE_DISPATCH(size_t, resample_workspace, (const Resample& resample), (resample))
MAE_DISPATCH(void, resample, (const Resample& resample, void* workspace), (resample, workspace))

#if MAE_LEVEL == MAE_LEVEL_plain

MAE_EXPORT size_t mae_resample_workspace(int64_t row_count, int64_t width, int64_t across_pairs, int64_t height,
                                         int64_t down_pairs) {
  const mae::ResampleAxis across{width, across_pairs, nullptr, nullptr}, down{height, down_pairs, nullptr, nullptr};
  return mae::resample_workspace({nullptr, 0, row_count, across, down, nullptr});
}

MAE_EXPORT void mae_resample(const uint8_t* source, int64_t source_stride, int64_t row_count, int64_t width,
                             int64_t across_pairs, const int32_t* across_first, const int16_t* across_weights,
                             int64_t height, int64_t down_pairs, const int32_t* down_first,
                             const int16_t* down_weights, uint8_t* out, void* workspace) {
  const mae::ResampleAxis across{width, across_pairs, across_first, across_weights};
  const mae::ResampleAxis down{height, down_pairs, down_first, down_weights};
  mae::resample({source, source_stride, row_count, across, down, out}, workspace);
}

#endif
