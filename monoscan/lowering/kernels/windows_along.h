// Windows along a row, W of them, one after the other, in a vector.
//
// Folds of W elements from each on come by doubling, those of what is left of the size on the way: a fold of 2 d is one
// of d before the one d places on. A window is then so many folds that lie W apart, and those are windows of vectors:
// blocks of as many vectors as a window has, scanned from either end, and no lane ever moves. The first windows, which
// hold what there is, are folded in order.
// (van Herk, Pattern Recognition Letters 13, 1992; Gil and Werman, IEEE PAMI 15, 1993.) The generated text says
// `same_lanes`.
#pragma once
#include "window_levels.h"

static constexpr ms_int TILE = 1024;  // what does not lie in rows is copied

// What all folds share that meet at one vector of a block: at its end, before it, between the two, with what is left.
struct shares {
  shared tail, chain, joint, rest;
};
static constexpr bool shares_any = same_lanes::bytes > 0;

// One row: where it is, and what its tasks keep.
struct row_of_windows {
  const piece& p;
  captures k;
  ms_int size, vectors, bits;  // of a window; `bits` is what is left, or the size where no vector is whole
  u8* block;                   // the vectors of a block
  shares* of;                  // of each vector, where folds share anything; and of those from there to the end
  u8* ends;
  ms_int witness;  // an element that is bad: windows that hold it are as they are
};
INLINE ms_int block_pitch(const row_of_windows& w) { return w.vectors * W; }
INLINE shared share_of([[maybe_unused]] const row_of_windows& w, [[maybe_unused]] ms_int p, shared shares::*which) {
  if constexpr (shares_any) return w.of[p].*which;
  else return {};
}
INLINE void put_block(const row_of_windows& w, ms_int p, const state& s) {
  registers::put_carry<true>(w.block, block_pitch(w), p * W, s);
}
INLINE void get_block(const row_of_windows& w, ms_int p, state& s) {
  registers::get_carry<true>(w.block, block_pitch(w), p * W, s);
}

// The buffer of a task begins with tiles of what does not lie in rows: inputs, results and the inputs at the same
// steps, what is folded once more.
static constexpr ms_int ROOM = TILE + (AHEAD + 2) * W;
static constexpr ms_int of_results = ROOM * in::bytes, once_more = of_results + TILE * (in::bytes + out::bytes);
static constexpr ms_int tiles_bytes = (once_more + TILE * (in::bytes + out::bytes) + 63) / 64 * 64;
// The same row for a tile there, from this step on.
static piece tile_of(const piece& p, ms_int offset, ms_int t) {
  piece q = p;
  q.buffer += offset, q.t0 = t;
  return q;
}

// ------------------------------------------------------------------ once more in order
template <class F> INLINE void walk_row(const row_of_windows& w, ms_int first, ms_int last, F each) {
  const ms_int down = first <= last ? 1 : -1, all = (last - first) * down + 1;
  bool go = true;
  for (ms_int i = 0; i < all && go; i += TILE - W) {
    const ms_int count = least(TILE - W, all - i), t = down > 0 ? first + i : first - i - count + 1;
    const ms_int there = least(count + W, w.p.g->n - t);
    elements e;
    inputs_at(tile_of(w.p, once_more, t), t, there, TILE, e.x, true);
    for (ms_int n = 0; n < count && go; ++n) {
      const ms_int j = down > 0 ? n : count - 1 - n;
      go = each(t + j, load(e, j, (int)least(W, there - j), w.k));
    }
  }
}
// The windows from `start` on, the first m of them, of which some came out bad.
NOINLINE state again(row_of_windows& w, ms_int start, int m, state y) {
  const ms_int last = start + w.size - 1;  // of the first of them
  i32v left = bad(y) & (iota < m);
  const auto holds = [&](ms_int at) { return (iota >= (i32)(at - last)) & (iota <= (i32)least(at - start, W)); };
  if (w.witness >= start) left &= ~holds(w.witness);
  const auto look = [&](ms_int at, const state& x) {
    const i32v found = bad(x);
    for (int l = W - 1; l >= 0; --l)
      if (found[l] && any(left & holds(at + l))) w.witness = at + l, left &= ~holds(at + l);
    return any(left) != 0;
  };
  const ms_int end = last + m - 1;
  for (ms_int at = end / W * W; at + W > start && any(left); at -= W) walk_row(w, at, at, look);
  if (!any(left)) return y;
  state s = {};
  walk_row(w, start, last, [&](ms_int at, const state& x) {
    s = at == start ? x : combine(s, x, w.k);
    return true;
  });
  choose_lanes(y, left, s, registers());
  return y;
}

