// The state of a scan in registers, in shuffles, and in the memory that a group shares.
//
// The generated text gives `operation`, and LANES(each): each(type, member) for every lane of its state.
#pragma once

namespace ms {

enum { width = 32 };  // the lanes of a wave

typedef operation::state state;
typedef operation::captures captures;

// Where a thread stands.
struct position {
  u32 group, number, lane, wave;
};

// The state of the lane `distance` below or above, and of any lane; every lane of the wave must come along.
#define UP(T, s) y.s = shuffle_up(v.s, distance);
INLINE state up(state v, u32 distance) {
  state y;
  LANES(UP)
  return y;
}
#define FROM(T, s) y.s = shuffle(v.s, lane);
INLINE state from(state v, u32 lane) {
  state y;
  LANES(FROM)
  return y;
}

#define DOWN(T, s) y.s = shuffle_down(v.s, distance);
INLINE state down(state v, u32 distance) {
  state y;
  LANES(DOWN)
  return y;
}

// States that threads of a group leave for one another, each lane in an array of its own; and where they vote, if they
// do.
#define MEMBER(T, s) SHARED_POINTER(T) s;
struct totals {
  LANES(MEMBER)
#ifdef VOTES
  SHARED_POINTER(i32) votes;
#endif
};
#define PUT(T, s) t.s[i] = v.s;
INLINE void put(totals t, u32 i, state v){LANES(PUT)}
#define GET(T, s) v.s = t.s[i];
INLINE state get(totals t, u32 i) {
  state v;
  LANES(GET)
  return v;
}

// What comes before: nothing, or a state. No identity is ever combined.
struct prefix {
  state value;
  bool has;
};
INLINE prefix nothing() {
  prefix p;
  p.has = false;
  return p;
}
INLINE prefix just(state x) {
  prefix p;
  p.value = x;
  p.has = true;
  return p;
}
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
