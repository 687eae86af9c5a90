// c = alpha · op(a) · op(b) + bias + addend, after Goto and van de Geijn, "Anatomy of High-Performance Matrix
// Multiplication" (2008).
//
// k is cut into slices. A parallel run packs one slice and multiplies the one before it, so that some threads wait
// for memory while others compute. A task that multiplies owns some panels of one operand, the outer one, and meets
// them with a chunk of the panels of the other, the inner one; all tasks of a chunk come together, so that it stays
// in each core's second-level cache. The last slice's tiles go through bias, addend and GELU on their way to c.
//
// An outer operand that is needed for one chunk only and lies along k is packed by the task that multiplies it, and
// never leaves its cache. One that lies across k would be read there in short pieces of its rows, which memory
// answers at a third of its speed, so it is packed a slice ahead, in whole rows, like the inner one.
#include "dispatch.h"
#include "gemm_micro.h"

namespace mae::MAE_ISA {
namespace {

constexpr int64_t kGroups = 16;            // of the outer operand's panels: the tasks that multiply a slice
constexpr int64_t kSlots = 16;             // tasks that can have scratch memory at a time
constexpr int64_t kSmall = 1 << 16;        // m·n·k below which no second thread is worth waking
constexpr int64_t kPackBytes = 1 << 17;    // of an operand, about, that one task packs
constexpr int64_t kChunkBytes = 3 << 18;   // of the inner operand that tasks find in their second-level cache
constexpr int64_t kLargeResult = 1 << 20;  // bytes of c that no cache keeps until they are read

// Writes past the caches: memory need not be read before, as it is for a line that enters a cache.
inline void stream(float* to, Floats x) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, (__m512)x);
#else
  store(to, x);
#endif
}
inline void stream(bf16* to, Floats x) {
#if defined(__AVX512F__)
  _mm256_stream_si256((__m256i*)to, (__m256i)narrow(x));
#else
  store(to, x);
#endif
}
template <class Element>
inline void stream(Element* to, Floats x, Whole) {
  stream(to, x);
}
template <class Element>
inline void stream(Element* to, Floats x, Part part) {
  store(to, x, part);
}
// Before other threads may read what was streamed.
inline void end_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

int64_t bytes_of(Type type) { return type == Type::f32 ? 4 : 2; }

template <class Kernel>
class BlockedProduct {
 public:
  using Unit = typename Kernel::Unit;
  using Form = typename Kernel::Form;

  explicit BlockedProduct(const Gemm& gemm)
      : gemm_(gemm),
        a_{gemm.a, gemm.m, gemm.k, gemm.trans_a ? gemm.m : gemm.k, !gemm.trans_a},
        b_{gemm.b, gemm.n, gemm.k, gemm.trans_b ? gemm.k : gemm.n, gemm.trans_b},
        a_outer_(gemm.m > gemm.n) {
    const int64_t a_panels = divide_up(gemm.m, Kernel::PackA::width);
    const int64_t b_panels = divide_up(gemm.n, Kernel::PackB::width);
    outer_panels_ = a_outer_ ? a_panels : b_panels;
    inner_panels_ = a_outer_ ? b_panels : a_panels;
    outer_width_ = a_outer_ ? Kernel::PackA::width : Kernel::PackB::width;
    inner_width_ = a_outer_ ? Kernel::PackB::width : Kernel::PackA::width;

    units_ = round_up(divide_up(gemm.k, Form::k), Kernel::unit_multiple);
    slices_ = units_ <= Kernel::units_unsliced ? 1 : divide_up(units_, Kernel::units_in_cache);
    slice_units_ = round_up(divide_up(units_, slices_), Kernel::unit_multiple);

    small_ = gemm.m * gemm.n * gemm.k < kSmall;
    groups_ = small_ ? 1 : smaller(outer_panels_, kGroups);
    chunks_ = larger(1, divide_up(inner_panels_ * inner_width_ * slice_units_ * sizeof(Unit), kChunkBytes));
    outer_ahead_ = chunks_ > 1 || !outer().k_contiguous;

    inner_bytes_ = slice_bytes(inner_panels_ * inner_width_);
    outer_bytes_ = outer_ahead_ ? slice_bytes(outer_panels_ * outer_width_) : 0;
    sums_bytes_ = slices_ == 1 ? 0 : outer_panels_ * inner_panels_ * kTile * sizeof(float);
    slots_ = outer_ahead_ ? 0 : smaller(groups_, kSlots);
    block_bytes_ = slice_bytes(divide_up(outer_panels_, groups_) * outer_width_);
  }

