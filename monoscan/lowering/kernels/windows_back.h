// The gradient of windows: cotangents of inputs from those of outputs.
//
// A window is the end of one block and the start of the next (windows.h). So the steps of a block are read by windows
// that end in it, through its folds from the first step on, and by windows that end in the next block, through its
// folds to the end. All these folds are made again, and walked back: those from the first step on from the last of them
// to the first, those to the end the other way, and each adds what the windows say of it on the way. The generated text
// gives `operation` with `prepare`, `combine`, `back` from a fold to its two operands, `weigh` from an output to its
// fold, and `give` from an element to its inputs; `ins` and `weighed` are the leaves of inputs and of cotangents of
// outputs, `reads_states` says whether derivatives read a state.
#pragma once
#include "window_lanes.h"
#include "subnormals.h"

// All rows of a block.
struct block_rows {
  elements e;
  results r;
  ms_int x_step[arity], y_step[outputs + 1], count;
};
static ms_int rows_bytes(const ms_launch* g, ms_int columns) {
  return (g->window * padded(columns) * (in::bytes + out::bytes) + 63) / 64 * 64;
}
// So many from step t on, of the first `leaves` of what is read.
static block_rows rows_of(const piece& p, u8* buffer, ms_int t, ms_int count, int leaves) {
  piece q = p;
  q.buffer = buffer;
  block_rows b = {};
  b.count = count;
  if (count > 0) tile_at(q, t, count, p.g->window, {b.e.x, b.x_step, b.r.y, b.y_step, leaves});
  return b;
}
INLINE elements step_of(const block_rows& b, ms_int t) {
  elements e = b.e;
  for (int i = 0; i < arity; ++i) e.x[i] += t * b.x_step[i];
  return e;
}

// Some vectors of columns: what a block holds, and what waits of it.
struct strip {
  block_rows own, next;
  captures k;
  state *heads, *tails;  // the folds from the first step on, and those to the end
  gradient* of;          // the cotangents of elements
  ms_int size;
  int m;  // columns of the last vector
};
template <class L, class S> INLINE void load_step(const block_rows& b, ms_int t, int v, int m, S& x) {
  const elements e = step_of(b, t);
  m == W ? L::load(e, v * W, x) : L::load_part(e, v * W, m, x);
}
INLINE input input_at(const block_rows& b, ms_int t, int v, int m) {
  input x;
  load_step<ins>(b, t, v, m, x);
  return x;
}
INLINE state element_at(const strip& s, const block_rows& b, ms_int t, int v) {
  return operation::prepare(input_at(b, t, v, s.m), s.k);
}
INLINE weights weights_at(const strip& s, const block_rows& b, ms_int t, int v) {
  weights w;
  load_step<weighed>(b, t, v, s.m, w);
  return w;
}
// What all columns share stands with the first vector.
template <int vectors>
INLINE void put_state([[maybe_unused]] state* rows, [[maybe_unused]] ms_int t, [[maybe_unused]] int v,
                      [[maybe_unused]] const state& s) {
  if constexpr (reads_states) {
    take_lanes(rows[t * vectors + v], s, registers());
    if (v == 0) same_lanes::take(rows[t * vectors], s);
  }
}
template <int vectors>
INLINE state get_state([[maybe_unused]] const state* rows, [[maybe_unused]] ms_int t, [[maybe_unused]] int v) {
  state s = {};
  if constexpr (reads_states) {
    take_lanes(s, rows[t * vectors + v], registers());
    same_lanes::take(s, rows[t * vectors]);
  }
  return s;
}

// ------------------------------------------------------------------ folds
template <int... v> NOINLINE void make_tails(const strip& s, const block_rows& rows, seq<v...>) {
  constexpr int vectors = sizeof...(v);
  ms_int t = rows.count - 1;
  state y[] = {element_at(s, rows, t, v)...};
  (put_state<vectors>(s.tails, t, v, y[v]), ...);
  while (--t > 0) {  // no window reaches the first step of the block before
    const state x[] = {element_at(s, rows, t, v)...};
    const shared u = operation::share(x[0], y[0]);
    ((y[v] = operation::combine(x[v], y[v], u, s.k)), ...);
    (put_state<vectors>(s.tails, t, v, y[v]), ...);
  }
}
template <int... v> NOINLINE void make_heads(const strip& s, seq<v...>) {
  constexpr int vectors = sizeof...(v);
  state y[] = {element_at(s, s.own, 0, v)...};
  (put_state<vectors>(s.heads, 0, v, y[v]), ...);
  for (ms_int t = 1; t < s.own.count; ++t) {
    const state x[] = {element_at(s, s.own, t, v)...};
    const shared u = operation::share(y[0], x[0]);
    ((y[v] = operation::combine(y[v], x[v], u, s.k)), ...);
    (put_state<vectors>(s.heads, t, v, y[v]), ...);
  }
}