// ------------------------------------------------------------------ blocks
// What folds share, for each vector of a block: of what stands from there to its end, of what stands before there.
NOINLINE void note_shares(const row_of_windows& w) {
  state whole = operation::prepare(input(), w.k), part, ends, before;
  set(part, whole);
  level<1> line;
  level<1>::begin(line, whole, part, w.bits, w.k);
  set(ends, whole);
  for (ms_int p = w.vectors - 1; p >= 0; --p) {
    if (p < w.vectors - 1) w.of[p].tail = operation::share(whole, ends), set(ends, combine(whole, ends, w.k));
    same_lanes::put(w.ends + p * same_lanes::bytes, ends);
  }
  set(before, whole);
  for (ms_int p = 0; p < w.vectors; ++p) {
    state y;
    same_lanes::get(w.ends + p * same_lanes::bytes, y);
    if (p > 0) {
      w.of[p].joint = operation::share(y, before), set(y, combine(y, before, w.k));
      w.of[p].chain = operation::share(before, whole), set(before, combine(before, whole, w.k));
    }
    w.of[p].rest = operation::share(y, part);
  }
}
// From each vector of a block to its end, last vector first.
INLINE void tails(const row_of_windows& w, const captures& k) {
  state s, x;
  get_block(w, w.vectors - 1, s);
  for (ms_int p = w.vectors - 2; p >= 0; --p) {
    get_block(w, p, x), set(s, operation::combine(x, s, share_of(w, p, &shares::tail), k));
    put_block(w, p, s);
  }
}
// Vectors of inputs from the `first` on, and where the windows that end with them go.
struct stretch {
  elements e, ends;  // `ends`: the inputs where windows end
  results r;
  ms_int there;                // how many inputs there are
  ms_int first, vectors, end;  // no window starts at `end`
};
INLINE state load(const elements& e, ms_int there, ms_int j, const captures& k) {
  if (j + W <= there) return load(e, j, W, k);
  return j < there ? load(e, j, (int)(there - j), k) : operation::prepare(input(), k);
}
// FILL: the first block, which has none before it. PLAIN stops where a window came out bad: a loop with a call in it
// holds nothing in registers. CAREFUL looks after those.
enum { FILL, PLAIN, CAREFUL };
template <int how>
NOINLINE ms_int run(row_of_windows& given, const stretch& s, ms_int from, ms_int count, state& prefix) {
  row_of_windows& w = given;
  const ms_int q = w.vectors, bits = w.bits, there = s.there;
  const captures k = w.k;
  const elements e = s.e;
  const results r = s.r;
  level<1> line;
  state whole, part, before;  // folds of W elements, of what is left; of the vectors of this block before
  set(whole, operation::prepare(input(), k)), set(part, whole);
  level<1>::begin(line, whole, part, bits, k);
  ms_int j = from * W;
  for (int i = 0; i < AHEAD; ++i) {
    set(whole, load(e, there, j + i * W, k)), set(part, whole);
    level<1>::push(line, whole, part, bits, k);
  }
  set(before, prefix);
  ms_int p = q ? (s.first + from) % q : 0;
  const ms_int stop = (from + count) * W;
  for (; j < stop; j += W) {
    set(whole, load(e, there, j + AHEAD * W, k)), set(part, whole);
    level<1>::push(line, whole, part, bits, k);
    if (how != FILL) {
      state y;
      if (q) {
        get_block(w, p, y);
        if (p > 0) set(y, operation::combine(y, before, share_of(w, p, &shares::joint), k));
        else same_lanes::get(w.ends, y);
        if (bits) set(y, operation::combine(y, part, share_of(w, p, &shares::rest), k));
      } else set(y, part);
      const ms_int start = (s.first - q) * W + j;
      const int m = (int)least(W, s.end - start);
      if (any_bad(y)) {
        if (how == PLAIN) break;
        set(y, again(w, start, m, y));
      }
      store(r, j, m, y, reads_inputs ? load_input(s.ends, j, m) : input(), k);
    }
    if (q) {
      if (p > 0) set(before, operation::combine(before, whole, share_of(w, p, &shares::chain), k));
      else set(before, whole);
      put_block(w, p, whole);
      if (++p == q) tails(w, k), p = 0;
    }
  }
  set(prefix, before);
  return j / W;
}
static constexpr ms_int LOOKED_AFTER = 64;  // vectors
static void run(row_of_windows& w, const stretch& s, bool shown, state& prefix) {
  if (!shown) return (void)run<FILL>(w, s, 0, s.vectors, prefix);
  for (ms_int v = 0; v < s.vectors;) {
    v = run<PLAIN>(w, s, v, s.vectors - v, prefix);
    if (guarded && v < s.vectors) v = run<CAREFUL>(w, s, v, least(LOOKED_AFTER, s.vectors - v), prefix);
  }
}

