// 1 < inner < W: a register holds several whole rows, scanned by shifts of whole rows.
//
// The register moves on by the rows that fit, not by its width: the lanes to spare hold the beginning of the next row,
// and what is stored from them is overwritten by the next store. The shifts depend on the inner length, so the lane
// numbers are computed, once for a piece.
#pragma once
#include "guard.h"

static constexpr ms_int TILE = 256;  // rows copied at a time
bool fits(const ms_launch* g) { return g->inner > 1 && g->inner < W; }
ms_int buffer_bytes(const ms_launch* g) {
  return padded(g->inner) * captured_arrays::bytes + padded(TILE * g->inner) * (in::bytes + out::bytes);
}
INLINE void load_captures(const piece& p, const elements& e, ms_int j, captures& k) {
  captured_arrays::load(p, e, j, padded(p.g->inner), k);
}

template <class... L> INLINE state arrange_state(const state& s, i32v from, lanes<L...>) {
  return {arrange_lanes(s.*L::member, from)...};
}
INLINE state arrange(const state& s, i32v from) { return arrange_state(s, from, registers()); }

// Where each lane stands: its row in fold order, its column, and the lanes that the shifts read.
struct grid {
  ms_int rows;
  i32v row, column, home, before[3];
};
NOINLINE grid grid_of(ms_int inner) {
  grid s = {W / inner, {}, {}, {}, {}};
  for (int p = 0; p < W; ++p) {
    const int i = (int)inner, from = reverse ? W - 1 - p : p;
    s.row[p] = from / i;
    s.column[p] = reverse ? i - 1 - from % i : from % i;
    s.home[p] = p < i ? (reverse ? W - i + p : p) : p;
    for (int d = 0; d < 3; ++d) s.before[d][p] = s.row[p] >= 1 << d ? (reverse ? p + (i << d) : p - (i << d)) : p;
  }
  return s;
}
// The lanes of the last of `rows` rows, for every row.
INLINE i32v last_row(const grid& s, ms_int rows, ms_int inner) {
  return s.column + (i32)(reverse ? W - rows * inner : (rows - 1) * inner);
}
// What a row holds in an exclusive scan, from the carry before it.
INLINE state start_of(bool seeded, const state& carry) { return seeded || !has_identity ? carry : identity(); }

// The rows of a register again, one by one from the carry: in each column the results from the first bad one on.
NOINLINE void mend(const grid& s, const state& x, ms_int rows, ms_int inner, bool seeded, const state& before,
                   state& carry, state& y, const captures& k, bool scanned) {
  const i32v wrong = scanned ? spoilt_results(before, y) & (s.row < (i32)rows) : i32v{};
  if (!any(spoilt(before, carry) | wrong)) return;
  state c = before;
  i32v found = {};
  for (ms_int r = 0; r < rows; ++r, seeded = true) {
    const i32v from = last_row(s, r + 1, inner);
    const state own = arrange(x, from), next = seeded ? combine(c, own, k) : own;
    if (scanned) {
      found |= arrange_lanes(spoilt_results(before, y), from);
      y = registers::choose(found & (s.row == (i32)r), inclusive ? next : start_of(seeded, c), y);
    }
    c = next;
  }
  carry = registers::choose(spoilt(before, carry), c, carry);
}
template <bool scanned> INLINE bool came_out_bad(const state& y, const state& carry) {
  const state results_of[1] = {y}, carries_of[1] = {carry};
  if constexpr (scanned) return suspicious(results_of, carries_of);
  else return suspicious(carries_of);
}

