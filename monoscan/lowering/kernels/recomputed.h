// The adjoint of a fold as one loop that makes its states again.
//
// W columns at a time, or one in scalar code, all of time: a walk ahead notes the state before each tile of steps, then
// tile after tile is walked ahead once more from there, into a buffer that caches hold, and back. What columns, steps
// or rows share gets its cotangents summed here: over lanes by trees, over steps in registers, over blocks of columns
// in the array itself. The generated text gives `operation`: `step` and `begin`, ahead, leave values for `step_back`
// and `begin_back`.
#pragma once
#include "holders.h"
#include "recomputed_memory.h"
#include "subnormals.h"

typedef operation::state state;
typedef operation::element element;
typedef operation::captures captures;
typedef operation::cotangents cotangents;
typedef operation::kept kept;
typedef operation::gradients gradients;
typedef operation::totals totals;

// ------------------------------------------------------------------ steps
// Where columns lie otherwise, and at the ends, code is shared and not fast.
NOINLINE void step_apart(const state& l, const element& x, const captures& k, state& s, kept& v) {
  operation::step(l, x, k, s, v);
}
NOINLINE void step_back_apart(const state* s, const kept& v, const element& x, const captures& k, const cotangents& g,
                              cotangents& left, gradients& d, totals& c) {
  operation::step_back(s[0], s[1], v, x, k, g, left, d, c);
}
template <class O> NOINLINE void begin(element x, const captures& k, typename O::state& s, kept& v) {
  O::begin(x, k, s, v);
}
template <bool ready>
INLINE void ahead(const piece& p, ms_int t, ms_int j, int m, const state& l, const captures& k, state& s, kept& v) {
  element x;
  read_inputs<ready>(p, place_of(p, t), j, m, x, read_elements());
  if constexpr (!seeded)
    if (t == 0) return begin<operation>(x, k, s, v);
  if constexpr (ready) operation::step(l, x, k, s, v);
  else step_apart(l, x, k, s, v);
}
template <class O>
NOINLINE void begin_back(state s, kept v, element x, const captures& k, cotangents g, gradients& d, totals& c) {
  O::begin_back(s, v, x, k, g, d, c);
}
template <bool ready>
INLINE void back(const piece& p, ms_int t, ms_int j, int m, const state* s, const kept& v, const captures& k,
                 cotangents& g, totals& c) {
  const ms_int at = place_of(p, t);
  element x;
  cotangents w = {}, left = {};
  gradients d;
  if (p.stream) read_inputs<ready>(p, at, j, m, w, read_weights());
  else read_inputs<false>(p, at, j, m, w, read_weights());
  read_inputs<ready>(p, at, j, m, x, read_elements());
  add(g, w, read_weights());
  if (seeded || t > 0) {
    if constexpr (ready) operation::step_back(s[0], s[1], v, x, k, g, left, d, c);
    else step_back_apart(s, v, x, k, g, left, d, c);
  } else {
    gradients own = {};
    totals sums = c;
    if constexpr (!seeded) begin_back<operation>(s[1], v, x, k, g, own, sums);
    d = own, c = sums;
  }
  g = left;
  store<ready>(p, at, j, m, d, stored());
  store_added(p, at, j, m, d, added());
  store_summed<ready>(p, at, m, d, summed());
}

