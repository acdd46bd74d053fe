// Wide inner: one row of the data at a time, full width, each column its own scan.
//
// The carry of a column is what the row before wrote, read back from the output where it stands there in full, else
// from a row of carries of our own. The order of the fold is kept: the results are those of a sequential loop, bit for
// bit. The generated text says `chains`: a row of results holds all that the next one needs, unrounded, lane by lane;
// `cache_line`: how many registers fill one.
#pragma once
#include "columns.h"

// Results of so many bytes are not held by the second-level cache, so that their lines are sent for (measured on an
// Intel Xeon: sweeps of less take up to 1.2 of the time that way).
static constexpr ms_int BEYOND = 3 << 18;

// How many columns go down together where rows are copied: a tile of theirs stays in the caches.
static constexpr ms_int TOGETHER = 512;

// Where each lane of the row before stands.
struct above {
  const u8* s[registers::count];
};
template <class L, bool part> INLINE auto load_lane_above(const above& a, ms_int j, int m) {
  typedef typename L::item item;
  const item* const at = (const item*)a.s[L::number] + j;
  // Carries of their own are padded: a whole vector may be read.
  if constexpr (part && L::dtype::as_stored) {
    return load_few<false, decltype(L::dtype::load(at))>(at, m);
  } else if constexpr (part && chains) {
    item b[W];
    store_bits(b, load_few<false, decltype(L::dtype::bits(L::dtype::load(at)))>(at, m));
    return L::dtype::load(b);
  } else {
    return L::dtype::load(at);
  }
}
template <class L, bool whole, bool part> INLINE void load_above_one(const above& a, ms_int j, int m, state& s) {
  if constexpr (whole || L::carried) s.*L::member = load_lane_above<L, part>(a, j, m);
}
template <bool whole, bool part, class... L>
INLINE void load_above(const above& a, ms_int j, int m, state& s, lanes<L...>) {
  (load_above_one<L, whole, part>(a, j, m, s), ...);
}
template <class... L> INLINE above carries_of(const piece& p, lanes<L...>) {
  return {{p.carry + p.pitch * L::offset + p.c0 * L::size...}};
}
// The row of results itself as the carry of the next.
template <class... L> INLINE above results_of([[maybe_unused]] const results& r, lanes<L...>) {
  return {{(L::output < 0 ? nullptr : r.y[L::output < 0 ? 0 : L::output])...}};
}
template <class L> INLINE void keep_carry(const piece& p, const above& a, ms_int j) {
  typedef typename L::item item;
  if constexpr (L::carried) ((item*)(p.carry + p.pitch * L::offset))[p.c0 + j] = ((const item*)a.s[L::number])[j];
}
template <class... L> NOINLINE void keep_carries(const piece& p, const above& a, lanes<L...>) {
  for (ms_int j = 0; j < p.c1 - p.c0; j += 1) (keep_carry<L>(p, a, j), ...);
}

// What is found once stands behind all other rows.
INLINE ms_int once_begins(const ms_launch* g) {
  return padded(g->inner) * captured_arrays::bytes +
         COPIED * padded(least(g->inner, TOGETHER)) * (in::bytes + out::bytes);
}
INLINE void hold_once(const piece& p, elements& e) {
  u8* const rows = p.buffer + once_begins(p.g);
  e.c[captured] = rows;
  for (ms_int j = 0; j < p.c1 - p.c0; j += W) {
    captures k;
    load_captures(p, e, j, k);
    held::store(rows, j, padded(p.g->inner), k);
  }
}
INLINE void load_held(const piece& p, const elements& e, ms_int j, captures& k) {
  captured_arrays::template load<false>(p, e, j, padded(p.g->inner), k);
  held::load(e.c[captured], j, padded(p.g->inner), k);
}

