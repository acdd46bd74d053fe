#include "machine.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>
#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace shim {
namespace {

constexpr size_t STACK = 64 << 10;
constexpr int MOST_THREADS = 1024;

// ------------------------------------------------------------------ fibres
void enter();
#ifdef __x86_64__
struct context {
  void* stack_pointer;
};
extern "C" void shim_switch(void** from, void* to);
asm(R"(
.text
.type shim_switch,@function
shim_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size shim_switch,.-shim_switch
)");
void switch_to(context& from, context& to) { shim_switch(&from.stack_pointer, to.stack_pointer); }
void prepare(context& c, char* stack) {
  void** top = reinterpret_cast<void**>(stack + STACK - 64);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&enter);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  c.stack_pointer = top;
}
#else
struct context {
  ucontext_t saved;
};
void switch_to(context& from, context& to) { swapcontext(&from.saved, &to.saved); }
void prepare(context& c, char* stack) {
  getcontext(&c.saved);
  c.saved.uc_stack.ss_sp = stack;
  c.saved.uc_stack.ss_size = STACK;
  c.saved.uc_link = nullptr;
  makecontext(&c.saved, enter, 0);
}
#endif

enum class at { ready, barrier, shuffle, done };
// How many of each thread's publications are known, by the thread's number among all groups.
typedef std::map<u64, u64> knowledge;
struct fibre {
  context saved;
  at where;
  int site;  // which barrier, or which shuffle
  u64 mine, offered;
  knowledge known;
};
struct shared_block {
  std::vector<unsigned char> bytes;
  std::vector<shared_place> places;
};
struct resident_group {
  unsigned number;
  bool running = false;
  int interval;  // between barriers
  std::vector<fibre> fibres;
  std::map<int, shared_block> shared;
  char* stacks = nullptr;
};

// One launch runs at a time.
launch current;
context scheduler;
resident_group* here;
unsigned thread_here;
const char* failed;
u64 state;
u64 steps;                                             // of threads that got on: a pause is none
std::map<const void*, std::pair<u64, u64>> published;  // by whom, and as which of its publications
std::map<const void*, knowledge> released;

unsigned random() {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return unsigned(state >> 33);
}
fibre& self() { return here->fibres[thread_here]; }
void yield() { switch_to(self().saved, scheduler); }
void enter() {
  current.run(current.arrays, current.counts, current.written);
  self().where = at::done;
  yield();
}

