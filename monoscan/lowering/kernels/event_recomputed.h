// The adjoint of an act on wide states that makes its states again, and sums what was spread out as it goes.
//
// A row at a time, or W of them: a walk ahead notes the state before each tile of steps, then tile after tile is walked
// ahead once more from there, into a buffer that caches hold, and back. What columns, rows or steps share gets its
// cotangents summed here: over W rows by trees, over steps in memory, over blocks of rows in the array itself. The
// generated text gives `operation`, as for an adjoint whose states are given, and `ahead`, the step itself, behind it
// in the same memory; and lists of leaves: what `ahead` reads (`elements_ahead`, `captured_ahead`, `first_state`), what
// `operation` reads (`elements`, `weights`, `captured_arrays`, `ends`) and yields (`stored`, `summed`, `totals`);
// `kept`, the arrays of a state.
#pragma once
#include "event_lists.h"
#include "subnormals.h"

static ms_int tile_of(ms_int n) {
  ms_int steps = 16;
  while (steps * steps < n) steps *= 2;
  return least(steps, n);
}
static ms_int tile_count(ms_int n) { return (n + tile_of(n) - 1) / tile_of(n); }

template <class Operation, class Ahead> struct walker {
  const piece& p;
  const ms_int j, n, steps, late;
  u8 *const memory, *const before, *const states;
  walker(const piece& q, ms_int column)
      : p(q),
        j(column),
        n(q.g->n),
        steps(tile_of(n)),
        late(inclusive ? 0
             : reverse ? -1
                       : 1),
        memory(q.buffer),
        before(memory + memory_bytes),
        states(before + tile_count(n) * kept::bytes) {}

  ms_int place(ms_int t) const { return reverse ? n - 1 - t : t; }
  void prepare() const {
    Operation::prepare(memory, p.g->numbers);
    Ahead::prepare(memory + ahead_bytes, (const u8*)p.g->numbers + ahead_numbers);
    captured_arrays::take(p, 0, j, memory), captured_ahead::take(p, 0, j, memory);
    Operation::once(memory), Ahead::once(memory + ahead_bytes);
    first_state::take_init(p, j, memory), ends::take_init(p, j, memory);
  }
  void step(ms_int t) const {
    elements_ahead::take(p, place(t), j, memory);
    Ahead::combine(memory + ahead_bytes);
  }
  void back(ms_int t, const u8* state) const {
    const ms_int at = place(t);
    if (inclusive || t + 1 < n) weights::add(p, at + late, j, memory);
    elements::take(p, at, j, memory), kept::show(memory, state);
    Operation::combine(memory);
    stored::give(p, at, j, memory), summed::give_sum(p, at, j, memory);
  }
  void tile(ms_int first, ms_int last) const {
    for (ms_int t = first; t < last; ++t) {
      kept::note(memory, states + (t - first) * kept::bytes);
      if (t + 1 < last) step(t);
    }
    for (ms_int t = last; t-- > first;) back(t, states + (t - first) * kept::bytes);
    totals::give_sum(p, 0, j, memory), Operation::clear(memory);
  }
  void run() const {
    const ms_int tiles = tile_count(n);
    prepare();
    for (ms_int k = 0; k < tiles; ++k) {
      kept::note(memory, before + k * kept::bytes);
      if (k + 1 < tiles)
        for (ms_int t = k * steps; t < (k + 1) * steps; ++t) step(t);
    }
    for (ms_int k = tiles; k-- > 0;) {
      kept::resume(memory, before + k * kept::bytes);
      tile(k * steps, least(n, (k + 1) * steps));
    }
    if constexpr (!inclusive) weights::add(p, place(0), j, memory);
    ends::give_carry(p, j, memory);
  }
};

static ms_int tables_at(const ms_launch* g) { return memory_bytes + (tile_count(g->n) + tile_of(g->n)) * kept::bytes; }
void span(const piece& p, bool) {
  __builtin_memset(p.buffer, 0, memory_bytes);  // some arrays are zero for ever
  each_block(p, (ms_int*)(p.buffer + tables_at(p.g)),
             [](const piece& q, ms_int j) { walker<operation, ahead>(q, j).run(); });
}
bool fits(const ms_launch* g) { return elements::fit(g) && captured_arrays::fit(g); }
ms_int buffer_bytes(const ms_launch* g) { return tables_at(g) + table_bytes(inputs + outputs + inits + carries); }
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }

template <class... A, class... B> constexpr leaf_list all_sums(event_list<A...>, event_list<B...>) {
  return event_facts<event_list<A..., B...>>::list;
}
extern const kernel_facts facts = {reverse, true,        false,   false,   false,   rows_of_block,
                                   0,       inputs,      outputs, inits,   carries, 0,
                                   0,       nanoseconds, 0,       0,       {},      all_sums(summed(), totals()),
                                   {},      nullptr,     0,       nullptr, nullptr};
MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) {
  if (fits(g)) schedule_summed(g, s);
  else s->phases = 0;
}
MS_EXPORT void ms_task(const ms_launch* g, ms_int phase, ms_int task) {
  [[maybe_unused]] const arithmetic_mode mode;
  run_summed(g, phase, task);
}
