// MLX hands every evaluation to the stream's own thread, and waking that thread takes longer
// than a small scan (30 to 50 microseconds, measured). So when all inputs are there already,
// the thread that called eval starts at once, and the stream's thread helps once it is up.
#pragma once

#include <atomic>
#include <chrono>

#include "bridge_pool.h"

namespace monoscan {

// Where the two threads meet. The stream's thread must not go back to sleep before MLX has
// queued what follows, nor the caller fall asleep before the stream's thread has seen it.
class HeadStart {
 public:
  // The stream's thread, in its turn: returns when the work is done.
  void join() {
    arrived_.store(true, std::memory_order_release);
    expected().fetch_sub(1, std::memory_order_relaxed);
    Spin spin;
    while (!done_.load(std::memory_order_acquire)) {
      if (pool().help()) {
        spin = Spin();
      } else if (!spin.again()) {
        done_.wait(false, std::memory_order_acquire);
      }
    }
    Spin linger(std::chrono::microseconds(3));
    while (linger.again()) {
    }
  }

  // The caller, once `join` is queued. It does not wait for a stream that has other work.
  template <typename Work>
  void lead(Work&& work) {
    bool busy = expected().fetch_add(1, std::memory_order_relaxed) > 0;
    Finish finish{*this};
    work();
    Spin spin;
    while (!busy && !arrived_.load(std::memory_order_acquire) && spin.again()) {
    }
  }

 private:
  // Lets the stream's thread go, also when the work throws.
  struct Finish {
    HeadStart& meeting;
    ~Finish() {
      meeting.done_.store(true, std::memory_order_release);
      meeting.done_.notify_one();
    }
  };

  // How many meetings no stream's thread has come to yet.
  static std::atomic<int>& expected() {
    static std::atomic<int> count{0};
    return count;
  }

  std::atomic<bool> arrived_{false};
  std::atomic<bool> done_{false};
};

}  // namespace monoscan
