// The loop for wide elements, in fold order: one row after the other with the lanes of an element in vectors, or W rows
// at once.
//
// The generated text gives `operation::prepare`, which puts constants into memory, `operation::combine`, from the
// arrays of both operands in memory to that of the left one, and lists of leaves: `first` and `in`, what elements
// become the left and the right operand of; `out`, what is wanted of the left one; `neutral`, what stands there first
// if it is the identity; `state`, all that is carried, and `held`, what of
// it goes on from one step to the next. Where elements act on states and the first one begins them,
// `operation::begin` makes the left operand of what is read of `first`.
#pragma once
#include "event_lists.h"
#include "subnormals.h"

// Steps before an element is needed that it is sent for: where there are many rows those of one lie far apart.
constexpr int AHEAD = 2;

// One row from its first step to its last.
template <class Operation> static void row(const piece& p, ms_int j) {
  u8* const memory = p.buffer;
  const ms_int n = p.g->n, down = reverse ? -1 : 1;
  ms_int t = 0, at = reverse ? n - 1 : 0;
  Operation::prepare(memory, p.g->numbers);
  captured_arrays::take(p, 0, j, memory);
  Operation::once(memory);
  if (p.g->has_init) state::take_init(p, j, memory);
  else if (n > 0) {
    first::take(p, at, j, memory);
    if constexpr (begins) Operation::begin(memory, p.g->numbers);
    if constexpr (inclusive) out::give(p, at, j, memory);
    else if constexpr (has_identity) {
      Operation::identity(memory);
      neutral::give(p, at, j, memory);
    }
    ++t, at += down;
  }
  for (; t < n; ++t, at += down) {
    in::fetch<false>(p, p.g->inputs, p.in, at + AHEAD * down, j);
    out::fetch<true>(p, p.g->outputs, p.out, at + AHEAD * down, j);
    in::take(p, at, j, memory);
    if constexpr (!inclusive) out::give(p, at, j, memory);
    Operation::combine(memory);
    if constexpr (inclusive) out::give(p, at, j, memory);
  }
  if (p.g->want_carry) state::give_carry(p, j, memory);
}
void span(const piece& p, bool) {
  each_row(p, [&](ms_int j) { row<operation>(p, j); });
}
bool fits(const ms_launch* g) { return in::fit(g) && captured_arrays::fit(g); }
ms_int buffer_bytes(const ms_launch*) { return memory_bytes; }
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }

// Results that do not count repeat the states that are held, and none of those that are only shown.
template <class... Leaf> struct shown_by {
  static constexpr int at[] = {(same_place<false, Leaf>(held()) < 0 ? -1 : same_place<false, Leaf>(state()))..., -1};
};
template <class... Leaf> constexpr const int* shown_of(event_list<Leaf...>) { return shown_by<Leaf...>::at; }
extern const kernel_facts facts = {reverse,
                                   want_results,
                                   false,
                                   false,
                                   false,
                                   W,
                                   0,
                                   inputs,
                                   outputs,
                                   states,
                                   states,
                                   0,
                                   0,
                                   nanoseconds,
                                   0,
                                   0,
                                   {},
                                   event_facts<out>::list,
                                   {},
                                   event_facts<state>::carried,
                                   event_facts<state>::list.count,
                                   shown_of(out()),
                                   nullptr};
MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) {
  if (fits(g)) schedule_events(g, s);
  else s->phases = 0;
}
MS_EXPORT void ms_task(const ms_launch* g, ms_int, ms_int task) {
  [[maybe_unused]] const arithmetic_mode mode;
  run_events(g, task);
}
