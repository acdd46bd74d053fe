// The loop for wide elements: one row after the other in fold order, the lanes of an element in vectors.
//
// The generated text gives `operation::combine`, from the arrays of both operands in memory to that of the left one,
// and lists of leaves: `first` and `in`, what elements become the left and the right operand of; `out`, what is wanted
// of the left one; `neutral`, what stands there first if it is the identity; `state`, all that is carried.
#pragma once
#include "event_lists.h"
#include "subnormals.h"

// One row from its first step to its last.
template <class Operation> static void row(const piece& p, ms_int j) {
  u8* const memory = p.buffer;
  const ms_int n = p.g->n, down = reverse ? -1 : 1;
  ms_int t = 0, at = reverse ? n - 1 : 0;
  captured_arrays::take(p, 0, j, memory);
  if (p.g->has_init) state::take_init(p, j, memory);
  else if (n > 0) {
    first::take(p, at, j, memory);
    if constexpr (inclusive) out::give(p, at, j, memory);
    else if constexpr (has_identity) {
      Operation::identity(memory);
      neutral::give(p, at, j, memory);
    }
    ++t, at += down;
  }
  for (; t < n; ++t, at += down) {
    in::take(p, at, j, memory);
    if constexpr (!inclusive) out::give(p, at, j, memory);
    Operation::combine(memory);
    if constexpr (inclusive) out::give(p, at, j, memory);
  }
  if (p.g->want_carry) state::give_carry(p, j, memory);
}
void span(const piece& p, bool) {
  for (ms_int j = p.c0; j < p.c1; ++j) row<operation>(p, j);
}
bool fits(const ms_launch*) { return true; }
ms_int buffer_bytes(const ms_launch*) { return memory_bytes; }
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }

extern const kernel_facts facts = {reverse, want_results, false, false, W,  arity, inputs, outputs, arity, arity, 0,
                                   0,       nanoseconds,  0,     0,     {}, {},    {},     nullptr, 0};
MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) { schedule_rows(g, s); }
MS_EXPORT void ms_task(const ms_launch* g, ms_int, ms_int task) {
  [[maybe_unused]] const arithmetic_mode mode;
  run_rows(g, task);
}
