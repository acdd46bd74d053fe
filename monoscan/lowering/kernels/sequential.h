// A scalar loop in exact fold order, over any strides: the reference for the others.
#pragma once
#include "state.h"

bool fits(const ms_launch*) { return true; }
ms_int buffer_bytes(const ms_launch*) { return 0; }

// One column from its first step to its last; the carry stays in registers.
template <bool scanned> static void column(const piece& p, ms_int j) {
  constexpr ms_int down = reverse ? -1 : 1;
  captures k = {};
  captured_arrays::get(p, j, k);
  state c = {};
  element x = {};
  ms_int t = p.t0, at = reverse ? p.g->n - 1 - t : t;
  if (p.seeded) registers::get_one(p, j, c);
  else if (t < p.t1) {
    in::read(p, at, j, x), c = first(x, k);
    if (scanned) {
      if constexpr (inclusive) out::write(p, at, j, c);
      else if constexpr (has_identity) out::write(p, at, j, identity());
    }
    ++t, at += down;
  }
  for (; t < p.t1; ++t, at += down) {
    in::read(p, at, j, x);
    const state y = combine(c, x, k);
    if (scanned) out::write(p, at, j, inclusive ? y : c);
    c = y;
  }
  registers::put_one(p, j, c);
}
void span(const piece& p, bool scanned) {
  for (ms_int j = p.c0; j < p.c1; ++j) scanned ? column<true>(p, j) : column<false>(p, j);
}
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }
#include "launch.h"
