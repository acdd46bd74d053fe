// Windows: at each step the fold of the last so many, by blocks of as many steps, scanned from either end.
//
// The columns of a piece are blocks, or the data's own columns, of which a block is walked at a time. What a block
// holds from a step to its end is written to rows of carries; then the next block is scanned, and each of its folds put
// behind that of the steps before it which the window reaches. `seeded` says whether there is a block before.
// (van Herk, Pattern Recognition Letters 13, 1992; Gil and Werman, IEEE PAMI 15, 1993.) The generated text says
// `widest`, how many vectors leave registers for the work.
#pragma once
#include "columns.h"

// How many rows that lie ready are walked at a time.
static constexpr ms_int ROWS = 64;

INLINE ms_int whole(ms_int columns) { return (columns + W - 1) / W * W; }
// Rows of carries, for columns from `first` on.
struct carry_rows {
  u8* at;
  ms_int pitch, first;
  u8* row(ms_int t) const { return at + t * pitch * carry_bytes; }
};
INLINE void put_row(const carry_rows& c, ms_int t, ms_int j, const state& s) {
  registers::put_carry<true>(c.row(t), c.pitch, c.first + j, s);
}
INLINE state get_row(const carry_rows& c, ms_int t, ms_int j) {
  state s;
  registers::get_carry<true>(c.row(t), c.pitch, c.first + j, s);
  return s;
}
INLINE element load(const elements& e, ms_int j, int m) {
  element x;
  m == W ? in::load(e, j, x) : in::load_part(e, j, m, x);
  return x;
}
// Steps of some columns, and the bytes from each to the next.
struct some_rows {
  elements e;
  results r;
  ms_int x_step[arity], y_step[outputs + 1], first, count;
};
static some_rows rows_from(const piece& p, const elements& captured_rows, ms_int t, ms_int count, ms_int room) {
  some_rows s = {captured_rows, {}, {}, {}, t, count};
  tile_at(p, t, count, room, {s.e.x, s.x_step, s.r.y, s.y_step});
  return s;
}

// The folds from each step of some rows to the end of its block, last step first.
template <int... v>
NOINLINE void tails(const some_rows& from, const carry_rows& to, ms_int size, ms_int j, int m, const captures* k,
                    seq<v...>) {
  elements e = from.e;
  ms_int back[arity];
  for (int i = 0; i < arity; ++i) e.x[i] += (from.count - 1) * from.x_step[i], back[i] = -from.x_step[i];
  ms_int t = from.first + from.count - 1, left = from.count;
  const bool starts = t == size - 1;
  state s[] = {starts ? load(e, j + v * W, m) : get_row(to, t + 1, j + v * W)...};
  if (starts) {
    (put_row(to, t, j + v * W, s[v]), ...);
    --t, --left, in::move(e.x, back);
  }
  for (; left > 0; --left, --t, in::move(e.x, back)) {
    ((s[v] = combine(load(e, j + v * W, m), s[v], k[v])), ...);
    (put_row(to, t, j + v * W, s[v]), ...);
  }
}
// The folds of a block from its first step on, each behind the end of the block before. `last`: where the fold waits
// from rows to rows.
template <bool joined, int... v>
NOINLINE void heads(const some_rows& from, const carry_rows& before, const carry_rows& last, ms_int size, ms_int j,
                    int m, const captures* k, seq<v...>) {
  elements e = from.e;
  results r = from.r;
  state s[] = {from.first > 0 ? get_row(last, 0, j + v * W) : load(e, j + v * W, m)...};
  for (ms_int t = from.first; t < from.first + from.count; ++t) {
    if (t > 0) ((s[v] = combine(s[v], load(e, j + v * W, m), k[v])), ...);
    state y[] = {s[v]...};
    if constexpr (joined)
      if (t + 1 < size) ((y[v] = combine(get_row(before, t + 1, j + v * W), s[v], k[v])), ...);
    ((m == W ? out::store(r, j + v * W, y[v]) : out::store_part(r, j + v * W, m, y[v])), ...);
    in::move(e.x, from.x_step), out::move(r.y, from.y_step);
  }
  (put_row(last, 0, j + v * W, s[v]), ...);
}

// All columns of some rows, a few vectors at a time.
template <int vectors, class F> INLINE ms_int groups(const piece& p, const elements& captured_rows, ms_int j, F each) {
  const ms_int count = p.c1 - p.c0;
  for (; j < count && (vectors == 1 || j + vectors * W <= count); j += vectors * W) {
    captures k[vectors];
    for (int v = 0; v < vectors; ++v) load_captures(p, captured_rows, j + v * W, k[v]);
    each(j, (int)least(W, count - j), k, upto<vectors>());
  }
  return j;
}
template <class F> INLINE void over_columns(const piece& p, const elements& captured_rows, F each) {
  ms_int j = 0;
  if constexpr (widest >= 2) j = groups<2>(p, captured_rows, j, each);
  groups<1>(p, captured_rows, j, each);
}
void span(const piece& p, bool) {
  elements captured_rows = {};
  pack_captures(p, captured_rows.c);
  const ms_int size = p.g->window, tile = columns_lie_ready(p.g) ? ROWS : COPIED, wide = padded(p.g->inner);
  const carry_rows before = {p.buffer + wide * (captured_arrays::bytes + COPIED * (in::bytes + out::bytes)),
                             whole(p.g->inner), p.c0};
  const carry_rows last = {p.carry, p.pitch, p.c0};
  if (p.seeded)
    for (ms_int end = size; end > 1; end -= tile) {
      const ms_int t = end > tile + 1 ? end - tile : 1;  // no window reaches the first step of the block before
      some_rows s = rows_from(p, captured_rows, t - size, end - t, tile);
      s.first = t;
      over_columns(p, captured_rows,
                   [&](ms_int j, int m, const captures* k, auto v) { tails(s, before, size, j, m, k, v); });
    }
  for (ms_int t = 0; t < p.t1; t += tile) {
    const some_rows s = rows_from(p, captured_rows, t, least(tile, p.t1 - t), tile);
    over_columns(p, captured_rows, [&](ms_int j, int m, const captures* k, auto v) {
      p.seeded ? heads<true>(s, before, last, size, j, m, k, v) : heads<false>(s, before, last, size, j, m, k, v);
    });
    unpack_tile(p, t, s.count, s.r.y, s.y_step);
  }
}
bool fits(const ms_launch*) { return true; }
ms_int buffer_bytes(const ms_launch* g) {
  return padded(g->inner) * (captured_arrays::bytes + COPIED * (in::bytes + out::bytes)) +
         g->window * whole(g->inner) * carry_bytes;
}
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }
#include "launch.h"
