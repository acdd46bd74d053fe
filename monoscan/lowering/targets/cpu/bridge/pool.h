// The thread pool of the bridge: workers that spin for a bounded time and then park, and a
// caller that claims tasks itself, so that a launch never waits for a thread to wake up.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <system_error>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

#include "contract.h"

namespace monoscan {

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// True for some time after it was made, then false for good.
class Spin {
 public:
  explicit Spin(std::chrono::microseconds time = std::chrono::microseconds(50))
      : deadline_(std::chrono::steady_clock::now() + time) {}

  bool again() {
    for (int i = 0; i < 16; ++i) relax();
    return std::chrono::steady_clock::now() < deadline_;
  }

 private:
  std::chrono::steady_clock::time_point deadline_;
};

inline int machine_threads() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

class Pool {
 public:
  static constexpr int kMaxThreads = 256;

  int threads() const { return threads_.load(std::memory_order_relaxed); }
  void set_threads(int n) { threads_.store(std::clamp(n, 1, kMaxThreads), std::memory_order_relaxed); }
  long long dispatched() const { return dispatched_.load(std::memory_order_relaxed); }

  // Runs every task of one phase and returns when all are done. `joining` threads from
  // outside are about to call help.
  void run(ms_task_fn fn, const ms_launch* launch, ms_int phase, ms_int tasks, int joining = 0) {
    int helpers = static_cast<int>(std::min<ms_int>(threads() - 1, tasks - 1));
    Slot* slot = helpers > 0 && tasks < kMaxTasks ? acquire() : nullptr;
    if (slot == nullptr) {
      for (ms_int task = 0; task < tasks; ++task) fn(launch, phase, task);
      return;
    }
    dispatched_.fetch_add(1, std::memory_order_relaxed);
    slot->fn.store(fn, std::memory_order_relaxed);
    slot->launch.store(launch, std::memory_order_relaxed);
    slot->phase.store(phase, std::memory_order_relaxed);
    slot->tasks.store(tasks, std::memory_order_relaxed);
    slot->unfinished.store(static_cast<int>(tasks), std::memory_order_relaxed);
    slot->ticket.store(++slot->generation << 32 | static_cast<uint64_t>(tasks));
    wake(helpers - joining);
    while (claim(*slot)) {
    }
    await(*slot);
    slot->busy.store(false, std::memory_order_release);
  }

  // Runs the tasks that nobody has claimed, in any thread; whether there were any.
  bool help() {
    bool ran = false;
    for (Slot& slot : slots_) {
      while (open(slot) && claim(slot)) ran = true;
    }
    return ran;
  }

 private:
  static constexpr ms_int kMaxTasks = ms_int{1} << 30;

  // One parallel phase in flight. A worker may look at a slot at any time, so slots are
  // never freed and every field is atomic: what it read is good if its claim succeeds,
  // because the ticket carries the generation, and while a claimed task is unfinished the
  // owner cannot leave.
  struct alignas(64) Slot {
    std::atomic<bool> busy{false};
    std::atomic<uint64_t> ticket{0};  // generation << 32 | tasks nobody has claimed
    std::atomic<int> unfinished{0};
    std::atomic<ms_task_fn> fn{nullptr};
    std::atomic<const ms_launch*> launch{nullptr};
    std::atomic<ms_int> phase{0};
    std::atomic<ms_int> tasks{0};
    uint64_t generation = 0;  // the owner's alone
  };

  enum State : int { kSpinning, kParked, kRunning };

  struct alignas(64) Worker {
    std::atomic<int> state{kRunning};
  };

  Slot* acquire() {
    for (Slot& slot : slots_) {
      if (!slot.busy.load(std::memory_order_relaxed) && !slot.busy.exchange(true, std::memory_order_acquire)) {
        return &slot;
      }
    }
    return nullptr;
  }

  static bool open(const Slot& slot) { return static_cast<uint32_t>(slot.ticket.load()) != 0; }

