// Blocks of a row: a block transposition gives every lane a run of consecutive elements.
//
// A block of `length` registers is transposed so that lane p holds run p; length - 1 combines fold all runs in step,
// one Kogge-Stone over the run totals gives each run what comes before it in the block, the carry is combined in front,
// and `length` combines finish. No identity is needed: a lane with nothing before it keeps its own value.
//
// The generated text says `length`, `fold_length`, `cache_line` (registers that fill one), and `heavy`: a combine so
// long that it is called, and not written out, where time is not spent.
#pragma once
#include "around.h"

typedef in_order<reverse> steps;
template <int n> using runs_of = runs<n, reverse>;
static constexpr bool always_seeded = !inclusive && !has_identity;    // there is an init
static constexpr int owned = length > W ? length / W : 1;             // registers in which the elements of run 0 lie
template <int n, int i> constexpr int nth = reverse ? n - 1 - i : i;  // in fold order, of n registers

NOINLINE void combine_into(state& y, const state& l, const state& r, const captures& k) { y = combine(l, r, k); }
template <bool seldom> INLINE state combine_here(const state& l, const state& r, const captures& k) {
  if constexpr (seldom && heavy) {
    state y;  // not a value returned: that is copied in pieces, for which the next load would wait
    combine_into(y, l, r, k);
    return y;
  } else {
    return combine(l, r, k);
  }
}

// ------------------------------------------------------------------ once more, in order
// What came out bad is done again from its true carry, one element at a time. It is the cold end of every block.

// What an element's position holds in an exclusive scan, from the carry before it.
INLINE state start_of(bool seeded, const state& carry) { return seeded || always_seeded ? carry : identity(); }

// One register again, element by element from a carry: the results from the first bad one on.
NOINLINE void again(const state& x, int m, bool seeded, const state& before, state& carry, state* y, const captures& k,
                    bool& found) {
  for (int i = 0; i < m; ++i, seeded = true) {
    const int lane = reverse ? W - 1 - i : i;
    const state own = registers::spread(x, lane), next = seeded ? combine_here<true>(carry, own, k) : own;
    if (y) {
      found = found || spoilt_results(before, *y)[lane];
      if (found) *y = registers::choose(iota == lane, inclusive ? next : start_of(seeded, carry), *y);
    }
    carry = next;
  }
}
// Registers that lie side by side, whose results or whose carry came out bad; what was bad for ever is not mended.
NOINLINE void mend(const elements& e, ms_int at, int count, bool seeded, const state& before, state& carry, state* y,
                   const captures& k) {
  i32v wrong = spoilt(before, carry);
  for (int i = 0; y && i < count; ++i) wrong |= spoilt_results(before, y[i]);
  if (!any(wrong)) return;
  state x, c = before;
  bool found = false;
  for (int i = 0; i < count; ++i, seeded = true) {
    const int n = reverse ? count - 1 - i : i;
    take(e, at + n * W, x, k);
    again(x, W, seeded, before, c, y ? y + n : y, k, found);
  }
  if (any(spoilt(before, carry))) carry = c;
}
// Stores a block that was kept back; behind its registers stands its carry.
NOINLINE void mend_block(const elements& e, const results& r, ms_int at, bool seeded, state& carry, state* kept,
                         const captures& k) {
  mend(e, at, length, seeded, carry, kept[length], kept, k);
  for (int i = 0; i < length; ++i) give(e, r, at + i * W, kept[i], k);
  carry = kept[length];
}

// ------------------------------------------------------------------ one register
// Inclusive scan over the lanes of a register, in the order of what they hold (Kogge-Stone).
template <class Order, bool seldom, int... by> INLINE void scan(state& t, const captures& k, seq<by...>) {
  ((t = registers::shuffle(t, combine_here<seldom>(registers::shuffle(t, t, rotate<Order, by>()), t, k),
                           keep<Order, by>())),
   ...);
}
#if MS_WIDTH == 4
typedef seq<1, 2> doublings;
#elif MS_WIDTH == 8
typedef seq<1, 2, 4> doublings;
#else
typedef seq<1, 2, 4, 8> doublings;
#endif
NOINLINE void scan_lanes_called(state& t, const captures& k) { scan<steps, true>(t, k, doublings()); }
INLINE void scan_lanes(state& t, const captures& k) {
  if constexpr (heavy) scan_lanes_called(t, k);
  else scan<steps, false>(t, k, doublings());
}
// Every lane takes the value of the last step.
INLINE state last_step(const state& t) { return registers::shuffle(t, t, everywhere<steps, W - 1>()); }

