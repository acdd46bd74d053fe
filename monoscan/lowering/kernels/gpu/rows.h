// A scan along rows that are contiguous in memory: a group walks one chunk of one row, tile by tile.
//
// A thread folds `steps` runs of `run` elements, a wave scans the runs of its lanes by shuffles, and every thread folds
// the totals of all waves: so each knows the carry, and a tile has one barrier, for tiles take turns at the places of
// totals. A lane without a left neighbour keeps its own value: nothing here needs an identity.
#pragma once
#include "gpu/guard.h"
#include "gpu/runs.h"

namespace ms {

enum { step_elements = width * run, wave_elements = step_elements * steps };

// What is known of a wave's step: each lane's run, and what comes before it in the wave.
struct wave_steps {
  state x[steps][run];
  prefix before[steps];
  state total;
};

// The first element of a lane's run, and how many elements of it exist.
INLINE i32 run_start(i32 first, position here, i32 step) {
  return first + (i32)here.wave * wave_elements + step * step_elements + (i32)here.lane * run;
}

template <class A>
INLINE void load_steps(A a, places at, i32 n, i32 end, i32 first, bool quads, position here, captures k,
                       LOCAL wave_steps* w) {
  UNROLL for (i32 step = 0; step < steps; ++step) {
    const i32 i = run_start(first, here, step);
    load_run(a, at, n, i, end - i, quads, k, w->x[step]);
  }
}
// Runs, then lanes, then steps.
INLINE void fold_steps(i32 end, i32 first, position here, captures k, LOCAL wave_steps* w) {
  prefix earlier = nothing();
  UNROLL for (i32 step = 0; step < steps; ++step) {
    const i32 i = run_start(first, here, step), left = end - (i - (i32)here.lane * run);
    fold_run(w->x[step], end - i, k);
    const state scanned = wave_scan(w->x[step][run - 1], here.lane, width, k);
    prefix own = just(up(scanned, 1));
    own.has = here.lane > 0;
    w->before[step] = chain(earlier, own, k);
    // The same for all lanes: of those that hold elements, the last one has the step's total.
    const i32 live = left >= step_elements ? width : (left + run - 1) / run;
    const state total = from(scanned, (u32)(live > 0 ? live - 1 : 0));
    if (step == 0) earlier = just(total);
    else if (live > 0) earlier = append(earlier, total, k);
  }
  w->total = earlier.value;
}
INLINE void finish_steps(prefix before, captures k, LOCAL wave_steps* w) {
  UNROLL for (i32 step = 0; step < steps; ++step) finish_run(w->x[step], chain(before, w->before[step], k), k);
}
INLINE bool any_step_spoilt(prefix before, i32 end, i32 first, position here, LOCAL const wave_steps* w) {
  bool found = false;
  UNROLL for (i32 step = 0; step < steps; ++step) found =
      found || any_spoilt(before, w->x[step], end - run_start(first, here, step));
  return found;
}
// What has no guard is finished step by step, in fewer registers.
template <class A>
INLINE void store_steps(A a, places at, i32 n, i32 end, i32 first, bool quads, prefix before, position here, captures k,
                        LOCAL wave_steps* w) {
  UNROLL for (i32 step = 0; step < steps; ++step) {
    const i32 i = run_start(first, here, step);
    if (!guarded) finish_run(w->x[step], chain(before, w->before[step], k), k);
    store_run(a, at, n, i, end - i, quads, k, w->x[step]);
  }
}

// The results of a tile whose waves have folded it, given what comes before it and behind it; what truly comes behind.
template <class A>
INLINE prefix finish_tile(A a, places at, i32 n, i32 end, i32 first, bool quads, bool shown, prefix carry,
                          prefix before, prefix behind, totals shared, u32 turn, position here, captures k,
                          LOCAL wave_steps* w) {
  if (guarded) {
    finish_steps(before, k, w);
    const bool mine = spoilt(carry, behind.value) || any_step_spoilt(carry, end, first, here, w);
    if (group_says(mine, shared, turn, here)) {
      const i32 last = first + tile < end ? first + tile : end;
      if (here.number == 0) put(shared, turn, in_order(a, at, n, first, last, want_results && shown, carry, k).value);
      BARRIER();
      return just(get(shared, turn));
    }
  }
  if (want_results && shown) store_steps(a, at, n, end, first, quads, before, here, k, w);
  return behind;
}
// A tile from its elements on; what comes behind it.
template <class A>
INLINE prefix one_tile(A a, places at, i32 n, i32 end, i32 first, bool quads, bool shown, prefix carry, totals shared,
                       u32 turn, position here, captures k) {
  wave_steps w;
  load_steps(a, at, n, end, first, quads, here, k, &w);
  fold_steps(end, first, here, k, &w);
  if (here.lane == 0) put(shared, turn + here.wave, w.total);
  BARRIER();
  prefix before = carry, behind = carry;
  UNROLL for (i32 wave = 0; wave < waves; ++wave) if (first + wave * wave_elements < end) {
    if (wave == (i32)here.wave) before = behind;
    behind = append(behind, get(shared, turn + (u32)wave), k);
  }
  return finish_tile(a, at, n, end, first, quads, shown, carry, before, behind, shared, turn, here, k, &w);
}

template <class A, class P> INLINE void rows(A a, P sizes, totals shared, position here) {
  if (here.group >= (u32)sizes[size_groups]) return;
  const u32 chunks = (u32)sizes[size_chunks];
  const i32 n = (i32)sizes[size_n];
  const chunk c = chunk_of(sizes, here.group % chunks);
  const places at = find(sizes, here.group / chunks, 0);
  if (last_only && !c.last) return;  // the rest of a fold is known
  const captures k = load_captures(a, sizes, at);
  const bool aligned = in_quads(a, at, reverse ? n : 0);
  const prefix seed = start(a, at, c);
  prefix carry = seed;
  chunk from = c;
  while (guarded && from.number > 0 && bad(carry)) {
    from = chunk_of(sizes, (u32)from.number - 1);
    carry = start(a, at, from);
  }
  u32 turn = 0;
  for (i32 first = from.begin; first < c.end; first += tile, turn ^= waves) {
    const bool quads = aligned && first + tile <= c.end;
    carry = one_tile(a, at, n, c.end, first, quads, first >= c.begin, carry, shared, turn, here, k);
    if (guarded && first < c.begin && is_lost(carry, seed)) {
      first = c.begin - tile;
      carry = seed;
    }
  }
  if (here.number == 0) leave(a, at, c, carry.value);
}

}  // namespace ms
