// c = alpha · op(a) · op(b) + bias + addend, after Goto and van de Geijn, "Anatomy of High-Performance Matrix
// Multiplication" (2008).
//
// k is cut into slices. Of one operand, the inner one, a slice is packed for all threads; meanwhile the slice before
// it is multiplied. For that, blocks of panels of the other operand, the outer one, are packed by the thread that
// multiplies them and never leave its cache. The last slice's tiles go through bias, addend and GELU on their way to c.
//
// All of this is one parallel run, whose tasks, the lanes, claim pieces of the work one by one: to wake threads for
// each slice, and to wait for them, took up to a tenth of the time.
#include <sched.h>

#include "dispatch.h"
#include "gemm_micro.h"

namespace mae::MAE_ISA {
namespace {

constexpr int64_t kLanes = 16;             // tasks of the one parallel run, each with scratch memory of its own
constexpr int64_t kBlocks = 16;            // of the outer operand's panels, at least, where there are so many
constexpr int64_t kLeastPanels = 2;        // of a block that is read across k, or meets more than its cache holds
constexpr int64_t kSmall = 1 << 16;        // m·n·k below which no second thread is worth waking
constexpr int64_t kPackBytes = 1 << 17;    // of the inner operand, about, that are packed at a time
constexpr int64_t kBlockBytes = 1 << 18;   // of a packed block, which stays in a second-level cache
constexpr int64_t kChunkBytes = 1 << 20;   // of the inner operand that a block meets while they stay there too
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
    slices_ = larger(1, divide_up(units_, Kernel::units_in_slice));
    slice_units_ = round_up(divide_up(units_, slices_), Kernel::unit_multiple);

    small_ = gemm.m * gemm.n * gemm.k < kSmall;
    const int64_t panel_bytes = outer_width_ * slice_units_ * sizeof(Unit);
    chunks_ = larger(1, divide_up(inner_panels_ * inner_width_ * slice_units_ * sizeof(Unit), kChunkBytes));
    const int64_t least = chunks_ > 1 || !outer().k_contiguous ? kLeastPanels : 1;
    const int64_t block_panels =
        larger(1, smaller(larger(outer_panels_ / kBlocks, least), kBlockBytes / larger(1, panel_bytes)));
    blocks_ = divide_up(outer_panels_, block_panels);
    packs_ = parts(inner(), inner_panels_);
    lanes_ = small_ ? 1 : smaller(kLanes, larger(packs_, blocks_));

    inner_bytes_ = slice_bytes(inner_panels_ * inner_width_);
    block_bytes_ = slice_bytes(divide_up(outer_panels_, blocks_) * outer_width_);
    own_bytes_ = slices_ == 1 ? divide_up(inner_panels_, chunks_) * kTile * sizeof(float) : 0;
    sums_bytes_ = slices_ == 1 ? 0 : outer_panels_ * inner_panels_ * kTile * sizeof(float);
  }

  // Two slices of the inner operand: one that is packed, and one that is multiplied.
  size_t workspace() const { return inner_buffers() * inner_bytes_ + sums_bytes_ + lanes_ * lane_bytes(); }

  void run(void* workspace, const Parallel& parallel) {
    inner_ = static_cast<char*>(workspace);
    sums_ = reinterpret_cast<float*>(inner_ + inner_buffers() * inner_bytes_);
    scratch_ = inner_ + inner_buffers() * inner_bytes_ + sums_bytes_;
    if (lanes_ == 1)
      lane();
    else
      for_tasks(parallel, lanes_, [&](int64_t) { lane(); });
  }

 private:
  static constexpr int64_t kTile = Kernel::PackA::width * Kernel::PackB::width;

  // Pieces of work are numbered in an order in which they can be done. A phase packs a slice and multiplies the one
  // before it.
  struct Piece {
    int64_t phase_first, slice, task;  // the task of packing or multiplying the slice
    bool packs;
  };
  int64_t pieces() const { return slices_ * (packs_ + blocks_); }
  Piece piece(int64_t number) const {
    if (number < packs_) return {0, 0, number, true};
    const int64_t phase = (number - packs_) / (packs_ + blocks_) + 1;
    const int64_t phase_first = packs_ + (phase - 1) * (packs_ + blocks_);
    const int64_t packs = phase < slices_ ? packs_ : 0, tasks = packs + blocks_, at = number - phase_first;
    // The two kinds take turns, each in its order.
    const int64_t pack = at * packs / tasks;
    if ((at + 1) * packs / tasks != pack) return {phase_first, phase, pack, true};
    return {phase_first, phase - 1, at - pack, false};
  }
  int64_t claim() { return __atomic_fetch_add(&claimed_, 1, __ATOMIC_RELAXED); }

  // Works until all is claimed. Who begins takes the lowest scratch memory: few threads share little of it.
  void lane() {
    int64_t number = claim();
    if (number >= pieces()) return;
    char* const own = scratch_ + __atomic_fetch_add(&lanes_begun_, 1, __ATOMIC_RELAXED) * lane_bytes();
    for (; number < pieces(); number = claim()) {
      const Piece now = piece(number);
      wait_for(now.phase_first);
      if (now.packs)
        pack_inner(now.slice, now.task);
      else
        multiply(now.task, now.slice, reinterpret_cast<Unit*>(own), reinterpret_cast<float*>(own + block_bytes_));
      __atomic_fetch_add(&finished_, 1, __ATOMIC_RELEASE);
    }
  }

