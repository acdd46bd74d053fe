// A scan across rows of columns: a lane walks a column, a wave a run of steps, a group tile after tile of one chunk.
//
// Columns lie side by side over all outer axes, 32 to a group. Every wave folds the totals of all waves, per lane: no
// shuffles, one barrier a tile, for tiles take turns at the places of totals.
#pragma once
#include "gpu/guard.h"
#include "gpu/runs.h"

namespace ms {

// Whether a wave says so of a lane's column.
INLINE bool column_says(bool mine, totals shared, u32 turn, position here) {
#ifdef VOTES
  shared.votes[(turn + here.wave) * width + here.lane] = mine;
  BARRIER();
  for (u32 wave = 0; wave < waves; ++wave) mine = mine || shared.votes[(turn + wave) * width + here.lane] != 0;
#endif
  return mine;
}

template <class A, class P> INLINE void columns(A a, P sizes, totals shared, position here) {
  if (here.group >= (u32)sizes[size_groups]) return;
  const u32 chunks = (u32)sizes[size_chunks], inner = (u32)sizes[size_inner];
  const u32 column = here.group / chunks * width + here.lane;
  const bool exists = column < (u32)sizes[size_rows] * inner;
  const u32 outer = exists ? column / inner : 0;
  const i32 n = (i32)sizes[size_n];
  const chunk c = chunk_of(sizes, here.group % chunks);
  const places at = find(sizes, outer, exists ? column % inner : 0);
  if (last_only && !c.last) return;  // the rest of a fold is known
  const captures k = load_captures(a, sizes, at);
  const prefix seed = start(a, at, c);
  prefix carry = seed;
  chunk from = c;
  while (guarded && from.number > 0 && any_of(exists && bad(carry), here.lane, width)) {
    from = chunk_of(sizes, (u32)from.number - 1);
    carry = start(a, at, from);
  }
  u32 turn = 0;
  for (i32 first = from.begin; first < c.end; first += tile, turn ^= waves) {
    const i32 i = first + (i32)here.wave * run, count = exists ? c.end - i : 0;
    const bool shown = want_results && first >= c.begin;
    state x[run];
    load_run(a, at, n, i, count, false, k, x);
    fold_run(x, count, k);
    if (c.end - i > 0) put(shared, (turn + here.wave) * width + here.lane, x[run - 1]);
    BARRIER();
    prefix before = carry, behind = carry;
    UNROLL for (i32 wave = 0; wave < waves; ++wave) if (first + wave * run < c.end) {
      if (wave == (i32)here.wave) before = behind;
      behind = append(behind, get(shared, (turn + (u32)wave) * width + here.lane), k);
    }
    if (finishes) finish_run(x, before, k);
    bool again = false;
    if (guarded) {
      const bool mine = exists && (spoilt(carry, behind.value) || any_spoilt(carry, x, count));
      again = column_says(mine, shared, turn, here);
      // Every wave sees all columns: the group agrees that it meets here.
      if (any_of(again, here.lane, width)) {
        const i32 last = first + tile < c.end ? first + tile : c.end;
        if (again && here.wave == 0)
          put(shared, turn * width + here.lane, in_order(a, at, n, first, last, shown, carry, k).value);
        BARRIER();
        if (again) behind = just(get(shared, turn * width + here.lane));
      }
    }
    if (shown && !again) store_run(a, at, n, i, count, false, k, x);
    carry = behind;
    if (guarded && first < c.begin && !any_of(exists && !is_lost(carry, seed), here.lane, width)) {
      first = c.begin - tile;
      carry = seed;
    }
  }
  if (here.wave == 0 && exists) leave(a, at, c, carry.value);
}

}  // namespace ms