  // Two slices of the operands: one that is packed, and one that is multiplied.
  size_t workspace() const { return 2 * (inner_bytes_ + outer_bytes_) + sums_bytes_ + slots_ * block_bytes_; }

  void run(void* workspace, const Parallel& parallel) {
    inner_ = static_cast<char*>(workspace);
    outer_ = inner_ + 2 * inner_bytes_;
    sums_ = reinterpret_cast<float*>(outer_ + 2 * outer_bytes_);
    blocks_ = outer_ + 2 * outer_bytes_ + sums_bytes_;
    const int64_t inner_parts = parts(inner(), inner_panels_);
    const int64_t all_parts = inner_parts + (outer_ahead_ ? parts(outer(), outer_panels_) : 0);
    for (int64_t slice = 0; slice <= slices_; slice++) {
      const int64_t packs = slice < slices_ ? all_parts : 0, products = slice > 0 ? chunks_ * groups_ : 0;
      const int64_t tasks = packs + products;
      each(tasks, parallel, [&](int64_t task) {
        // The two kinds take turns, each in its order.
        const int64_t pack = task * packs / tasks;
        if ((task + 1) * packs / tasks == pack)
          multiply(task - pack, slice - 1);
        else if (pack < inner_parts)
          pack_part(!a_outer_, inner_panels_, slice, pack, inner_parts, buffer(inner_, inner_bytes_, slice));
        else
          pack_part(a_outer_, outer_panels_, slice, pack - inner_parts, all_parts - inner_parts,
                    buffer(outer_, outer_bytes_, slice));
      });
    }
  }

 private:
  static constexpr int64_t kTile = Kernel::PackA::width * Kernel::PackB::width;

  template <class Body>
  void each(int64_t tasks, const Parallel& parallel, Body body) {
    if (small_ || tasks == 1)
      for (int64_t task = 0; task < tasks; task++) body(task);
    else
      for_tasks(parallel, tasks, body);
  }

  // The lowest free slot, so that few threads share little memory, which stays in their caches.
  int take_slot() {
    uint32_t taken = __atomic_load_n(&slots_taken_, __ATOMIC_RELAXED);
    for (;;) {
      const int slot = __builtin_ctz(~taken);
      if (slot >= slots_)
        taken = __atomic_load_n(&slots_taken_, __ATOMIC_RELAXED);
      else if (__atomic_compare_exchange_n(&slots_taken_, &taken, taken | 1u << slot, true, __ATOMIC_ACQUIRE,
                                           __ATOMIC_RELAXED))
        return slot;
    }
  }
  void give_slot(int slot) { __atomic_fetch_and(&slots_taken_, ~(1u << slot), __ATOMIC_RELEASE); }

  const Operand& inner() const { return a_outer_ ? b_ : a_; }
  const Operand& outer() const { return a_outer_ ? a_ : b_; }
  int64_t units_of(int64_t slice) const { return smaller(slice_units_, units_ - slice * slice_units_); }
  size_t slice_bytes(int64_t vectors) const { return round_up(vectors * slice_units_ * sizeof(Unit), 64); }
  static Unit* buffer(char* buffers, size_t bytes, int64_t slice) {
    return reinterpret_cast<Unit*>(buffers + slice % 2 * bytes);
  }

