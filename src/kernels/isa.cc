#include "isa.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace mae {
namespace {

constexpr Isa kAll[] = {Isa::plain, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx};

#if defined(__x86_64__)

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  if (!__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx)) return {};
  return r;
}

bool has(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

// The register state that the operating system saves: XCR0.
unsigned saved_state() {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// Linux gives a process the tile registers only when asked: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
bool tiles_permitted() {
#if defined(__linux__)
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
  return false;
#endif
}

// Intel SDM volume 1, chapters 13 to 18: the bits of CPUID and XCR0.
Isa detect() {
  const Registers basic = cpuid(1, 0), extended = cpuid(7, 0), more = cpuid(7, 1);
  const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
  if (!has(basic.ecx, fma | osxsave | avx | f16c)) return Isa::plain;
  const unsigned state = saved_state();
  const unsigned ymm_state = 0x6, zmm_state = 0xe6, tile_state = 0x60000;
  const unsigned avx2 = 1u << 5;
  if (!has(state, ymm_state) || !has(extended.ebx, avx2)) return Isa::plain;
  const unsigned f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
  if (!has(state, zmm_state) || !has(extended.ebx, f | dq | bw | vl)) return Isa::avx2;
  const unsigned avx512_bf16 = 1u << 5, vnni = 1u << 11;
  if (!has(more.eax, avx512_bf16) || !has(extended.ecx, vnni)) return Isa::avx512;
  const unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
  if (!has(state, tile_state) || !has(extended.edx, amx_bf16 | amx_tile) || !tiles_permitted())
    return Isa::avx512_bf16;
  return Isa::amx;
}

#else

Isa detect() { return Isa::plain; }

#endif

Isa lesser(Isa a, Isa b) { return a < b ? a : b; }

Isa from_environment() {
  const char* wanted = std::getenv("MAE_KERNELS_ISA");
  for (Isa isa : kAll)
    if (wanted && std::strcmp(wanted, isa_name(isa)) == 0) return isa;
  return Isa::amx;
}

std::atomic<Isa>& current() {
  static std::atomic<Isa> isa{lesser(from_environment(), best_isa())};
  return isa;
}

}  // namespace

Isa best_isa() {
  static const Isa best = detect();
  return best;
}

Isa isa() { return current().load(std::memory_order_relaxed); }

void use_isa(Isa wanted) { current().store(lesser(wanted, best_isa()), std::memory_order_relaxed); }

const char* isa_name(Isa isa) {
  static const char* const names[] = {"plain", "avx2", "avx512", "avx512_bf16", "amx"};
  return names[static_cast<int>(isa)];
}

}  // namespace mae
