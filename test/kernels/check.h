// What the tests of the kernels share: random data, bfloat16, error norms, one line a failure.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "isa.h"
#include "kernels.h"
#include "parallel.h"

namespace check {

inline int& failures() {
  static int count = 0;
  return count;
}

// Prints one line for a failure; `what` names the case.
inline void that(bool condition, const std::string& what) {
  if (condition) return;
  failures()++;
  std::printf("FAIL %s: %s\n", mae::isa_name(mae::isa()), what.c_str());
}

// `got` at most `limit`; NaN fails.
inline void at_most(double got, double limit, const std::string& what) {
  char numbers[64];
  std::snprintf(numbers, sizeof numbers, ": %.3g, limit %.3g", got, limit);
  that(got <= limit, what + numbers);
}

// The last line of main.
inline int report(const char* name) {
  std::printf("%s: %s\n", name, failures() ? "FAILED" : "ok");
  return failures() ? 1 : 0;
}

// xorshift64*, the same numbers everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}
  uint64_t bits() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }
  int64_t below(int64_t end) { return static_cast<int64_t>((bits() >> 16) % static_cast<uint64_t>(end)); }
  // Uniform in [−1, 1).
  float uniform() { return static_cast<float>(static_cast<double>(bits() >> 11) * 0x1p-52 - 1.0); }
  float normal() {
    const double radius = std::sqrt(-2 * std::log(static_cast<double>((bits() >> 11) + 1) * 0x1p-53));
    return static_cast<float>(radius * std::cos(6.283185307179586 * static_cast<double>(bits() >> 11) * 0x1p-53));
  }

 private:
  uint64_t state_;
};

inline mae::bf16 to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if (value != value) return static_cast<mae::bf16>((bits >> 16) | 0x40);
  return static_cast<mae::bf16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline float from_bf16(mae::bf16 value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float wide;
  std::memcpy(&wide, &bits, 4);
  return wide;
}

// Memory aligned to 64 bytes that ends where it says, so that the address sanitizer sees a step over either end.
class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_(bytes), data_(std::aligned_alloc(64, (bytes + 127) / 64 * 64)) {
    std::memset(data_, 0xa5, (bytes + 127) / 64 * 64);
  }
  Memory(const Memory& other) : Memory(other.bytes_) { std::memcpy(data_, other.data_, bytes_); }
  Memory& operator=(const Memory&) = delete;
  ~Memory() { std::free(data_); }
  // Whether the bytes after the end are as they were made.
  bool intact() const {
    const size_t end = (bytes_ + 127) / 64 * 64;
    for (size_t i = bytes_; i < end; i++)
      if (static_cast<unsigned char*>(data_)[i] != 0xa5) return false;
    return true;
  }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  void* data_;
};

// A tensor in float32 or bfloat16, read and written as float.
class Tensor {
 public:
  Tensor(int64_t size, mae::Type type) : size_(size), type_(type), memory_(size * (type == mae::Type::f32 ? 4 : 2)) {}
  // Filled by `next()`, rounded to the type.
  template <class Next>
  Tensor(int64_t size, mae::Type type, Next next) : Tensor(size, type) {
    for (int64_t i = 0; i < size; i++) set(i, next());
  }
  float operator[](int64_t i) const {
    return type_ == mae::Type::f32 ? static_cast<float*>(memory_.data())[i]
                                   : from_bf16(static_cast<mae::bf16*>(memory_.data())[i]);
  }
  void set(int64_t i, float value) {
    if (type_ == mae::Type::f32)
      static_cast<float*>(memory_.data())[i] = value;
    else
      static_cast<mae::bf16*>(memory_.data())[i] = to_bf16(value);
  }
  mae::Data data() const { return {memory_.data(), type_}; }
  float* floats() const { return static_cast<float*>(memory_.data()); }
  int64_t size() const { return size_; }
  bool intact() const { return memory_.intact(); }
  bool same_bytes(const Tensor& other) const {
    return memory_.bytes() == other.memory_.bytes() &&
           std::memcmp(memory_.data(), other.memory_.data(), memory_.bytes()) == 0;
  }

 private:
  int64_t size_;
  mae::Type type_;
  Memory memory_;
};

// ‖got − expected‖₂ / ‖expected‖₂, in double; NaN where either has one.
inline double relative_error(const Tensor& got, const std::vector<double>& expected) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < got.size(); i++) {
    const double d = got[i] - expected[i];
    difference += d * d;
    norm += expected[i] * expected[i];
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

// body(isa) for every level up to what this processor has and MAE_KERNELS_ISA allows.
template <class Body>
void each_isa(Body body) {
  const mae::Isa top = mae::isa();
  for (int level = 0; level <= static_cast<int>(top); level++) {
    mae::use_isa(static_cast<mae::Isa>(level));
    body(mae::isa());
  }
}

}  // namespace check
