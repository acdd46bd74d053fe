// Inner of a few vectors: panels of columns, whose states stay in registers from row to row.
//
// A sweep of full rows reads each column's carry back from memory, so a short row costs a round trip through the
// store buffer, however few its columns. Here vectors of columns go down the rows side by side, each its own chain. The
// order of the fold is kept, as in a sweep. The generated text says `widest`, how many vectors leave registers for the
// work.
#pragma once
#include "columns.h"

// One step of one vector of columns; `whole`: m is W.
template <bool scanned, bool whole>
INLINE void step(const elements& e, const results& r, ms_int j, int m, state& s, const captures& k) {
  element x;
  whole || m == W ? in::load(e, j, x) : in::load_part(e, j, m, x);
  const state before = s;
  s = combine(s, x, k);
  const state& y = inclusive ? s : before;
  if (scanned) whole || m == W ? out::store(r, j, y) : out::store_part(r, j, m, y);
}
// How many rows before they are written results are sent for: a kilobyte.
INLINE ms_int rows_sent_for(const rows& at) {
  const ms_int bytes = out::count == 0 || at.y_step[0] == 0 ? 1024 : at.y_step[0] < 0 ? -at.y_step[0] : at.y_step[0];
  return bytes < 1024 ? 1024 / bytes : 1;
}
// Some steps of a few vectors of columns, or of at most one, from column j of the piece on.
template <bool scanned, int... v>
NOINLINE void panel(const piece& p, const rows& from, ms_int steps, ms_int j, int m, seq<v...>) {
  // Locals, since a store might change what `p` points to as far as the compiler knows.
  const ms_int pitch = p.pitch, inner = p.g->inner, first = p.c0 + j;
  constexpr bool whole = sizeof...(v) > 1;
  u8* const row = p.carry;
  rows at = from;
  state s[sizeof...(v)];
  captures k[sizeof...(v)];
  (captured_arrays::load(p, at.e, j + v * W, padded(inner), k[v]), ...);
  (registers::get_carry<!scanned>(row, pitch, first + v * W, s[v]), ...);
  const ms_int later = scanned ? rows_sent_for(at) : 0;
  for (; steps > 0; --steps, move(at)) {
    if (scanned) fetch_results(at, j, (int)sizeof...(v) * W, later);
    (step<scanned, whole>(at.e, at.r, j + v * W, m, s[v], k[v]), ...);
  }
  (registers::put_carry<!scanned>(row, pitch, first + v * W, s[v]), ...);
}
template <int vectors>
INLINE void panels(const piece& p, const rows& from, ms_int steps, ms_int j, int m, bool scanned) {
  if constexpr (want_results)
    if (scanned) return panel<true>(p, from, steps, j, m, upto<vectors>());
  panel<false>(p, from, steps, j, m, upto<vectors>());
}
// How many rows a panel goes down before the next one follows: less than the caches hold.
static constexpr ms_int ROWS = 64;
void span(const piece& p, bool scanned) {
  elements captured_rows = {};
  pack_captures(p, captured_rows.c);
  const ms_int count = p.c1 - p.c0, tile = columns_lie_ready(p.g) ? ROWS : COPIED;
  over_tiles(p, captured_rows, tile, scanned, [&](const rows& at, ms_int steps) {
    ms_int j = 0;
    if constexpr (widest >= 4)
      for (; j + 4 * W <= count; j += 4 * W) panels<4>(p, at, steps, j, W, scanned);
    if constexpr (widest >= 2)
      for (; j + 2 * W <= count; j += 2 * W) panels<2>(p, at, steps, j, W, scanned);
    for (; j < count; j += W) panels<1>(p, at, steps, j, (int)least(W, count - j), scanned);
  });
}
bool fits(const ms_launch* g) { return !turns || g->inner == 1; }
ms_int buffer_bytes(const ms_launch* g) {
  return padded(g->inner) * (captured_arrays::bytes + COPIED * (in::bytes + out::bytes));
}
#include "parts.h"
#include "launch.h"
