// The facts of a scan for the driver, and the two functions that a kernel exports.
#pragma once
#include "state.h"
#include "subnormals.h"

// Which of the carried leaves an array of results shows.
constexpr int carried_at(int offset) {
  for (int i = 0; i < (int)(sizeof carried / sizeof *carried); ++i)
    if (carried[i].offset == offset) return i;
  return -1;
}
template <class... L> constexpr int carried_by(int output, lanes<L...>) {
  int found = -1;
  ((L::output == output&& L::carried ? found = carried_at(L::offset) : 0), ...);
  return found;
}
template <int... output> struct shown_by {
  static constexpr int at[] = {carried_by(output, registers())..., -1};
};
template <int... output> constexpr const int* shown_of(seq<output...>) { return shown_by<output...>::at; }

extern const kernel_facts facts = {reverse,
                                   want_results,
                                   can_part,
                                   guarded,
                                   turns,
                                   W,
                                   arity,
                                   inputs,
                                   outputs,
                                   states,
                                   states,
                                   carry_bytes,
                                   result_bytes,
                                   nanoseconds,
                                   first_part,
                                   second_part,
                                   {in::facts, in::count, in::bytes},
                                   {out::facts, out::count, out::bytes},
                                   {captured_arrays::facts, captured_arrays::count, captured_arrays::bytes},
                                   carried,
                                   sizeof carried / sizeof *carried,
                                   shown_of(upto<outputs>()),
                                   nullptr,
                                   inclusive};

MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) { schedule_scan(g, s); }
MS_EXPORT void ms_task(const ms_launch* g, ms_int phase, ms_int task) {
  [[maybe_unused]] const arithmetic_mode mode;
  run_scan(g, phase, task);
}
