// Rows of the data, for loops whose vectors hold columns: where they stand, captured arrays, the first row.
#pragma once
#include "guard.h"

INLINE ms_int row_of(const piece& p, ms_int t) { return reverse ? p.g->n - 1 - t : t; }

INLINE void load_captures(const piece& p, const elements& e, ms_int j, captures& k) {
  captured_arrays::load(p, e, j, padded(p.g->inner), k);
}
// One row of each leaf.
INLINE elements row_at(const piece& p, ms_int t, elements e) {
  point_into_columns(p, t, e.x);
  return e;
}
INLINE results out_at(const piece& p, ms_int t) {
  results r = {};
  point_results_into_columns(p, t, r.y);
  return r;
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
