// Wide inner: one row of the data at a time, full width, each column its own scan.
//
// The carry of a column is what the row before wrote, read back from the output where it stands there in full, else
// from a row of carries of our own. The order of the fold is kept: the results are those of a sequential loop, bit for
// bit. The generated text says `chains`: a row of results holds all that the next one needs, unrounded, lane by lane;
// `cache_line`: how many registers fill one.
#pragma once
#include "columns.h"

// Where each lane of the row before stands.
struct above {
  const u8* s[registers::count];
};
template <class L, bool part> INLINE auto load_lane_above(const above& a, ms_int j, int m) {
  typedef typename L::item item;
  const item* const at = (const item*)a.s[L::number] + j;
  // Carries of their own are padded: a whole vector may be read.
  if constexpr (part && L::size >= 4) return load_few<false, decltype(L::dtype::load(at))>(at, m);
  else return L::dtype::load(at);
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

// W columns of one row, or the first m. `keep`: into the row of carries too.
template <bool scanned, bool keep, bool part>
INLINE state columns(const piece& p, const elements& e, const above& a, ms_int j, int m) {
  state l;
  element x;
  captures k;
  part ? in::load_part(e, j, m, x) : in::load(e, j, x);
  load_captures(p, e, j, k);
  load_above<!scanned, part>(a, j, m, l, registers());
  const state y = combine(l, x, k);
  if (keep) registers::put_carry<!scanned>(p.carry, p.pitch, p.c0 + j, y);
  return inclusive ? y : l;
}
// Whether whole cache lines can be written: leaves of one lane begin at them.
INLINE bool aligned(const results& r) {
  bool all = true, any_one = false;
  for (int i = 0; i < out::count; ++i)
    if (out::facts[i].lanes == 1) any_one = true, all = all && (u64)r.y[i] % 64 == 0;
  return any_one && all;
}
template <bool scanned, bool keep, int... i>
INLINE void line(const piece& p, const elements& e, const results& r, const above& a, ms_int j, seq<i...> group) {
  const state y[] = {columns<scanned, keep, false>(p, e, a, j + i * W, W)...};
  out::stream(r, j, y, group);
}
// Rows t to p.t1.
template <bool scanned, bool keep>
NOINLINE void sweep(const piece& p, const elements& captured_rows, ms_int t, bool past) {
  const ms_int count = p.c1 - p.c0, down = reverse ? -1 : 1;
  const bool ready = columns_lie_ready(p.g);
  elements e = row_at(p, row_of(p, t), captured_rows);
  results r = out_at(p, row_of(p, t));
  above a = carries_of(p, registers());
  while (t < p.t1) {
    ms_int j = 0;
    if (scanned && keep && past)
      for (; j + cache_line * W <= count; j += cache_line * W) line<scanned, keep>(p, e, r, a, j, upto<cache_line>());
    for (; j + W <= count; j += W) {
      const state y = columns<scanned, keep, false>(p, e, a, j, W);
      if (scanned) out::store(r, j, y);
    }
    if (j < count) {
      const state y = columns<scanned, keep, true>(p, e, a, j, (int)(count - j));
      if (scanned) out::store_part(r, j, (int)(count - j), y);
    }
    if (!keep) a = results_of(r, registers());
    ms_int down_in[arity], down_out[outputs + 1];
    in::strides(p.g->inputs, down, down_in), out::strides(p.g->outputs, down, down_out);
    in::move(e.x, down_in), out::move(r.y, down_out);
    if (++t < p.t1 && !ready) e = row_at(p, row_of(p, t), captured_rows);
  }
  if (!keep) keep_carries(p, a, registers());
}
void span(const piece& p, bool scanned) {
  if (p.t0 >= p.t1) return;
  elements captured_rows = {};
  pack_captures(p, captured_rows.c);
  ms_int t = p.t0;
  if (!p.seeded) first_row(p, row_at(p, row_of(p, t), captured_rows), out_at(p, row_of(p, t)), scanned), ++t;
  if (t == p.t1) return;
  if constexpr (want_results) {
    const ms_int at = row_of(p, p.t0), next = reverse ? at - 1 : at + 1;
    const bool past = scanned && p.stream && aligned(out_at(p, at)) && aligned(out_at(p, next));
    // What a tail writes in pieces cannot be read back in one load at once: short rows keep their carries.
    const ms_int count = p.c1 - p.c0;
    if constexpr (chains)
      if (scanned && !past && (count % W == 0 || count >= 16 * W))
        return sweep<true, false>(p, captured_rows, t, false);
    (scanned ? sweep<true, true> : sweep<false, true>)(p, captured_rows, t, past);
    if (past) stream_fence();
  } else {
    sweep<false, true>(p, captured_rows, t, false);
  }
}
bool fits(const ms_launch* g) {
  bool all = true;
  for (int i = 0; i < in::count; ++i)
    all = all && (!in::facts[i].alike || g->inner == 1 || g->inputs[in::facts[i].index].inner == 0);
  return all;
}
ms_int buffer_bytes(const ms_launch* g) { return padded(g->inner) * (in::bytes + captured_arrays::bytes); }
#include "parts.h"
#include "launch.h"