// ------------------------------------------------------------------ a block of columns
// What a task keeps: the states before tiles, and those of one tile, with what steps leave for the way back.
struct tiles_of {
  ms_int steps, count;
  state *before, *states;
  kept* values;
};
static constexpr ms_int STEP_BYTES = sizeof(state) + sizeof(kept);
INLINE ms_int tile_for(const ms_launch* g) {
  const ms_int n = g->n, room = room_for_tile(g);
  ms_int steps = 16;
  while (steps < n && 2 * steps * STEP_BYTES <= room) steps *= 2;
  while (steps * steps < n) steps *= 2;
  return least(steps, n);
}
INLINE ms_int tile_bytes(const ms_launch* g) {
  const ms_int n = g->n, steps = tile_for(g);
  return 128 + ((n + steps - 1) / steps + steps + 1) * (ms_int)sizeof(state) + steps * (ms_int)sizeof(kept);
}
INLINE tiles_of tiles_in(u8* memory, const ms_launch* g) {
  const ms_int n = g->n;
  tiles_of t;
  t.steps = tile_for(g), t.count = (n + t.steps - 1) / t.steps;
  t.before = (state*)(((u64)memory + 127) / 128 * 128);
  t.states = t.before + t.count, t.values = (kept*)(t.states + t.steps + 1);
  return t;
}
// Steps that are foreseen.
static constexpr ms_int AHEAD = 8;
// The first steps of all tiles but the last: where each begins.
template <bool ready>
INLINE void note_tiles(const piece& p, const tiles_of& tiles, ms_int j, int m, const captures& k) {
  state s = {};
  read_inits(p, j, m, s, given_states());
  ms_int t = 0;
  for (ms_int tile = 0; tile + 1 < tiles.count; ++tile) {
    tiles.before[tile] = s;
    for (const ms_int end = t + tiles.steps; t < end; ++t) {
      state next;
      kept unread;
      if constexpr (ready) fetch(p, place_of(p, t + AHEAD), j, read_elements());
      ahead<ready>(p, t, j, m, s, k, next, unread);
      s = next;
    }
  }
  tiles.before[tiles.count - 1] = s;
}
// `ready`: all columns of a vector, which lie as they are read.
template <bool ready> NOINLINE void walk_block(const piece& p, ms_int j, int m) {
  const tiles_of tiles = tiles_in(p.buffer, p.g);
  captures k;
  held_numbers::read(p.g, k);
  read_inputs<false>(p, 0, j, m, k, captured_arrays());
  note_tiles<ready>(p, tiles, j, m, k);
  cotangents g = {};
  totals c = {};
  read_inits(p, j, m, g, ends());
  for (ms_int tile = tiles.count; tile-- > 0;) {
    const ms_int first = tile * tiles.steps, last = least(p.g->n, first + tiles.steps);
    tiles.states[0] = tiles.before[tile];
    for (ms_int t = first, i = 0; t < last; ++t, ++i) {
      if constexpr (ready) {
        fetch(p, place_of(p, least(t + AHEAD, last - 1)), j, read_elements());
        fetch(p, place_of(p, t), j, read_weights()), fetch_results(p, place_of(p, t), j, stored());
      }
      ahead<ready>(p, t, j, m, tiles.states[i], k, tiles.states[i + 1], tiles.values[i]);
    }
    totals own = {};  // sums of sums lose less
    for (ms_int t = last - 1, i = t - first; t >= first; --t, --i)
      back<ready>(p, t, j, m, tiles.states + i, tiles.values[i], k, g, own);
    add(c, own, totals_of_columns()), add(c, own, totals_of_all());
  }
  if constexpr (seeded) give<ready>(p, j, m, g, ends());
  store_added(p, 0, j, m, c, totals_of_columns());
  store_summed<ready>(p, 0, m, c, totals_of_all());
}
void span(const piece& given, bool) {
  piece p = given;
  p.stream = all_ready(p.g->inputs, read_weights());
  const bool ready = all_ready(p.g->inputs, read_elements());
  for (ms_int j = p.c0; j < p.c1; j += C)
    if (ready && j + C <= p.c1) walk_block<true>(p, j, C);
    else if constexpr (!scalar_code) walk_block<false>(p, j, (int)least(W, p.c1 - j));
}
bool fits(const ms_launch*) { return true; }
// Tiles of shorter sequences may be smaller, and more: never more bytes than twice.
ms_int buffer_bytes(const ms_launch* g) { return tile_bytes(g) * (g->bounds || g->lengths ? 2 : 1); }
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }

template <class... L> struct sums_list {
  static constexpr leaf_facts at[] = {{L::index, L::lanes, (int)sizeof(typename L::item)}..., {}};
  static constexpr leaf_list list = {at, sizeof...(L), 0};
};
template <class... A, class... B, class... C, class... D>
constexpr leaf_list all_sums(arrays<A...>, arrays<B...>, arrays<C...>, arrays<D...>) {
  return sums_list<A..., B..., C..., D...>::list;
}
static constexpr adjoint_facts own = {false,
                                      true,
                                      seeded,
                                      0,
                                      {},
                                      {},
                                      facts_of<read_weights>::list,
                                      {},
                                      facts_of<stored>::list,
                                      facts_of<ends>::list,
                                      {},
                                      {},
                                      holders_of(read_weights(), ends())};
extern const kernel_facts facts = {reverse,
                                   true,
                                   false,
                                   false,
                                   false,
                                   C,
                                   0,
                                   inputs,
                                   outputs,
                                   inits,
                                   carries,
                                   0,
                                   position_bytes,
                                   nanoseconds,
                                   0,
                                   0,
                                   {},
                                   all_sums(added(), summed(), totals_of_columns(), totals_of_all()),
                                   {},
                                   nullptr,
                                   0,
                                   nullptr,
                                   &own};
MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) { schedule_summed(g, s); }
MS_EXPORT void ms_task(const ms_launch* g, ms_int phase, ms_int task) {
  [[maybe_unused]] const arithmetic_mode mode;
  run_summed(g, phase, task);
}