void start(resident_group& g, unsigned number) {
  g.number = number;
  g.running = true;
  g.interval = 0;
  g.shared.clear();
  g.fibres.assign(current.threads, fibre{});
  if (!g.stacks)
    g.stacks = static_cast<char*>(mmap(nullptr, MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  for (unsigned i = 0; i < current.threads; ++i) prepare(g.fibres[i].saved, g.stacks + i * STACK);
}
void run_ready(resident_group& g) {
  std::vector<unsigned> order;
  for (unsigned i = 0; i < current.threads; ++i)
    if (g.fibres[i].where == at::ready) order.push_back(i);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  here = &g;
  for (unsigned i : order) {
    thread_here = i;
    switch_to(scheduler, g.fibres[i].saved);
    if (failed) return;
  }
}
void meet_wave(fibre* first, fibre* last) {
  const auto shuffling = std::count_if(first, last, [](fibre& f) { return f.where == at::shuffle; });
  if (!shuffling) return;
  if (std::any_of(first, last, [](fibre& f) { return f.where == at::ready; })) return;  // it waits for another group
  if (shuffling != last - first) {
    failed = "a shuffle that not all lanes of a wave come to";
    return;
  }
  for (fibre* f = first; f < last; ++f) {
    if (f->site != first->site) failed = "lanes of a wave at different shuffles";
    f->offered = f->mine;
    f->where = at::ready;
  }
  ++steps;
}
void meet_group(resident_group& g) {
  auto& fibres = g.fibres;
  const auto is = [&](at w) {
    return std::all_of(fibres.begin(), fibres.end(), [&](fibre& f) { return f.where == w; });
  };
  if (is(at::done)) g.running = false, ++steps;
  else if (is(at::barrier)) {
    for (fibre& f : fibres) {
      if (f.site != fibres[0].site) failed = "threads of a group at different barriers";
      f.where = at::ready;
    }
    ++g.interval, ++steps;
  } else if (std::none_of(fibres.begin(), fibres.end(), [](fibre& f) { return f.where == at::ready; }))
    failed = "a barrier that not all threads of a group come to";
}
// Every thread goes on to its next barrier or shuffle, or to the end.
void turn(resident_group& g) {
  run_ready(g);
  for (unsigned i = 0; i < current.threads && !failed; i += width)
    meet_wave(&g.fibres[i], &g.fibres[0] + std::min(i + width, current.threads));
  if (!failed) meet_group(g);
}

}  // namespace

unsigned group() { return here->number; }
unsigned thread() { return thread_here; }
void fault(const char* what) {
  failed = what;
  for (;;) yield();
}
void barrier(int line) {
  self().where = at::barrier;
  self().site = line;
  yield();
}
void pause() { yield(); }
u64 exchange(u64 mine, unsigned lane, int which) {
  fibre& f = self();
  f.mine = mine;
  f.where = at::shuffle;
  f.site = which;
  yield();
  return here->fibres[thread_here / width * width + lane % width].offered;
}

void* shared_memory(int name, i64 bytes, shared_place** places, i64 count) {
  shared_block& block = here->shared[name];
  if (block.bytes.empty()) {
    block.bytes.assign(size_t(bytes), 0xA5);
    block.places.assign(size_t(count), shared_place{-1, -1, -1, -1});
  }
  *places = block.places.data();
  return block.bytes.data();
}
void note_read(shared_place* p) {
  const int me = int(thread_here), now = here->interval;
  if (p->writer < 0) fault("a read of shared memory that nobody wrote");
  if (p->written == now && p->writer != me) fault("a race: a read after another thread's write, without a barrier");
  p->reader = p->read == now && p->reader != me ? -2 : me;
  p->read = now;
}
void note_write(shared_place* p) {
  const int me = int(thread_here), now = here->interval;
  if (p->writer >= 0 && p->written == now && p->writer != me) fault("a race: two writes without a barrier");
  if (p->read == now && p->reader != me) fault("a race: a write after another thread's read, without a barrier");
  p->writer = me;
  p->written = now;
}

// A thread's number among all groups.
static u64 me() { return u64(here->number) * MOST_THREADS + thread_here; }
unsigned flags::take(i64 i) const {
  if (i < 0 || i >= count) fault("a flag out of bounds");
  ++steps;
  return values[i]++;
}
void flags::release(i64 i) const {
  if (i < 0 || i >= count) fault("a flag out of bounds");
  if (values[i]) fault("a flag released twice");
  released[values + i] = self().known;
  values[i] = 1;
  ++steps;
  yield();  // others may see it at once
}
bool flags::acquired(i64 i) const {
  if (i < 0 || i >= count) fault("a flag out of bounds");
  if (!values[i]) return false;
  for (const auto& each : released[values + i]) {
    u64& own = self().known[each.first];
    own = std::max(own, each.second);
  }
  return true;
}
void note_publish(const void* place) { published[place] = {me(), ++self().known[me()]}; }
void note_collect(const void* place) {
  const auto found = published.find(place);
  if (found == published.end()) fault("a read of what no group has published");
  if (self().known[found->second.first] < found->second.second)
    fault("a read of what another group published, without its flag");
}

constexpr u64 STANDSTILL = 2000;  // turns in which nothing but pauses happened

const char* execute(const launch& l) {
  static std::vector<std::unique_ptr<resident_group>> residents;
  current = l;
  failed = nullptr;
  state = l.seed;
  published.clear();
  released.clear();
  while (residents.size() < l.resident) residents.push_back(std::make_unique<resident_group>());
  // Groups begin in any order.
  std::vector<unsigned> order(l.groups);
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  unsigned next = 0;
  u64 idle = 0;
  for (auto& g : residents) g->running = false;
  for (;;) {
    std::vector<resident_group*> running;
    for (unsigned i = 0; i < l.resident; ++i) {
      if (!residents[i]->running && next < l.groups) start(*residents[i], order[next++]);
      if (residents[i]->running) running.push_back(residents[i].get());
    }
    if (running.empty() || failed) return failed;
    // The first group that runs is starved until the others come to a standstill.
    const unsigned starved = l.starve && running.size() > 1 && idle < STANDSTILL / 2;
    const u64 before = steps;
    turn(*running[starved + random() % (running.size() - starved)]);
    idle = steps == before ? idle + 1 : 0;
    if (idle > STANDSTILL) return "no group gets on: they wait for one another";
  }
}

}  // namespace shim