// ------------------------------------------------------------------ blocks
// From two transposed blocks of 4: the first, and the second halves of runs of 8; and back.
template <int half> struct halves_rule {
  static constexpr int at(int lane) {
    return half ? runs<8, false>::second_half(lane) : runs<8, false>::first_half(lane);
  }
};
template <int half> struct unhalves_rule {
  static constexpr int at(int lane) {
    return W == 4 ? 2 * half + lane / 2 + lane % 2 * 4 : halves_rule<half>::at(lane);
  }
};
typedef pattern<halves_rule<0>> first_halves;
typedef pattern<halves_rule<1>> second_halves;
typedef pattern<unhalves_rule<0>> first_unhalves;
typedef pattern<unhalves_rule<1>> second_unhalves;

template <int n, int... i>
INLINE void load_block(const elements& e, ms_int at, state (&x)[n], const captures& k, seq<i...>) {
  (take(e, at + i * W, x[i], k), ...);
}
template <int n> INLINE void transpose_fours(state (&x)[n]) {
  registers::transpose(x[0], x[1], x[2], x[3]);
  if constexpr (n == 8) registers::transpose(x[4], x[5], x[6], x[7]);
}
template <class First, class Second, int... i>
INLINE void swap_halves(state (&x)[8], First first, Second second, seq<i...>) {
  const state p[4] = {x[i]...}, q[4] = {x[i + 4]...};
  ((x[i] = registers::shuffle(p[i], q[i], first), x[i + 4] = registers::shuffle(p[i], q[i], second)), ...);
}
// From the order of memory to a run in each lane, and back.
template <int n> INLINE void to_runs(state (&x)[n]) {
  transpose_fours(x);
  if constexpr (n == 8) swap_halves(x, first_halves(), second_halves(), upto<4>());
}
template <int n> INLINE void to_memory(state (&x)[n]) {
  if constexpr (n == 8) swap_halves(x, first_unhalves(), second_unhalves(), upto<4>());
  transpose_fours(x);
}
template <int n, int... i> INLINE void fold_runs(state (&x)[n], const captures& k, seq<i...>) {
  ((x[nth<n, i + 1>] = combine(x[nth<n, i>], x[nth<n, i + 1>], k)), ...);
}
// What stands before each run, of the runs of a block whose totals are `t`.
INLINE state before_runs(state t, const captures& k) {
  scan<runs_of<length>, false>(t, k, doublings());
  return registers::shuffle(t, t, rotate<runs_of<length>, 1>());
}
// The same with the carry in front; the carry behind the block. `sure`: there is one.
template <bool sure> INLINE state seed(const state& before, bool seeded, state& carry, const captures& k) {
  const state y = sure || seeded ? combine(carry, before, k) : before;
  const state s = registers::shuffle(carry, y, keep<runs_of<length>, 1>());
  carry = registers::shuffle(y, y, everywhere<runs_of<length>, 0>());
  return s;
}
// Each element's result: what comes before its run, then the fold within the run.
template <int... i> INLINE void finish(state (&x)[length], const state& s, const captures& k, seq<i...>) {
  ((x[nth<length, i>] = combine(s, x[nth<length, i>], k)), ...);
  constexpr int last = nth<length, length - 1>;
  if constexpr (inclusive) x[last] = combine(s, x[last], k);
  else ((x[nth<length, length - 1 - i>] = x[nth<length, length - 2 - i>]), ...), x[nth<length, 0>] = s;
}
template <int... i>
INLINE void put_past(const elements& e, const results& r, ms_int at, const state (&x)[length], const captures& k,
                     seq<i...>) {
  (give_past(e, r, at + i * cache_line * W, x + i * cache_line, k, upto<cache_line>()), ...);
}
// Where the next block is written: lines that no cache holds come one after the other if nobody sends for them
// (measured on an Intel Xeon: rows of 4 MB take .8 to .95 of the time, and .6 with two results).
INLINE void fetch_next(const results& r, ms_int at) {
  for (int o = 0; o < out::count; ++o) {
    const int bytes = length * W * out::facts[o].bytes();
    const u8* const y = r.y[o] + at * out::facts[o].bytes() + (reverse ? -bytes : bytes);
    for (int b = 0; b < bytes; b += 64) __builtin_prefetch(y + b, 1);
  }
}
template <int... i>
INLINE void put(const elements& e, const results& r, ms_int at, const state (&x)[length], const captures& k, bool past,
                seq<i...>) {
  if (past) return put_past(e, r, at, x, k, upto<length / cache_line>{});
  fetch_next(r, at);
  (give(e, r, at + i * W, x[i], k), ...);
}