// W columns of one row, or the first m. `keep`: into the row of carries too.
template <bool scanned, bool keep, bool part>
INLINE state columns(const piece& p, const elements& e, const above& a, ms_int j, int m) {
  state l;
  element x;
  captures k;
  part ? in::load_part(e, j, m, x) : in::load(e, j, x);
  load_held(p, e, j, k);
  load_above<!scanned, part>(a, j, m, l, registers());
  const state y = combine(l, x, k);
  if (keep) registers::put_carry<!scanned>(p.carry, p.pitch, p.c0 + j, y);
  return inclusive ? y : l;
}
// Whether whole cache lines of this row and of the next one can be written: leaves of one lane begin at them.
INLINE bool aligned(const rows& at) {
  bool all = true, any_one = false;
  for (int i = 0; i < out::count; ++i)
    if (out::facts[i].lanes == 1) any_one = true, all = all && ((u64)at.r.y[i] | (u64)at.y_step[i]) % 64 == 0;
  return any_one && all;
}
template <bool scanned, bool keep, int... i>
INLINE void line(const piece& p, const elements& e, const results& r, const above& a, ms_int j, seq<i...> group) {
  const state y[] = {columns<scanned, keep, false>(p, e, a, j + i * W, W)...};
  out::stream(r, j, y, group);
}
// So many rows, of which the first follows on the row of carries.
template <bool scanned, bool keep> NOINLINE void sweep(const piece& p, rows at, ms_int steps, bool past) {
  const ms_int count = p.c1 - p.c0;
  const bool far = scanned && p.g->n * p.g->inner * p.g->outer_size * out::bytes > BEYOND;
  above a = carries_of(p, registers());
  for (; steps > 0; --steps, move(at)) {
    ms_int j = 0;
    if (scanned && keep && past)
      for (; j + cache_line * W <= count; j += cache_line * W)
        line<scanned, keep>(p, at.e, at.r, a, j, upto<cache_line>());
    for (; j + W <= count; j += W) {
      if (far) fetch_results(at, j, W, 1);
      const state y = columns<scanned, keep, false>(p, at.e, a, j, W);
      if (scanned) out::store(at.r, j, y);
    }
    if (j < count) {
      const state y = columns<scanned, keep, true>(p, at.e, a, j, (int)(count - j));
      if (scanned) out::store_part(at.r, j, (int)(count - j), y);
    }
    if (!keep) a = results_of(at.r, registers());
  }
  if (!keep) keep_carries(p, a, registers());
}
INLINE void sweep_rows(const piece& p, const rows& at, ms_int steps, bool scanned) {
  if (steps == 0) return;
  if constexpr (want_results) {
    const bool past = scanned && p.stream && aligned(at);
    // What a tail writes in pieces cannot be read back in one load at once: short rows keep their carries.
    const ms_int count = p.c1 - p.c0;
    if constexpr (chains)
      if (scanned && !past && (count % W == 0 || count >= 16 * W)) return sweep<true, false>(p, at, steps, false);
    (scanned ? sweep<true, true> : sweep<false, true>)(p, at, steps, past);
    if (past) stream_fence();
  } else {
    sweep<false, true>(p, at, steps, false);
  }
}
static void some_columns(const piece& p, ms_int tile, bool scanned) {
  elements captured_rows = {};
  pack_captures(p, captured_rows.c);
  if constexpr (held::count > 0) hold_once(p, captured_rows);
  over_tiles(p, captured_rows, tile, scanned, [&](const rows& at, ms_int steps) { sweep_rows(p, at, steps, scanned); });
}
void span(const piece& p, bool scanned) {
  if (p.t0 >= p.t1) return;
  if (columns_lie_ready(p.g)) return some_columns(p, p.t1 - p.t0, scanned);
  piece q = p;
  for (q.c0 = p.c0; q.c0 < p.c1; q.c0 = q.c1) {
    q.c1 = least(p.c1, q.c0 + TOGETHER);
    some_columns(q, COPIED, scanned);
  }
}
bool fits(const ms_launch* g) {
  bool all = true;
  for (int i = 0; i < in::count; ++i)
    all = all && (!in::facts[i].alike || g->inner == 1 || g->inputs[in::facts[i].index].inner == 0);
  return all;
}
ms_int buffer_bytes(const ms_launch* g) { return once_begins(g) + padded(g->inner) * held::bytes; }
#include "parts.h"
#include "launch.h"