  // Runs one task of the slot, if there is one that nobody has claimed.
  static bool claim(Slot& slot) {
    uint64_t ticket = slot.ticket.load();
    while (static_cast<uint32_t>(ticket) != 0) {
      ms_task_fn fn = slot.fn.load(std::memory_order_relaxed);
      const ms_launch* launch = slot.launch.load(std::memory_order_relaxed);
      ms_int phase = slot.phase.load(std::memory_order_relaxed);
      ms_int task = slot.tasks.load(std::memory_order_relaxed) - static_cast<uint32_t>(ticket);
      if (slot.ticket.compare_exchange_weak(ticket, ticket - 1)) {
        fn(launch, phase, task);
        if (slot.unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) slot.unfinished.notify_all();
        return true;
      }
    }
    return false;
  }

  static void await(Slot& slot) {
    Spin spin;
    int left;
    while ((left = slot.unfinished.load(std::memory_order_acquire)) != 0) {
      if (!spin.again()) slot.unfinished.wait(left, std::memory_order_acquire);
    }
  }

  // Sees to it that `helpers` workers are looking for work, those that still spin included.
  void wake(int helpers) {
    if (started_.load(std::memory_order_acquire) < helpers) start(helpers);
    int started = std::min(started_.load(std::memory_order_acquire), threads() - 1);
    for (int i = 0; i < started && helpers > 0; ++i) {
      int state = workers_[i].state.load();
      if (state == kRunning) continue;
      --helpers;
      if (state == kParked && workers_[i].state.exchange(kSpinning) == kParked) workers_[i].state.notify_one();
    }
  }

  void start(int wanted) {
    std::lock_guard<std::mutex> lock(start_mutex_);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals stay with Python's main thread
    for (int i = started_.load(std::memory_order_relaxed); i < wanted; ++i) {
      workers_[i].state.store(kSpinning);
      try {
        // Detached, and the pool is never freed: nothing to join at exit.
        std::thread([this, i] { work(i); }).detach();
      } catch (const std::system_error&) {
        break;  // out of threads: the caller runs what nobody else claims
      }
      started_.store(i + 1, std::memory_order_release);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  [[noreturn]] void work(int index) {
    for (;;) {
      Spin spin;
      do {
        if (work_once(index)) spin = Spin();
      } while (spin.again());
      park(index);
    }
  }

  bool work_once(int index) {
    if (index >= threads() - 1 || std::none_of(slots_.begin(), slots_.end(), open)) return false;
    workers_[index].state.store(kRunning, std::memory_order_relaxed);
    bool ran = help();
    workers_[index].state.store(kSpinning);
    return ran;
  }

  // The state is published before the slots are looked at once more, and a launch
  // publishes its ticket before it looks at the states: one of the two sees the other.
  void park(int index) {
    std::atomic<int>& state = workers_[index].state;
    state.store(kParked);
    if (index < threads() - 1 && std::any_of(slots_.begin(), slots_.end(), open)) state.store(kSpinning);
    while (state.load() == kParked) state.wait(kParked);
  }

  std::array<Slot, 16> slots_;
  std::array<Worker, kMaxThreads> workers_;
  std::atomic<int> threads_{1};
  std::atomic<int> started_{0};
  std::atomic<long long> dispatched_{0};
  std::mutex start_mutex_;
};

inline std::atomic<Pool*>& pool_pointer() {
  static std::atomic<Pool*> pointer{nullptr};
  return pointer;
}

inline Pool* make_pool() {
  Pool* pool = new Pool();
  const char* setting = std::getenv("MONOSCAN_NUM_THREADS");
  int wanted = setting == nullptr ? 0 : std::atoi(setting);
  pool->set_threads(wanted > 0 ? wanted : machine_threads());
  pool_pointer().store(pool);
  // The workers do not exist in a forked child: it starts over.
  pthread_atfork(nullptr, nullptr, [] {
    int threads = pool_pointer().load()->threads();
    Pool* fresh = new Pool();
    fresh->set_threads(threads);
    pool_pointer().store(fresh);
  });
  return pool;
}

inline Pool& pool() {
  static Pool* first = make_pool();
  (void)first;
  return *pool_pointer().load(std::memory_order_acquire);
}

}  // namespace monoscan