// The elements of run 0, which without a carry have nothing before them: scanned before the transposition mixes them
// with the others.
template <int... i> INLINE void scan_own(const state (&x)[length], state (&own)[owned], const captures& k, seq<i...>) {
  ((own[i] = x[nth<length, i>], scan_lanes(own[i], k)), ...);
  if constexpr (owned == 2) own[1] = combine_here<true>(last_step(own[0]), own[1], k);
  if constexpr (!inclusive) {
    constexpr rotate<steps, 1> moved;
    constexpr keep<steps, 1> kept;
    if constexpr (owned == 2)
      own[1] = registers::shuffle(last_step(own[0]), registers::shuffle(own[1], own[1], moved), kept);
    own[0] = registers::shuffle(identity(), registers::shuffle(own[0], own[0], moved), kept);
  }
}
struct own_rule {
  static constexpr int at(int lane) { return steps::run(lane) < length ? W + lane : lane; }
};
typedef pattern<own_rule> own_lanes;
template <int... i> INLINE void keep_own(state (&x)[length], const state (&own)[owned], seq<i...>) {
  ((x[nth<length, i>] = registers::shuffle(x[nth<length, i>], own[i], own_lanes())), ...);
}

template <int... i> INLINE void keep_block(state* kept, const state (&x)[length], const state& carry, seq<i...>) {
  ((kept[i] = x[i]), ...), kept[length] = carry;
}
// Whether the block came out well and is stored; else it is kept.
INLINE bool block(const elements& e, const results& r, ms_int at, bool seeded, state& held, const captures& k,
                  bool past, [[maybe_unused]] state* kept) {
  state x[length], own[owned];
  load_block(e, at, x, k, upto<length>());
  if constexpr (!always_seeded)
    if (!seeded) scan_own(x, own, k, upto<owned>());
  to_runs(x);
  fold_runs(x, k, upto<length - 1>());
  state carry[1] = {held};
  const state s = seed<always_seeded>(before_runs(x[nth<length, length - 1>], k), seeded, carry[0], k);
  finish(x, s, k, upto<length - 1>());
  to_memory(x);
  if constexpr (!always_seeded)
    if (!seeded) keep_own(x, own, upto<owned>());
  if constexpr (guarded)
    if (suspicious(x, carry)) return keep_block(kept, x, carry[0], upto<length>()), false;
  put(e, r, at, x, k, past, upto<length>());
  held = carry[0];
  return true;
}
NOINLINE void whole_block(const elements& e, const results& r, ms_int at, bool seeded, state& carry, const captures& k,
                          bool past) {
  state kept[length + 1], c = carry;
  if (!block(e, r, at, seeded, c, k, past, kept)) mend_block(e, r, at, seeded, c, kept, k);
  carry = c;
}
template <int... i> INLINE void fold_both(state (&x)[length], state (&z)[length], const captures& k, seq<i...>) {
  ((x[nth<length, i + 1>] = combine(x[nth<length, i>], x[nth<length, i + 1>], k),
    z[nth<length, i + 1>] = combine(z[nth<length, i>], z[nth<length, i + 1>], k)),
   ...);
}
// Two blocks side by side: each hides the other's latency. How many of them came out well and are stored.
INLINE int pair(const elements& e, const results& r, ms_int at, state& held, const captures& k, bool past) {
  constexpr int last = nth<length, length - 1>;
  const ms_int at_x = reverse ? at + length * W : at, at_z = reverse ? at : at + length * W;
  state x[length], z[length], between[1], carry[1];
  load_block(e, at_x, x, k, upto<length>()), to_runs(x);
  load_block(e, at_z, z, k, upto<length>()), to_runs(z);
  fold_both(x, z, k, upto<length - 1>());
  const state before_x = before_runs(x[last], k), before_z = before_runs(z[last], k);
  carry[0] = held;
  const state sx = seed<true>(before_x, true, carry[0], k);
  between[0] = carry[0];
  const state sz = seed<true>(before_z, true, carry[0], k);
  finish(x, sx, k, upto<length - 1>()), to_memory(x);
  if constexpr (guarded)
    if (suspicious(x, between)) return 0;
  put(e, r, at_x, x, k, past, upto<length>());
  finish(z, sz, k, upto<length - 1>()), to_memory(z);
  if constexpr (guarded)
    if (suspicious(z, carry)) return held = between[0], 1;
  put(e, r, at_z, z, k, past, upto<length>());
  held = carry[0];
  return 2;
}
INLINE void fold_block(const elements& e, ms_int at, bool seeded, state& carry, const captures& k) {
  state x[fold_length];
  load_block(e, at, x, k, upto<fold_length>{}), to_runs(x), fold_runs(x, k, upto<fold_length - 1>{});
  state t = x[nth<fold_length, fold_length - 1>];
  scan<runs_of<fold_length>, false>(t, k, doublings());
  const state total = registers::shuffle(t, t, everywhere<runs_of<fold_length>, W - 1>());
  carry = seeded ? combine(carry, total, k) : total;
}
