// How the families walk over memory and cut their work into tasks.
#pragma once

#include "vector_math.h"

namespace mae::MAE_ISA {

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// body(pointer), the pointer of the data's own type.
template <class Body>
inline void with_pointer(Data data, Body body) {
  if (data.type == Type::f32)
    body(static_cast<float*>(data.data));
  else
    body(static_cast<bf16*>(data.data));
}

// body(offset, Whole or Part) for each vector of `size` elements.
template <class Body>
inline void for_vectors(int64_t size, Body body) {
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) body(i, Whole{});
  if (i < size) body(i, Part{static_cast<int>(size - i)});
}

// Σ term(offset, Whole or Part) over `size` elements, in four chains, since an addition takes four cycles.
template <class Term>
inline float sum_vectors(int64_t size, Term term) {
  Floats chain[4] = {};
  int64_t i = 0;
  for (; i + 4 * lanes <= size; i += 4 * lanes)
    for (int j = 0; j < 4; j++) chain[j] += term(i + j * lanes, Whole{});
  for (; i + lanes <= size; i += lanes) chain[0] += term(i, Whole{});
  if (i < size) {
    const Part part{static_cast<int>(size - i)};
    chain[1] += keep(term(i, part), part);
  }
  return sum((chain[0] + chain[1]) + (chain[2] + chain[3]));
}

// body(task) for each task, by whatever threads there are.
template <class Body>
inline void for_tasks(const Parallel& parallel, int64_t tasks, Body body) {
  if (tasks <= 0) return;
  const auto run = [](void* context, size_t task) { (*static_cast<Body*>(context))(static_cast<int64_t>(task)); };
  parallel.run(parallel.self, static_cast<size_t>(tasks), run, &body);
}

// body(first, last, block) for each block of `size` elements.
template <class Body>
inline void for_blocks(const Parallel& parallel, int64_t size, int64_t block_size, Body body) {
  for_tasks(parallel, divide_up(size, block_size), [&](int64_t block) {
    body(block * block_size, smaller(size, (block + 1) * block_size), block);
  });
}

// --- sums over rows ---------------------------------------------------------------------------------------------

// Rows whose sums one task makes; the sums of the blocks are added up afterwards, in order.
inline int64_t rows_per_block(int64_t width) { return width >= 512 ? 16 : width >= 128 ? 64 : 256; }
// Floats from the sums of one block to those of the next.
inline int64_t partial_stride(int64_t width) { return round_up(width, 16); }
inline size_t partials_workspace(int64_t rows, int64_t width) {
  return sizeof(float) * divide_up(rows, rows_per_block(width)) * partial_stride(width);
}

// sums[j] = Σ over blocks of partials[block, j] (+ addend[j])
inline void add_partials(int64_t rows, int64_t width, const float* partials, const float* addend, float* sums,
                         const Parallel& parallel) {
  const int64_t blocks = divide_up(rows, rows_per_block(width)), stride = partial_stride(width);
  for_blocks(parallel, width, larger(512, 65536 / larger(blocks, 1)), [&](int64_t first, int64_t last, int64_t) {
    for_vectors(last - first, [&](int64_t i, auto part) {
      const int64_t j = first + i;
      Floats sum = addend ? load(addend + j, part) : Floats{};
      for (int64_t block = 0; block < blocks; block++) sum += load(partials + block * stride + j, part);
      store(sums + j, sum, part);
    });
  });
}

}  // namespace mae::MAE_ISA
