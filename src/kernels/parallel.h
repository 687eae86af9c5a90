// Threads for callers that have no pool of their own: tests, benchmarks, direct calls.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels.h"

namespace mae {

// A pool of `threads`, the caller's own among them. One `run` at a time.
class Threads {
 public:
  explicit Threads(size_t threads);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  Parallel parallel() { return {&Threads::run, this}; }

 private:
  static void run(void* self, size_t tasks, void (*body)(void*, size_t), void* context);
  void work();
  void take_tasks();

  // A run opens by `started_` growing and closes when every worker has counted itself in `finished_`.
  std::atomic<size_t> started_{0}, finished_{0}, next_{0};
  size_t tasks_ = 0;
  void (*body_)(void*, size_t) = nullptr;
  void* context_ = nullptr;
  bool stopping_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

}  // namespace mae
