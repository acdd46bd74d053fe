// A scan along short rows that are contiguous in memory: a few lanes of a wave walk a row, a run of elements each.
//
// No memory is shared and no barrier is met. Lanes without a row take part in the shuffles of the others.
#pragma once
#include "gpu/guard.h"
#include "gpu/runs.h"

namespace ms {

template <class A, class P> INLINE void short_rows(A a, P sizes, position here) {
  const u32 row = here.group * (width * waves / lanes_a_row) + here.number / lanes_a_row;
  const bool exists = row < (u32)sizes[size_rows];
  const u32 place_in_row = here.lane % lanes_a_row;
  const i32 n = (i32)sizes[size_n], i = (i32)place_in_row * run, count = exists ? n - i : 0;
  const chunk c = chunk_of(sizes, 0);
  const places at = find(sizes, exists ? row : 0, 0);
  const captures k = load_captures(a, sizes, at);
  const bool quads = i + run <= n && in_quads(a, at, reverse ? n : 0) && exists;
  state x[run];
  load_run(a, at, n, i, count, quads, k, x);
  fold_run(x, count, k);
  prefix own = just(up(wave_scan(x[run - 1], place_in_row, lanes_a_row, k), 1));
  own.has = place_in_row > 0;
  const prefix first = start(a, at, c), before = chain(first, own, k);
  // The carry is the last element's inclusive result, of whoever holds that.
  const state last = after(before, x[run - 1], k);
  const bool holds_last = i < n && n <= i + run;
  if (finishes) finish_run(x, before, k);
  if (guarded) {
    const bool mine = any_spoilt(first, x, count) || (holds_last && spoilt(first, last));
    if (any_of(mine && exists, here.lane, lanes_a_row)) {
      if (exists && place_in_row == 0) leave(a, at, c, in_order(a, at, n, 0, n, want_results, first, k).value);
      return;
    }
  }
  if (!exists) return;
  if (holds_last) leave(a, at, c, last);
  if (want_results) store_run(a, at, n, i, count, quads, k, x);
}

}  // namespace ms