  // How many tasks pack one slice of an operand: some of its rows in memory each.
  int64_t parts(const Operand& operand, int64_t panels) const {
    const int64_t bytes = operand.size * slice_units_ * Form::k * bytes_of(operand.data.type);
    return larger(1, smaller(bytes / kPackBytes, operand.k_contiguous ? panels : divide_up(slice_units_, 16)));
  }
  void pack_part(bool is_a, int64_t panels, int64_t slice, int64_t part, int64_t parts, Unit* packed) const {
    const int64_t units = units_of(slice), squares = divide_up(units, 16);
    const int64_t width = is_a ? Kernel::PackA::width : Kernel::PackB::width;
    Region region{0, panels, slice * slice_units_ * Form::k, units, 0, units};
    if ((is_a ? a_ : b_).k_contiguous) {
      region.first = panels * part / parts;
      region.last = panels * (part + 1) / parts;
    } else {
      region.begin = smaller(units, squares * part / parts * 16);
      region.end = smaller(units, squares * (part + 1) / parts * 16);
    }
    pack_panels(is_a, region, packed + region.first * width * units);
  }
  void pack_panels(bool is_a, const Region& region, Unit* packed) const {
    if (is_a)
      pack<Form, typename Kernel::PackA>(a_, region, packed);
    else
      pack<Form, typename Kernel::PackB>(b_, region, packed);
  }

  // A group of the outer operand's panels with a chunk of the inner one's, over one slice of k.
  void multiply(int64_t task, int64_t slice) {
    const int64_t chunk = task / groups_, group = task % groups_, units = units_of(slice);
    const int64_t first = outer_panels_ * group / groups_, last = outer_panels_ * (group + 1) / groups_;
    const int64_t chunk_first = inner_panels_ * chunk / chunks_, chunk_last = inner_panels_ * (chunk + 1) / chunks_;
    if (outer_ahead_)
      return multiply(first, last, chunk_first, chunk_last, slice,
                      buffer(outer_, outer_bytes_, slice) + first * outer_width_ * units);
    const int slot = take_slot();
    Unit* const block = reinterpret_cast<Unit*>(blocks_ + slot * block_bytes_);
    pack_panels(a_outer_, {first, last, slice * slice_units_ * Form::k, units, 0, units}, block);
    multiply(first, last, chunk_first, chunk_last, slice, block);
    give_slot(slot);
  }

  void multiply(int64_t first, int64_t last, int64_t chunk_first, int64_t chunk_last, int64_t slice,
                const Unit* outer_panel) const {
    const int64_t units = units_of(slice);
    alignas(64) float only_tile[kTile];
    Kernel::begin();
    for (int64_t outer = first; outer < last; outer++, outer_panel += outer_width_ * units) {
      const Unit* inner_panel = buffer(inner_, inner_bytes_, slice) + chunk_first * inner_width_ * units;
      for (int64_t inner = chunk_first; inner < chunk_last; inner++, inner_panel += inner_width_ * units) {
        float* const tile = slices_ == 1 ? only_tile : sums_ + (outer * inner_panels_ + inner) * kTile;
        const int64_t row = (a_outer_ ? outer : inner) * Kernel::PackA::width;
        const int64_t column = (a_outer_ ? inner : outer) * Kernel::PackB::width;
        const int64_t rows = smaller(Kernel::PackA::width, gemm_.m - row);
        const int64_t columns = smaller(Kernel::PackB::width, gemm_.n - column);
        if (a_outer_)
          Kernel::template multiply<false>(units, outer_panel, inner_panel, tile, slice > 0, rows, columns);
        else
          Kernel::template multiply<true>(units, inner_panel, outer_panel, tile, slice > 0, rows, columns);
        if (slice == slices_ - 1) finish(tile, row, column, rows, columns);
      }
    }
    Kernel::end();
    end_streams();
  }

  // body(offset in the tile, offset in c, column, Whole or Part)
  template <class Body>
  void for_tile(int64_t row, int64_t column, int64_t rows, int64_t columns, Body body) const {
    for (int64_t i = 0; i < rows; i++) {
      const int64_t at = (row + i) * gemm_.n + column;
      for_vectors(columns,
                  [&](int64_t j, auto part) { body(i * Kernel::PackB::width + j, at + j, column + j, part); });
    }
  }

