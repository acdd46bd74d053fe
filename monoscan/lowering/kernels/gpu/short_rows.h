// A scan along short rows that are contiguous in memory: a few lanes of a wave walk a row, a run of elements each.
//
// No memory is shared and no barrier is met. Lanes without a row take part in the shuffles of the others.
#pragma once
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
  if (!exists) return;
  const prefix before = chain(start(a, at, c), own, k);
  // The carry is the last element's inclusive result, of whoever holds that.
  if (i < n && n <= i + run) leave(a, at, c, after(before, x[run - 1], k));
  if (want_results) {
    finish_run(x, before, k);
    store_run(a, at, n, i, count, quads, k, x);
  }
}

}  // namespace ms
