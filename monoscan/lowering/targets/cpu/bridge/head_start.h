// MLX hands every evaluation to the stream's own thread, and waking that thread takes longer
// than a small scan (30 to 50 microseconds, measured). So when all inputs are there already,
// the thread that called eval starts at once, and the stream's thread helps once it is up.
#pragma once

#include <atomic>
#include <chrono>

#include "pool.h"

namespace monoscan {

// Where the two threads meet.
class HeadStart {
 public:
  // The stream's thread, in its turn: returns when the work is done.
  void join() {
    arrived_.store(true, std::memory_order_release);
    Spin spin;
    while (!done_.load(std::memory_order_acquire)) {
      if (pool().help()) {
        spin = Spin();
      } else if (!spin.again()) {
        done_.wait(false, std::memory_order_acquire);
      }
    }
  }

  // The caller, once `join` is queued.
  template <typename Work> void lead(Work&& work) {
    {
      Finish finish{done_};
      work();
    }
    wait();
  }

 private:
  // Lets the stream's thread go, also when the work throws.
  struct Finish {
    std::atomic<bool>& done;
    ~Finish() {
      done.store(true, std::memory_order_release);
      done.notify_one();
    }
  };

  bool arrives() const {
    Spin spin(std::chrono::microseconds(60));
    while (!arrived_.load(std::memory_order_acquire)) {
      if (!spin.again()) return false;
    }
    return true;
  }

  // Where the stream has other work, or no core of its own, fewer and fewer starts wait.
  void wait() const {
    int skip = skip_.load(std::memory_order_relaxed);
    if (skip > 0) return skip_.store(skip - 1, std::memory_order_relaxed);
    int late = arrives() ? 0 : std::min(late_.load(std::memory_order_relaxed) + 1, 6);
    late_.store(late, std::memory_order_relaxed);
    skip_.store(late == 0 ? 0 : 1 << late, std::memory_order_relaxed);
  }
  static inline std::atomic<int> skip_{0};
  static inline std::atomic<int> late_{0};

  std::atomic<bool> arrived_{false};
  std::atomic<bool> done_{false};
};

}  // namespace monoscan
