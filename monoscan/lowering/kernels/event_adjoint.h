// The adjoint of a scan of wide elements: it walks back over the steps of one row after the other.
//
// The generated text gives `operation::prepare`, which puts constants into memory, `operation::combine`, from both
// operands of a step and the cotangents of what it yields to those of its left operand, in the place of the former, and
// the gradients; and lists of leaves: `rights`, `lefts`, `weights` and `captured_arrays`, what it reads; `ends` and
// `states_before`, where it starts and what was before the first element; `out`, the gradients, and `copied`, those of
// the first element, which is the state itself; `totals`, the sums over all steps of those of captured arrays.
#pragma once
#include "event_lists.h"
#include "subnormals.h"

template <class Operation> static void row(const piece& p, ms_int j) {
  u8* const memory = p.buffer;
  const ms_int n = p.g->n, down = reverse ? -1 : 1, late = inclusive ? 0 : down, before = shifted ? down : 0;
  Operation::prepare(memory, p.g->numbers);
  captured_arrays::take(p, 0, j, memory), ends::take_init(p, j, memory);
  Operation::once(memory);
  ms_int at = reverse ? 0 : n - 1;
  for (ms_int t = n; t-- > 0; at -= down) {
    if (inclusive || t + 1 < n) weights::add(p, at + late, j, memory);
    if (t == 0 && !seeded) {
      copied::give(p, at, j, memory);
      break;
    }
    rights::take(p, at, j, memory);
    if (t > 0 || !shifted) lefts::take(p, at - before, j, memory);
    else states_before::take_init(p, j, memory);
    Operation::combine(memory);
    out::give(p, at, j, memory);
  }
  if constexpr (seeded) {
    if (!inclusive) weights::add(p, at + late, j, memory);
    ends::give_carry(p, j, memory);
  }
  totals::give_carry(p, j, memory);
}
void span(const piece& p, bool) {
  each_row(p, [&](ms_int j) { row<operation>(p, j); });
}
bool fits(const ms_launch*) { return true; }
ms_int buffer_bytes(const ms_launch*) { return memory_bytes; }
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }

static constexpr adjoint_facts own = {shifted,
                                      inclusive,
                                      seeded,
                                      0,
                                      {},
                                      {},
                                      event_facts<weights>::list,
                                      {},
                                      event_facts<out>::list,
                                      event_facts<ends>::list,
                                      {},
                                      event_facts<totals>::list,
                                      numbers_among(weights(), ends())};
extern const kernel_facts facts = {reverse, true,  false,   false,   false, W,           0,   inputs,
                                   outputs, inits, carries, 0,       0,     nanoseconds, 0,   0,
                                   {},      {},    {},      nullptr, 0,     nullptr,     &own};
MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) { schedule_events(g, s); }
MS_EXPORT void ms_task(const ms_launch* g, ms_int, ms_int task) {
  [[maybe_unused]] const arithmetic_mode mode;
  run_events(g, task);
}