// ------------------------------------------------------------------ rows
// The windows that hold what there is, one after the other.
template <class... L> INLINE void load_alike(const elements& e, ms_int j, input& x, leaves<L...>) {
  (L::load_alike((const typename L::item*)e.x[L::index] + j * L::lanes, x, typename L::each()), ...);
}
NOINLINE void first_tile(const elements& e, const results& r, ms_int count, bool starts, state& fold,
                         const captures& k) {
  state s;
  set(s, fold);
  for (ms_int j = 0; j < count; ++j) {
    input x;
    load_alike(e, j, x, in());
    const state own = operation::prepare(x, k);
    if (starts && j == 0) set(s, own);
    else set(s, operation::combine(s, own, k));
    store(r, j, 1, s, x, k);
  }
  set(fold, s);
}
// A function for each tile: across the calls in between nothing stays in a register.
NOINLINE void first_windows(const row_of_windows& w, ms_int end) {
  state s = {};
  for (ms_int t = 0; t < end; t += TILE) {
    const ms_int count = least(TILE, end - t);
    elements e;
    results r;
    rows_at(tile_of(w.p, of_results, t), t, count, TILE, e.x, r.y);
    first_tile(e, r, count, t == 0, s, w.k);
    unpack_rows(w.p, t, count, r.y);
  }
}
// Vectors of inputs from `first` to `last`.
static void stretches(row_of_windows& w, ms_int first, ms_int last, ms_int end, bool shown, state& prefix) {
  const ms_int n = w.p.g->n, most = rows_lie_ready(w.p.g) ? last - first : TILE / W;
  for (ms_int v = first; v < last; v += most) {
    stretch s = {};
    s.first = v, s.vectors = least(most, last - v), s.end = end;
    const ms_int t = v * W, at = t + (w.vectors ? w.bits : w.size) - 1, start = (v - w.vectors) * W;
    s.there = t < n ? least((s.vectors + AHEAD) * W, n - t) : 0;
    const piece results = tile_of(w.p, of_results, at);
    if (s.there) inputs_at(tile_of(w.p, 0, t), t, s.there, ROOM, s.e.x, true);
    const ms_int count = least(s.vectors * W, end - start);
    if (shown && reads_inputs) inputs_at(results, at, count, TILE, s.ends.x, true);
    if (shown) outputs_at(results, at, TILE, s.r.y);
    run(w, s, shown, prefix);
    if (shown) unpack_rows(results, at, count, s.r.y);
  }
}

// ------------------------------------------------------------------ pieces: some windows of a row, by where they start
void span(const piece& p, bool) {
  const ms_int size = p.g->window, q = size / W, first = p.t0 / W;
  u8* const memory = p.buffer + tiles_bytes;
  row_of_windows w = {p,       {}, size, q, q ? size % W : size, memory, (shares*)(memory + q * W * carry_bytes),
                      nullptr, -1};
  w.ends = (u8*)(w.of + q);
  captured_arrays::spread(p, w.k);
  if (shares_any) note_shares(w);
  if (p.t0 == 0) first_windows(w, size - 1);
  state prefix = {};
  if (q) stretches(w, first, first + q, p.t1, false, prefix);
  stretches(w, first + q, (p.t1 + W - 1) / W + q, p.t1, true, prefix);
}
ms_int buffer_bytes(const ms_launch* g) {
  return tiles_bytes +
         g->window / W * (W * carry_bytes + (shares_any ? (ms_int)sizeof(shares) + same_lanes::bytes : 0));
}
bool fits(const ms_launch*) { return true; }
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }
#include "launch.h"
