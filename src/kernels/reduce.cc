// Sums over the rows of a matrix.
#include "dispatch.h"
#include "loops.h"

namespace mae::MAE_ISA {

size_t column_sums_workspace(int64_t rows, int64_t width) { return partials_workspace(rows, width); }

void column_sums(int64_t rows, int64_t width, Data x, const float* addend, float* sums, void* workspace,
                 const Parallel& parallel) {
  float* partials = static_cast<float*>(workspace);
  with_pointer(x, [&](auto* in) {
    for_blocks(parallel, rows, rows_per_block(width), [&](int64_t first, int64_t last, int64_t block) {
      float* block_sums = partials + block * partial_stride(width);
      std::memset(block_sums, 0, width * sizeof(float));
      for (int64_t row = first; row < last; row++)
        for_vectors(width, [&](int64_t j, auto part) {
          store(block_sums + j, load(block_sums + j, part) + load(in + row * width + j, part), part);
        });
    });
  });
  add_partials(rows, width, partials, addend, sums, parallel);
}

}  // namespace mae::MAE_ISA

MAE_DISPATCH(size_t, column_sums_workspace, (int64_t rows, int64_t width), (rows, width))
MAE_DISPATCH(void, column_sums,
             (int64_t rows, int64_t width, Data x, const float* addend, float* sums, void* workspace,
              const Parallel& parallel),
             (rows, width, x, addend, sums, workspace, parallel))
