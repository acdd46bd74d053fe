// Windows: at each step the fold of the last so many, by blocks of as many steps, scanned from either end.
//
// The columns of a piece are blocks, or the data's own columns, of which a block is walked at a time. What a block
// holds from a step to its end is written to rows of carries; then the next block is scanned, and each of its folds put
// behind that of the steps before it which the window reaches. `seeded` says whether there is a block before.
// (van Herk, Pattern Recognition Letters 13, 1992; Gil and Werman, IEEE PAMI 15, 1993.) The generated text says
// `widest`, how many vectors leave registers for the work, and `same_lanes`.
#pragma once
#include "window_states.h"

// How many rows are walked at a time: of those that lie ready, and of others, which are copied.
static constexpr ms_int ROWS = 64, COPIED = 16;

INLINE ms_int whole(ms_int columns) { return (columns + W - 1) / W * W; }
// Rows of carries, for columns from `first` on; behind each row the lanes that all its columns share.
struct carry_rows {
  u8* at;
  ms_int pitch, first;
  u8* row(ms_int t) const { return at + t * (pitch * carry_bytes + same_lanes::bytes); }
};
INLINE void put_row(const carry_rows& c, ms_int t, ms_int j, const state& s) {
  u8* const row = c.row(t);
  registers::put_carry<true>(row, c.pitch, c.first + j, s);
  same_lanes::put(row + c.pitch * carry_bytes, s);
}
INLINE state get_row(const carry_rows& c, ms_int t, ms_int j) {
  const u8* const row = c.row(t);
  state s;
  registers::get_carry<true>(row, c.pitch, c.first + j, s);
  same_lanes::get(row + c.pitch * carry_bytes, s);
  return s;
}
// Steps of some columns, and the bytes from each to the next.
struct some_rows {
  elements e;
  results r;
  ms_int x_step[arity], y_step[outputs + 1], first, count, room;
};
static some_rows rows_from(const piece& p, const elements& captured_rows, ms_int t, ms_int count, ms_int room) {
  some_rows s = {captured_rows, {}, {}, {}, t, count, room};
  tile_at(p, t, count, room, {s.e.x, s.x_step, s.r.y, s.y_step});
  return s;
}
static ms_int tile_bytes(const ms_launch* g) {
  return padded(g->inner) * (captured_arrays::bytes + COPIED * (in::bytes + out::bytes));
}

// ------------------------------------------------------------------ once more in order
// A step at which an element is bad, for each of some columns: windows that hold it are as they are.
struct witness {
  i32v step;
};
// Elements of W columns, `each(t, state)` for all steps from `first` to `last` or back, as long as it says so.
template <class F>
INLINE void walk_rows(const piece& p, ms_int j, int m, ms_int first, ms_int last, const captures& k, F each) {
  piece q = p;
  q.c0 = p.c0 + j, q.c1 = q.c0 + m, q.buffer = p.buffer + tile_bytes(p.g);
  const ms_int down = first <= last ? 1 : -1, all = (last - first) * down + 1;
  bool go = true;
  for (ms_int i = 0; i < all && go; i += COPIED) {
    const ms_int count = least(COPIED, all - i), t = down > 0 ? first + i : first - i - count + 1;
    some_rows s = rows_from(q, {}, t, count, COPIED);
    if (down < 0)
      for (int n = 0; n < arity; ++n) s.e.x[n] += (count - 1) * s.x_step[n], s.x_step[n] = -s.x_step[n];
    for (ms_int n = 0; n < count && go; ++n, in::move(s.e.x, s.x_step))
      go = each(first + (i + n) * down, load(s.e, 0, m, k));
  }
}
// The windows that end at step t, of W columns of which some came out bad.
NOINLINE void again(const piece& p, ms_int t, ms_int j, int m, witness& seen, state& y, const captures& k) {
  const ms_int first = t + 1 - p.g->window;
  i32v left = bad(y) & (iota < m) & ~(seen.step >= (i32)first);
  if (!any(left)) return;
  walk_rows(p, j, m, t, first, k, [&](ms_int at, const state& x) {
    const i32v found = left & bad(x);
    seen.step = found ? splat<i32v>((i32)at) : seen.step, left &= ~found;
    return any(left);
  });
  if (!any(left)) return;
  state s = {};
  walk_rows(p, j, m, first, t, k, [&](ms_int at, const state& x) {
    s = at == first ? x : combine(s, x, k);
    return true;
  });
  choose_lanes(y, left, s, registers());
}