// ------------------------------------------------------------------ and back
// What a window says of the two parts that it has.
template <int n, int... v>
INLINE void both(const strip& s, const state (&l)[n], const state (&r)[n], const block_rows& rows, ms_int t,
                 sides (&to)[n], seq<v...>) {
  const shared u = operation::share(l[0], r[0]);
  const state y[] = {operation::combine(l[v], r[v], u, s.k)...};
  const shared_weigh w = operation::share_weigh(y[0]);
  const shared_back b = operation::share_back(l[0], r[0]);
  ((to[v] = operation::back(l[v], r[v], operation::weigh(y[v], weights_at(s, rows, t, v), w, s.k), b, s.k)), ...);
}
template <int... v> NOINLINE void back_from_heads(const strip& s, bool seeded, seq<v...> all) {
  constexpr int vectors = sizeof...(v);
  gradient g[vectors] = {};
  for (ms_int t = s.own.count - 1; t >= 0; --t) {
    const state y[] = {get_state<vectors>(s.heads, t, v)...};
    if (seeded && t + 1 < s.size) {
      const state l[] = {get_state<vectors>(s.tails, t + 1, v)...};
      sides d[vectors];
      both(s, l, y, s.own, t, d, all);
      (gradients::add(g[v], d[v].right), ...);
    } else {
      const shared_weigh w = operation::share_weigh(y[0]);
      (gradients::add(g[v], operation::weigh(y[v], weights_at(s, s.own, t, v), w, s.k)), ...);
    }
    if (t == 0) break;
    const state l[] = {get_state<vectors>(s.heads, t - 1, v)...}, x[] = {element_at(s, s.own, t, v)...};
    const shared_back b = operation::share_back(l[0], x[0]);
    const sides d[] = {operation::back(l[v], x[v], g[v], b, s.k)...};
    (gradients::set(s.of[t * vectors + v], d[v].right), ...), (gradients::set(g[v], d[v].left), ...);
  }
  (gradients::set(s.of[v], g[v]), ...);
}
template <int... v> NOINLINE void back_from_tails(const strip& s, seq<v...> all) {
  constexpr int vectors = sizeof...(v);
  gradient g[vectors] = {};
  state r[vectors] = {};
  for (ms_int t = 0; t + 1 < s.size; ++t) {
    const state l[] = {get_state<vectors>(s.tails, t + 1, v)...};
    if (t < s.next.count) {
      const state x[] = {element_at(s, s.next, t, v)...};
      const shared u = operation::share(r[0], x[0]);
      ((r[v] = t > 0 ? operation::combine(r[v], x[v], u, s.k) : x[v]), ...);
      sides d[vectors];
      both(s, l, r, s.next, t, d, all);
      (gradients::add(g[v], d[v].left), ...);
    }
    if (t + 2 < s.size) {
      const state x[] = {element_at(s, s.own, t + 1, v)...}, rest[] = {get_state<vectors>(s.tails, t + 2, v)...};
      const shared_back b = operation::share_back(x[0], rest[0]);
      const sides d[] = {operation::back(x[v], rest[v], g[v], b, s.k)...};
      (gradients::add(s.of[(t + 1) * vectors + v], d[v].left), ...), (gradients::set(g[v], d[v].right), ...);
    } else {
      (gradients::add(s.of[(t + 1) * vectors + v], g[v]), ...);
    }
  }
}
template <int... v> NOINLINE void give_all(const strip& s, seq<v...>) {
  constexpr int vectors = sizeof...(v);
  results r = s.own.r;
  for (ms_int t = 0; t < s.own.count; ++t, out::move(r.y, s.own.y_step)) {
    const output y[] = {operation::give(input_at(s.own, t, v, s.m), s.of[t * vectors + v], s.k)...};
    ((s.m == W ? out::store(r, v * W, y[v]) : out::store_part(r, v * W, s.m, y[v])), ...);
  }
}

// ------------------------------------------------------------------ pieces
// The columns of a piece as many vectors at a time as fit in registers; each has its memory for itself.
template <int vectors> static ms_int strips(const piece& p, ms_int j) {
  const ms_int size = p.g->window, rows = rows_bytes(p.g, vectors * W), count = p.c1 - p.c0;
  for (; j < count && (vectors == 1 || j + vectors * W <= count); j += vectors * W) {
    piece q = p;
    q.c0 = p.c0 + j, q.c1 = q.c0 + least(vectors * W, count - j);
    strip s = {};
    s.size = size, s.m = (int)least(W, count - j);
    captured_arrays::spread(q, s.k);
    s.of = (gradient*)(p.buffer + 2 * rows), s.heads = (state*)(s.of + size * vectors);
    s.tails = s.heads + size * vectors;
    const upto<vectors> all;
    s.own = rows_of(q, p.buffer, 0, p.t1, arity);
    if (reads_states) make_heads(s, all);
    if (reads_states && p.seeded) make_tails(s, rows_of(q, p.buffer + rows, -size, size, ins::count), all);
    back_from_heads(s, p.seeded, all);
    s.next = rows_of(q, p.buffer + rows, size, p.behind, arity);
    if (reads_states && p.behind > 0) make_tails(s, s.own, all);
    if (p.behind > 0) back_from_tails(s, all);
    give_all(s, all);
    unpack_tile(q, 0, p.t1, s.own.r.y, s.own.y_step);
  }
  return j;
}
void span(const piece& p, bool) {
  ms_int j = 0;
  if constexpr (widest >= 2) j = strips<2>(p, j);
  strips<1>(p, j);
}
bool fits(const ms_launch*) { return true; }
ms_int buffer_bytes(const ms_launch* g) {
  const ms_int waiting = widest * g->window * (ms_int)(2 * sizeof(state) + sizeof(gradient));
  return 2 * rows_bytes(g, widest * W) + waiting + 64;
}
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }

extern const kernel_facts facts = {false,
                                   true,
                                   false,
                                   false,
                                   true,
                                   W,
                                   arity,
                                   inputs,
                                   outputs,
                                   0,
                                   0,
                                   0,
                                   0,
                                   nanoseconds,
                                   0,
                                   0,
                                   {in::facts, in::count, in::bytes},
                                   {out::facts, out::count, out::bytes},
                                   {captured_arrays::facts, captured_arrays::count, captured_arrays::bytes},
                                   carried,
                                   0,
                                   nullptr,
                                   nullptr,
                                   true,
                                   true};
MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) { schedule_scan(g, s); }
MS_EXPORT void ms_task(const ms_launch* g, ms_int phase, ms_int task) {
  [[maybe_unused]] const arithmetic_mode mode;
  run_scan(g, phase, task);
}
