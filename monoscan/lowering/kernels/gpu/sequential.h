// States one after another: a lane walks a row or a column in fold order, the rows side by side.
//
// Elements act on states, and are never combined. Some of them are read ahead, which waits for memory once for all. The
// generated text gives BEGINS where the first element begins the state.
#pragma once
#include "gpu/elements.h"

namespace ms {

INLINE state acted(prefix before, element x, captures k) {
#ifdef BEGINS
  if (!before.has) return operation::begin(x, k);
#endif
  return operation::combine(before.value, x, k);
}

template <class A, class P> INLINE void sequential(A a, P sizes, position here) {
  const u32 inner = (u32)sizes[size_inner], column = here.group * (width * waves) + here.number;
  if (column >= (u32)sizes[size_rows] * inner) return;
  const i32 n = (i32)sizes[size_n];
  const places at = find(sizes, column / inner, column % inner);
  const captures k = load_captures(a, sizes, at);
  const chunk c = chunk_of(sizes, 0);
  prefix before = start(a, at, c);
  if (!before.has) before.value = state();  // of leaves that no step reads
  for (i32 first = 0; first < n; first += run) {
    element x[run];
    UNROLL for (i32 v = 0; v < run; ++v) if (first + v < n) x[v] = load(a, at, n, first + v, k);
    UNROLL for (i32 v = 0; v < run; ++v) if (first + v < n) {
      const state after = acted(before, x[v], k);
      if (want_results) store(a, at, n, first + v, inclusive ? after : before.value, k);
      before = just(after);
    }
  }
  leave(a, at, c, before.value);
}

}  // namespace ms
