// A scan across rows of columns: a lane walks a column, a wave a run of steps, a group tile after tile of one chunk.
//
// Columns lie side by side over all outer axes, 32 to a group. Every wave folds the totals of all waves, per lane: no
// shuffles, one barrier a tile, for tiles take turns at the places of totals.
#pragma once
#include "gpu/runs.h"

namespace ms {

template <class A, class P> INLINE void columns(A a, P sizes, totals shared, position here) {
  if (here.group >= (u32)sizes[size_groups]) return;
  const u32 chunks = (u32)sizes[size_chunks], inner = (u32)sizes[size_inner];
  const u32 column = here.group / chunks * width + here.lane;
  const bool exists = column < (u32)sizes[size_rows] * inner;
  const u32 outer = exists ? column / inner : 0;
  const i32 n = (i32)sizes[size_n];
  const chunk c = chunk_of(sizes, here.group % chunks);
  const places at = find(sizes, outer, exists ? column % inner : 0);
  const captures k = load_captures(a, sizes, at);
  prefix carry = start(a, at, c);
  u32 turn = 0;
  for (i32 first = c.begin; first < c.end; first += tile, turn ^= waves) {
    const i32 i = first + (i32)here.wave * run, count = c.end - i;
    state x[run];
    load_run(a, at, n, i, exists ? count : 0, false, k, x);
    fold_run(x, count, k);
    if (count > 0) put(shared, (turn + here.wave) * width + here.lane, x[run - 1]);
    BARRIER();
    prefix before = carry;
    UNROLL for (i32 wave = 0; wave < waves; ++wave) if (first + wave * run < c.end) {
      if (wave == (i32)here.wave) before = carry;
      carry = append(carry, get(shared, (turn + (u32)wave) * width + here.lane), k);
    }
    if (want_results) {
      finish_run(x, before, k);
      store_run(a, at, n, i, exists ? count : 0, false, k, x);
    }
  }
  if (here.wave == 0 && exists) leave(a, at, c, carry.value);
}

}  // namespace ms