// ------------------------------------------------------------------ blocks
// The folds from each step of some rows to the end of its block, last step first.
template <int... v>
NOINLINE void tails(const some_rows& from, const carry_rows& to, ms_int size, ms_int j, int m, const captures* k,
                    seq<v...>) {
  elements e = from.e;
  ms_int back[arity];
  for (int i = 0; i < arity; ++i) e.x[i] += (from.count - 1) * from.x_step[i], back[i] = -from.x_step[i];
  ms_int t = from.first + from.count - 1, left = from.count;
  const bool starts = t == size - 1;
  state s[] = {starts ? load(e, j + v * W, m, k[v]) : get_row(to, t + 1, j + v * W)...};
  if (starts) {
    (put_row(to, t, j + v * W, s[v]), ...);
    --t, --left, in::move(e.x, back);
  }
  for (; left > 0; --left, --t, in::move(e.x, back)) {
    ((s[v] = combine(load(e, j + v * W, m, k[v]), s[v], k[v])), ...);
    (put_row(to, t, j + v * W, s[v]), ...);
  }
}
// The folds of a block from its first step on, each behind the end of the block before. `last`: where the fold waits
// from rows to rows.
template <bool joined, int... v>
NOINLINE void heads(const piece& p, const some_rows& from, const carry_rows& before, const carry_rows& last, ms_int j,
                    int m, const captures* k, seq<v...>) {
  const ms_int size = p.g->window;
  elements e = from.e;
  results r = from.r;
  [[maybe_unused]] witness seen[] = {{splat<i32v>((i32)(-2 - size - v))}...};
  state s[sizeof...(v)] = {};
  // What columns share was left there by those before, which have put what comes next beside it.
  u8* const same = last.at + last.pitch * carry_bytes;
  const int turn = (int)(from.first / from.room % 2);
  if (from.first > 0)
    ((s[v] = get_row(last, 0, j + v * W), same_lanes::get(same + turn * same_lanes::bytes, s[v])), ...);
  for (ms_int t = from.first; t < from.first + from.count; ++t) {
    const input x[] = {load_input(e, j + v * W, m)...};
    if (t > 0) ((s[v] = combine(s[v], operation::prepare(x[v], k[v]), k[v])), ...);
    else ((s[v] = operation::prepare(x[v], k[v])), ...);
    state y[] = {s[v]...};
    if constexpr (joined)
      if (t + 1 < size) {
        ((y[v] = combine(get_row(before, t + 1, j + v * W), s[v], k[v])), ...);
        if ((any_bad(y[v]) || ...)) (again(p, t, j + v * W, m, seen[v], y[v], k[v]), ...);
      }
    (store(r, j + v * W, m, y[v], x[v], k[v]), ...);
    in::move(e.x, from.x_step), out::move(r.y, from.y_step);
  }
  (registers::put_carry<true>(last.at, last.pitch, last.first + j + v * W, s[v]), ...);
  same_lanes::put(same + (1 - turn) * same_lanes::bytes, s[0]);
}

// All columns of some rows, a few vectors at a time.
template <int vectors, class F> INLINE ms_int groups(const piece& p, const elements& captured_rows, ms_int j, F each) {
  const ms_int count = p.c1 - p.c0;
  for (; j < count && (vectors == 1 || j + vectors * W <= count); j += vectors * W) {
    captures k[vectors];
    for (int v = 0; v < vectors; ++v) captured_arrays::load(p, captured_rows, j + v * W, padded(p.g->inner), k[v]);
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
  const ms_int size = p.g->window, tile = columns_lie_ready(p.g) ? ROWS : COPIED;
  const carry_rows before = {p.buffer + 2 * tile_bytes(p.g), whole(p.g->inner), p.c0};
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
      p.seeded ? heads<true>(p, s, before, last, j, m, k, v) : heads<false>(p, s, before, last, j, m, k, v);
    });
    unpack_tile(p, t, s.count, s.r.y, s.y_step);
  }
}
bool fits(const ms_launch*) { return true; }
ms_int buffer_bytes(const ms_launch* g) {
  return 2 * tile_bytes(g) + g->window * (whole(g->inner) * carry_bytes + same_lanes::bytes);
}
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }
#include "launch.h"
