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

}  // namespace ms
