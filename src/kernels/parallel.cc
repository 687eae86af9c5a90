#include "parallel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mae {
namespace {

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// How often a worker looks for the next run before it sleeps: some tens of microseconds.
constexpr int kSpins = 2000;

}  // namespace

Threads::Threads(size_t threads) {
  for (size_t i = 1; i < threads; i++) workers_.emplace_back([this] { work(); });
}

Threads::~Threads() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    started_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Threads::take_tasks() {
  for (size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) body_(context_, i);
}

void Threads::work() {
  for (size_t seen = 0;;) {
    for (int spin = 0; spin < kSpins && started_.load(std::memory_order_acquire) == seen; spin++) relax();
    if (started_.load(std::memory_order_acquire) == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return started_.load() != seen; });
    }
    seen++;
    if (stopping_) return;
    take_tasks();
    finished_.fetch_add(1, std::memory_order_release);
  }
}

void Threads::run(void* self, size_t tasks, void (*body)(void*, size_t), void* context) {
  Threads& pool = *static_cast<Threads*>(self);
  if (pool.workers_.empty() || tasks <= 1) {
    for (size_t i = 0; i < tasks; i++) body(context, i);
    return;
  }
  {
    std::lock_guard<std::mutex> lock(pool.mutex_);
    pool.tasks_ = tasks;
    pool.body_ = body;
    pool.context_ = context;
    pool.next_.store(0, std::memory_order_relaxed);
    pool.finished_.store(0, std::memory_order_relaxed);
    pool.started_.fetch_add(1, std::memory_order_release);
  }
  pool.wake_.notify_all();
  pool.take_tasks();
  while (pool.finished_.load(std::memory_order_acquire) != pool.workers_.size()) relax();
}

}  // namespace mae
