// The facts of a scan for the driver, and the two functions that a kernel exports.
#pragma once
#include "state.h"
#include "subnormals.h"

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
                                   nullptr};

MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) { schedule_scan(g, s); }
MS_EXPORT void ms_task(const ms_launch* g, ms_int phase, ms_int task) {
  [[maybe_unused]] const arithmetic_mode mode;
  run_scan(g, phase, task);
}