  // Until that many pieces are done. Whoever has claimed them is running, so it is not for long.
  void wait_for(int64_t count) const {
    for (int spin = 0; __atomic_load_n(&finished_, __ATOMIC_ACQUIRE) < count; spin += spin <= 10000) {
      if (spin > 10000) sched_yield();
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }

  const Operand& inner() const { return a_outer_ ? b_ : a_; }
  const Operand& outer() const { return a_outer_ ? a_ : b_; }
  int64_t units_of(int64_t slice) const { return smaller(slice_units_, units_ - slice * slice_units_); }
  size_t slice_bytes(int64_t vectors) const { return round_up(vectors * slice_units_ * sizeof(Unit), 64); }
  size_t lane_bytes() const { return block_bytes_ + own_bytes_; }
  int64_t inner_buffers() const { return smaller(slices_, 2); }
  Unit* packed_inner(int64_t slice) const { return reinterpret_cast<Unit*>(inner_ + slice % 2 * inner_bytes_); }
  int64_t block_first(int64_t block) const { return outer_panels_ * block / blocks_; }

  // How many pieces of work pack one slice of an operand: some of its rows in memory each.
  int64_t parts(const Operand& operand, int64_t panels) const {
    const int64_t bytes = operand.size * slice_units_ * Form::k * bytes_of(operand.data.type);
    return larger(1, smaller(bytes / kPackBytes, operand.k_contiguous ? panels : divide_up(slice_units_, 16)));
  }
  void pack_inner(int64_t slice, int64_t part) const {
    const int64_t units = units_of(slice), squares = divide_up(units, 16);
    Region region{0, inner_panels_, slice * slice_units_ * Form::k, units, 0, units};
    if (inner().k_contiguous) {
      region.first = inner_panels_ * part / packs_;
      region.last = inner_panels_ * (part + 1) / packs_;
    } else {
      region.begin = smaller(units, squares * part / packs_ * 16);
      region.end = smaller(units, squares * (part + 1) / packs_ * 16);
    }
    pack_panels(!a_outer_, region, packed_inner(slice) + region.first * inner_width_ * units);
  }
  void pack_panels(bool is_a, const Region& region, Unit* packed) const {
    if (is_a)
      pack<Form, typename Kernel::PackA>(a_, region, packed);
    else
      pack<Form, typename Kernel::PackB>(b_, region, packed);
  }

  // A block of the outer operand's panels with all of the inner one's, over one slice of k, in parts of which a panel
  // stays in the first-level cache. (With a panel of 48 KiB AMX ran at half the speed.)
  void multiply(int64_t task, int64_t slice, Unit* block, float* own_sums) const {
    const int64_t first = block_first(task), last = block_first(task + 1), units = units_of(slice);
    pack_panels(a_outer_, {first, last, slice * slice_units_ * Form::k, units, 0, units}, block);
    const int64_t multiple = Kernel::unit_multiple, steps = units / multiple;
    const int64_t parts = larger(1, divide_up(units, Kernel::units_in_cache));
    Kernel::begin();
    for (int64_t chunk = 0; chunk < chunks_; chunk++) {
      const int64_t chunk_first = inner_panels_ * chunk / chunks_, chunk_last = inner_panels_ * (chunk + 1) / chunks_;
      for (int64_t outer = first; outer < last; outer++) {
        for (int64_t part = 0; part < parts; part++) {
          const int64_t u = steps * part / parts * multiple, u_end = steps * (part + 1) / parts * multiple;
          const Unit* const outer_panel = block + ((outer - first) * units + u) * outer_width_;
          const Unit* inner_panel = packed_inner(slice) + (chunk_first * units + u) * inner_width_;
          for (int64_t inner = chunk_first; inner < chunk_last; inner++, inner_panel += inner_width_ * units) {
            float* const tile = slices_ > 1 ? sums_ + (outer * inner_panels_ + inner) * kTile
                                : parts > 1 ? own_sums + (inner - chunk_first) * kTile
                                            : own_sums;
            const bool add = slice > 0 || part > 0;
            const int64_t row = (a_outer_ ? outer : inner) * Kernel::PackA::width;
            const int64_t column = (a_outer_ ? inner : outer) * Kernel::PackB::width;
            const int64_t rows = smaller(Kernel::PackA::width, gemm_.m - row);
            const int64_t columns = smaller(Kernel::PackB::width, gemm_.n - column);
            if (a_outer_)
              Kernel::template multiply<false>(u_end - u, outer_panel, inner_panel, tile, add, rows, columns);
            else
              Kernel::template multiply<true>(u_end - u, inner_panel, outer_panel, tile, add, rows, columns);
            if (slice == slices_ - 1 && part == parts - 1) finish(tile, row, column, rows, columns);
          }
        }
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
    if (gemm_.c.data) write(gemm_.c, finished);
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
  bool a_outer_, small_;
  int64_t outer_panels_, inner_panels_, outer_width_, inner_width_;
  int64_t units_, slices_, slice_units_, blocks_, chunks_, packs_, lanes_;
  size_t inner_bytes_, block_bytes_, own_bytes_, sums_bytes_;
  char *inner_ = nullptr, *scratch_ = nullptr;
  float* sums_ = nullptr;
  int64_t claimed_ = 0, finished_ = 0, lanes_begun_ = 0;  // shared by the lanes
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
