// Rows of the data, for loops whose vectors hold columns: where they stand, captured arrays, the first row.
#pragma once
#include "guard.h"

INLINE void load_captures(const piece& p, const elements& e, ms_int j, captures& k) {
  captured_arrays::load(p, e, j, padded(p.g->inner), k);
}
// Some rows, from the first in fold order on; the bytes from each to the next.
struct rows {
  elements e;
  results r;
  ms_int x_step[arity], y_step[outputs + 1];
};
INLINE void move(rows& at) { in::move(at.e.x, at.x_step), out::move(at.r.y, at.y_step); }
// Where some columns are written so many rows later: lines that no cache holds come one after the other if nobody sends
// for them (measured on an Intel Xeon: affine maps of 16 and 64 columns take half of the time, and of 1,000 .75).
INLINE void fetch_results(const rows& at, ms_int j, int columns, ms_int later) {
  for (int i = 0; i < out::count; ++i) {
    const int bytes = out::facts[i].bytes();
    const u8* const y = at.r.y[i] + later * at.y_step[i] + j * bytes;
    for (int b = 0; b < columns * bytes; b += 64) __builtin_prefetch(y + b, 1);
  }
}
// So many rows from step t on; what is not laid out so is copied, at most COPIED rows at a time: of items of four bytes
// a line of memory, where columns stand far apart.
static constexpr ms_int COPIED = 64 / (MS_NARROW ? MS_NARROW : 4);
INLINE void rows_from(const piece& p, ms_int t, ms_int count, ms_int room, rows& at) {
  const strip_of_rows s = {at.e.x, at.x_step, at.r.y, at.y_step};
  tile_at(p, t, count, room, s);
}
// The first row, where nothing comes before.
NOINLINE void first_row(const piece& p, const elements& e, const results& r, bool scanned) {
  const ms_int count = p.c1 - p.c0;
  for (ms_int j = 0; j < count; j += W) {
    const int m = (int)least(W, count - j);
    element x;
    captures k;
    m == W ? in::load(e, j, x) : in::load_part(e, j, m, x);
    load_captures(p, e, j, k);
    const state s = first(x, k);
    registers::put_carry<true>(p.carry, p.pitch, p.c0 + j, s);
    if (!scanned) continue;
    const state y = inclusive || !has_identity ? s : identity();
    m == W ? out::store(r, j, y) : out::store_part(r, j, m, y);
  }
}
// The rows of a piece, a tile after the other: `go(rows, steps)` takes each, from the row on that follows on what the
// fold starts from.
template <class Go>
INLINE void over_tiles(const piece& p, const elements& captured_rows, ms_int tile, bool scanned, Go go) {
  for (ms_int t = p.t0; t < p.t1; t += tile) {
    const bool starts = t == p.t0 && !p.seeded;
    const ms_int steps = least(tile, p.t1 - t);
    rows at = {};  // pointers are taken one by one: a copy of all would wait until they are written
    u8* y[outputs + 1];
    for (int i = 0; i <= captured; ++i) at.e.c[i] = captured_rows.c[i];  // and what is found once, behind them
    rows_from(p, t, steps, tile, at);
    for (int i = 0; i < outputs; ++i) y[i] = at.r.y[i];
    if (starts) first_row(p, at.e, at.r, scanned), move(at);
    go(at, steps - starts);
    if (scanned) unpack_tile(p, t, steps, y, at.y_step);
  }
}
