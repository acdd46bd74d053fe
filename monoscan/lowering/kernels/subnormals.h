// Results of arithmetic below the smallest normal number become zero where the processor is slow with them: on x86,
// where each costs a hundred cycles and more, and a product of gates that underflows stays there for ever.
//
// The generated text defines MS_FLUSH. One bit of the processor serves floats and doubles. It spares operands:
// comparisons, selections and extremes keep what they are given.
#pragma once
#include "scalar.h"

#if MS_FLUSH && defined(__SSE__)
#define MS_FLUSHES
// For the time of a task, in whatever thread runs it.
struct arithmetic_mode {
  unsigned before = __builtin_ia32_stmxcsr();
  arithmetic_mode() { __builtin_ia32_ldmxcsr(before | 0x8000); }
  ~arithmetic_mode() { __builtin_ia32_ldmxcsr(before); }
};
#else
struct arithmetic_mode {};
#endif