  void finish(float* tile, int64_t row, int64_t column, int64_t rows, int64_t columns) const {
    const float* const bias = gemm_.bias;
    const float alpha = gemm_.alpha;
    const auto scaled = [=](int64_t in_tile, int64_t j, auto part) {
      return fma(load(tile + in_tile), alpha, bias ? load(bias + j, part) : Floats{});
    };
    const auto write = [&](Data to, auto value) {
      with_pointer(to, [&](auto* data) {
        const int64_t row_bytes = gemm_.n * sizeof(*data), vector_bytes = lanes * sizeof(*data);
        const bool streams = gemm_.m * row_bytes > kLargeResult && row_bytes % vector_bytes == 0 &&
                             reinterpret_cast<uintptr_t>(data) % vector_bytes == 0;
        for_tile(row, column, rows, columns, [&](int64_t in_tile, int64_t at, int64_t j, auto part) {
          if (streams)
            stream(data + at, value(in_tile, j, part), part);
          else
            store(data + at, value(in_tile, j, part), part);
        });
      });
    };
    if (!gemm_.addend.data && !gemm_.gelu.data) return write(gemm_.c, scaled);

    const auto finished = [=](int64_t in_tile, int64_t, auto) { return load(tile + in_tile); };
    with_pointer(gemm_.addend, [&](auto* addend) {
      for_tile(row, column, rows, columns, [&](int64_t in_tile, int64_t at, int64_t j, auto part) {
        const Floats value = scaled(in_tile, j, part);
        store(tile + in_tile, addend ? value + load(addend + at, part) : value);
      });
    });
    write(gemm_.c, finished);
    if (gemm_.gelu.data)
      write(gemm_.gelu, [=](int64_t in_tile, int64_t, auto) { return gelu_of(load(tile + in_tile)); });
  }

  // x·Φ(x). At −inf that is 0, and Φ has underflown long before.
  static Floats gelu_of(Floats x) {
    const Floats lowest = splat(-64);
    return (x < lowest ? lowest : x) * normal(x).cumulative;
  }

  Gemm gemm_;
  Operand a_, b_;
  bool a_outer_, outer_ahead_, small_;
  int64_t outer_panels_, inner_panels_, outer_width_, inner_width_;
  int64_t units_, slices_, slice_units_, groups_, chunks_, slots_;
  size_t inner_bytes_, outer_bytes_, sums_bytes_, block_bytes_;
  char *inner_ = nullptr, *outer_ = nullptr, *blocks_ = nullptr;
  float* sums_ = nullptr;
  uint32_t slots_taken_ = 0;
};

// body(BlockedProduct<Kernel>), the kernel that this level has for the kind of product.
template <class Body>
auto with_product(const Gemm& gemm, Body body) {
  if (gemm.product == mae::Product::f32) return body(BlockedProduct<VectorKernel<Single>>(gemm));
#if defined(__AMX_TILE__)
  return body(BlockedProduct<TileKernel>(gemm));
#elif defined(__AVX512BF16__)
  return body(BlockedProduct<VectorKernel<Pair>>(gemm));
#else
  return body(BlockedProduct<VectorKernel<Rounded>>(gemm));
#endif
}

}  // namespace

size_t gemm_workspace(const Gemm& gemm) {
  if (gemm.m <= 0 || gemm.n <= 0) return 0;
  return with_product(gemm, [](auto product) { return product.workspace(); });
}

void gemm(const Gemm& gemm, void* workspace, const Parallel& parallel) {
  if (gemm.m <= 0 || gemm.n <= 0) return;
  with_product(gemm, [&](auto product) { product.run(workspace, parallel); });
}

}  // namespace mae::MAE_ISA

MAE_DISPATCH(size_t, gemm_workspace, (const Gemm& gemm), (gemm))
MAE_DISPATCH(void, gemm, (const Gemm& gemm, void* workspace, const Parallel& parallel),
             (gemm, workspace, parallel))
