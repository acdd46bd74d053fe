// Folds of W elements from each place of a row on, by doubling, vector after vector: a fold of 2 d elements is one of d
// before the one d places on. What is left of a size comes out on the way, by its bits.
#pragma once
#include "window_states.h"

template <int d> static constexpr int levels = 1 + levels<d / 2>;
template <> constexpr int levels<1> = 0;
static constexpr int AHEAD = levels<W>;  // vectors that folds of W elements wait for

// Lane by lane: a copy of the whole goes through memory, where scalars stand beside vectors.
INLINE void set(state& to, const state& from) { take_lanes(to, from, registers()), same_lanes::take(to, from); }

template <int by, class... L, int... i>
INLINE void shift(state& to, const state& a, const state& b, lanes<L...>, seq<i...>) {
  ((to.*L::member = permute(a.*L::member, b.*L::member, seq<by + i...>())), ...);
}
// So many places on: `b` stands behind `a`, and shares with it what all folds of as many elements share.
template <int by> INLINE state shifted(const state& a, const state& b) {
  state s;
  shift<by>(s, a, b, registers(), upto<W>());
  same_lanes::take(s, a);
  return s;
}
// A level: what it holds until the next vector comes, the folds of d elements from each place on, and those of as many
// as the lower bits say.
template <int d> struct level {
  state whole, part;
  shared of_whole, of_part;
  level<2 * d> next;
  // Before the first vector: what all folds share, from here on. Those of W elements, and of what is left, come out.
  INLINE void begin(level& l, state& w, state& p, ms_int bits, const captures& k) {
    set(l.whole, w), set(l.part, p);
    l.of_whole = operation::share(w, w), l.of_part = operation::share(w, p);
    double_up(l, w, p, bits, k);
    level<2 * d>::begin(l.next, w, p, bits, k);
  }
  // Folds of d, of which those one vector before are held, become folds of 2 d.
  INLINE void double_up(const level& l, state& w, state& p, ms_int bits, const captures& k) {
    if (bits & (d - 1)) {
      if (bits & d) set(p, operation::combine(l.whole, shifted<d>(l.part, p), l.of_part, k));
      else set(p, l.part);
    } else set(p, l.whole);
    set(w, operation::combine(l.whole, shifted<d>(l.whole, w), l.of_whole, k));
  }
  INLINE void push(level& l, state& w, state& p, ms_int bits, const captures& k) {
    state whole, part;
    take_lanes(whole, w, registers()), take_lanes(part, p, registers());
    double_up(l, w, p, bits, k);
    take_lanes(l.whole, whole, registers()), take_lanes(l.part, part, registers());
    level<2 * d>::push(l.next, w, p, bits, k);
  }
};
template <> struct level<W> {
  INLINE void begin(level&, const state&, const state&, ms_int, const captures&) {}
  INLINE void push(const level&, const state&, const state&, ms_int, const captures&) {}
};