// The rows of a register: scanned, what came before them in front.
INLINE state rows_of(const grid& s, state x, bool seeded, state& carry, i32v last, const captures& k) {
  for (int d = 0; 1 << d < s.rows; ++d)
    x = registers::choose(s.row >= splat<i32v>(1 << d), combine(arrange(x, s.before[d]), x, k), x);
  const state total = arrange(x, last), y = seeded ? combine(carry, x, k) : x;
  state out_of = y;
  if constexpr (!inclusive) out_of = registers::choose(s.row >= 1, arrange(y, s.before[0]), start_of(seeded, carry));
  carry = seeded ? combine(carry, total, k) : total;  // not from y: a shorter chain from carry to carry
  return out_of;
}
// Elements in lines. A leaf that all columns share has one element a row, arranged when it is in a register.
struct sources {
  elements e;
  bool shared[arity];
};
// `count` rows from row `at` of n on, counted as they lie in memory, where more than that may be read. A register of
// columns begins at item i; if `part`, no more than its rows may be read of it.
template <class L> INLINE void load_shared(const u8* x, const grid& s, ms_int at, ms_int count, ms_int n, state& to) {
  typedef const typename L::item* items;
  const ms_int from = reverse ? at + count - W : at;
  if (from >= 0 && from + W <= n) L::load((items)x + from * L::lanes, to);
  else L::load_part((items)x + at * L::lanes, (int)count, to);
  L::arrange(to, reverse ? W - 1 - s.row : s.row, typename L::each());
}
template <class L, bool part>
INLINE void load_leaf(const sources& e, const grid& s, ms_int at, ms_int count, ms_int n, ms_int inner, state& to) {
  const u8* const x = e.e.x[L::index];
  if (__builtin_expect(e.shared[L::index], 0)) return load_shared<L>(x, s, at, count, n, to);
  const typename L::item* const p = (const typename L::item*)x + at * inner * L::lanes;
  if constexpr (part) L::load_part(p, (int)(count * inner), to);
  else L::load(p - (reverse ? W - count * inner : 0) * L::lanes, to);
}
template <bool part, class... L>
INLINE state load_rows(const sources& e, const grid& s, ms_int at, ms_int count, ms_int n, ms_int inner, leaves<L...>) {
  state x;
  (load_leaf<L, part>(e, s, at, count, n, inner, x), ...);
  return x;
}
// The rows after `done` of n: as many as a register holds, else those that are left.
INLINE bool whole(ms_int done, ms_int n, ms_int inner) { return (n - done) * inner >= W; }
template <bool part> INLINE state rows_after(const sources& e, ms_int done, ms_int n, ms_int inner, const grid& s) {
  const ms_int count = part ? least(s.rows, n - done) : s.rows;
  return load_rows<part>(e, s, reverse ? n - done - count : done, count, n, inner, in());
}
// They are read before the store of the rows before them: it may be the same memory.
INLINE void ahead(const sources& e, ms_int done, ms_int n, ms_int inner, const grid& s, state& next) {
  if (whole(done, n, inner)) next = rows_after<false>(e, done, n, inner, s);
  else if (done < n) next = rows_after<true>(e, done, n, inner, s);
}
// n whole rows, one after the other in memory.
template <bool scanned>
NOINLINE void line(const sources& given, const results& wanted, ms_int n, ms_int inner, const grid& s, bool seeded,
                   state& last, const captures& k) {
  const sources e = given;  // copies have no address: no store can change them, and they stay in registers
  const results r = wanted;
  const i32v behind = last_row(s, s.rows, inner);
  state carry = last, next = {};
  ms_int done = 0;
  ahead(e, 0, n, inner, s, next);
  for (;; done += s.rows, seeded = true) {
    state x, y, after;
    for (; whole(done, n, inner); done += s.rows, seeded = true) {
      x = next;
      ahead(e, done + s.rows, n, inner, s, next);
      after = carry, y = rows_of(s, x, seeded, after, behind, k);
      if constexpr (guarded)
        if (came_out_bad<scanned>(y, after)) break;
      if (scanned) out::store(r, reverse ? (n - done) * inner - W : done * inner, y);
      carry = after;
    }
    if (!whole(done, n, inner)) break;
    // What a loop calls is called outside of it: a call would drive its constants from the registers.
    const state own = x, before = carry;  // copies: what has an address is not held in registers
    state c = after, o = y;
    mend(s, own, s.rows, inner, seeded, before, c, o, k, scanned);
    if (scanned) out::store(r, reverse ? (n - done) * inner - W : done * inner, o);
    carry = c;
  }
  while (done < n) {
    const ms_int rows = least(s.rows, n - done);
    const state x = next;
    ahead(e, done + rows, n, inner, s, next);
    state after = carry, y = rows_of(s, x, seeded, after, last_row(s, rows, inner), k);
    if constexpr (guarded)
      if (came_out_bad<scanned>(y, after)) {
        const state own = x, before = carry;
        state c = after, o = y;
        mend(s, own, rows, inner, seeded, before, c, o, k, scanned);
        after = c, y = o;
      }
    if (scanned) out::store_part(r, (reverse ? n - done - rows : done) * inner, (int)(rows * inner), y);
    carry = after, done += rows, seeded = true;
  }
  last = carry;
}

// ------------------------------------------------------------------ pieces
void span(const piece& p, bool scanned) {
  const ms_int inner = p.g->inner;
  const grid s = grid_of(inner);
  elements packed = {};
  pack_captures(p, packed.c);
  captures k;
  load_captures(p, packed, 0, k);
  captured_arrays::arrange(k, s.column);
  state carry = {};
  if (p.seeded) registers::get_carry<true>(p.carry, p.pitch, 0, carry), carry = arrange(carry, s.column);
  const bool in_place = lines_lie_ready(p.g);
  const ms_int tile = in_place ? p.t1 - p.t0 : TILE;
  for (ms_int t = p.t0; t < p.t1; t += tile) {
    const ms_int count = least(tile, p.t1 - t), at = reverse ? p.g->n - t - count : t;
    sources e = {};
    results r = {};
    lines_at(p, at, count, TILE, e.e.x, e.shared, r.y);
    const bool seeded = p.seeded || t > p.t0;
    if (want_results && scanned) line<want_results>(e, r, count, inner, s, seeded, carry, k);
    else line<false>(e, r, count, inner, s, seeded, carry, k);
    if (scanned && !in_place) unpack_lines(p, at, count, r.y);
  }
  registers::put_carry<true>(p.carry, p.pitch, 0, arrange(carry, s.home));
}
#include "parts.h"
#include "launch.h"
