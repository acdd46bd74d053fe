// What windows need of an operator: elements of inputs, outputs of folds, and rows in which folds wait.
//
// The generated text gives `operation` with `prepare` and `present` beside `combine`, and says `reads_inputs`: outputs
// depend on the inputs at their own step too. A window whose fold came out bad, though all its elements are ordinary,
// is folded again in order.
#pragma once
#include "guard.h"
#include "window_lanes.h"

INLINE input load_input(const elements& e, ms_int j, int m) {
  input x;
  m == W ? in::load(e, j, x) : in::load_part(e, j, m, x);
  return x;
}
INLINE state load(const elements& e, ms_int j, int m, const captures& k) {
  return operation::prepare(load_input(e, j, m), k);
}
INLINE void store(const results& r, ms_int j, int m, const state& s, const input& x, const captures& k) {
  const output y = operation::present(s, x, k);
  m == W ? out::store(r, j, y) : out::store_part(r, j, m, y);
}
template <class... L> INLINE void choose_lanes(state& to, i32v where, const state& from, lanes<L...>) {
  ((to.*L::member = choose_lanes(where, from.*L::member, to.*L::member)), ...);
}
// Whether any lane is bad.
template <class L> INLINE bool lane_is_bad(const state& s) {
  if constexpr (!(L::flags & WATCHED)) return false;
  else if constexpr ((L::flags & HIGH) && (L::flags & LOW)) return sum_not_finite(s.*L::member);
  else return any(is_bad<L::flags>(s.*L::member));
}
template <class... L> INLINE bool any_bad([[maybe_unused]] const state& s, lanes<L...>) {
  return __builtin_expect((false | ... | lane_is_bad<L>(s)), 0);
}
INLINE bool any_bad(const state& s) { return any_bad(s, registers()); }
