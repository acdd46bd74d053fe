// Folds of states that are combined: after what comes before them, along the lanes of a wave, along a run.
#pragma once
#include "gpu/state.h"

namespace ms {

INLINE state after(prefix p, state x, captures k) {
  if (p.has) x = operation::combine(p.value, x, k);
  return x;
}
INLINE prefix append(prefix p, state x, captures k) { return just(after(p, x, k)); }
// What comes before the second: the first, then the second, where there are any.
INLINE prefix chain(prefix first, prefix second, captures k) {
  if (second.has) first = append(first, second.value, k);
  return first;
}
// The state where there is none yet: of an exclusive scan's first element.
INLINE state or_identity(prefix p) {
#ifdef IDENTITY
  if (!p.has) p.value = operation::identity();
#endif
  return p.value;
}

// An inclusive scan over `lanes` neighbouring lanes of a wave, of which this is the `place`-th.
INLINE state wave_scan(state x, u32 place, u32 lanes, captures k) {
  UNROLL for (u32 distance = 1; distance < lanes; distance *= 2) {
    const state left = up(x, distance);
    if (place >= distance) x = operation::combine(left, x, k);
  }
  return x;
}

// `run` neighbouring elements, of which the first `count` exist, folded from left to right in place; a run that ends
// early keeps its last value.
INLINE void fold_run(LOCAL state* x, i32 count, captures k) {
  UNROLL for (i32 v = 1; v < run; ++v) {
    state y = x[v - 1];
    if (v < count) y = operation::combine(y, x[v], k);
    x[v] = y;
  }
}
// The results of a folded run, in place, given what comes before it.
INLINE void finish_run(LOCAL state* x, prefix before, captures k) {
  if (inclusive) {
    UNROLL for (i32 v = 0; v < run; ++v) x[v] = after(before, x[v], k);
  } else {
    UNROLL for (i32 v = run - 1; v > 0; --v) x[v] = after(before, x[v - 1], k);
    x[0] = or_identity(before);
  }
}

}  // namespace ms
