// inner == 1, states with an action: a vector holds the same step of W runs of one row, each a part of time.
//
// A block of some vectors of runs is turned, so that every lane walks a run of its own. The elements of each run are
// folded in step; the state goes from run to run by these totals; then all runs are acted at once, each from its true
// state, and the next block starts from what was acted. From the first run on whose total, or the state behind it, is
// not ordinary a block is acted in order.
//
// The generated text says `gates`, the leaves by whose bits: what they hold of a product depends on none but
// themselves, and on the left no other leaf reads them. Where they are the same at every step, so is their product in
// every run. `parts` is a list of the lanes of an element, `of_elements` of its leaves; where elements are prepared of
// what is read, `steady_gates` says that these gates are the same.
#pragma once
#include "runs_memory.h"

COMBINE element compose(const element& l, const element& r, const captures& k) { return operation::compose(l, r, k); }

// ------------------------------------------------------------------ walks
template <int n> static constexpr int nth_vector = reverse ? vectors_of_runs - 1 - n : n;
INLINE int run_at(int p) { return reverse ? RUNS - 1 - p : p; }
INLINE ms_int nth_step(const block_of_runs& b, ms_int l) { return reverse ? b.steps - 1 - l : l; }

template <bool steady, int... n>
NOINLINE void fold_runs(const block_of_runs& given, const input& fixed, element* totals, const captures& k, seq<n...>) {
  const block_of_runs b = given;
  element c[vectors_of_runs] = {prepared(step_at<steady>(b, n * b.steps + nth_step(b, 0), fixed), k)...};
  for (ms_int l = 1; l < b.steps; ++l) {
    element x[vectors_of_runs] = {prepared(step_at<steady>(b, n * b.steps + nth_step(b, l), fixed), k)...};
    ((x[n] = compose(c[n], x[n], k)), ...);
    if constexpr (steady) (copy_leaves<false>(c[n], x[n]), ...);
    else ((c[n] = x[n]), ...);
  }
  ((totals[n] = c[n]), ...);
}
// The product of what is the same at every step.
NOINLINE element product_of_gates(const element& fixed, ms_int steps, const captures& k) {
  element y = fixed;
  for (ms_int l = 1; l < steps; ++l) y = compose(y, fixed, k);
  return y;
}
template <class... L> INLINE void put_lane(state& to, int lane, const state& from, lanes<L...>) {
  ((to.*L::member = choose_lanes(iota == lane, from.*L::member, to.*L::member)), ...);
}
// The states before all runs, from one run to the next.
NOINLINE void chain(const element* totals, state* starts, const state& before, const captures& k) {
  state h = before;
  for (int p = 0; p < RUNS; ++p) {
    const int run = run_at(p);
    put_lane(starts[run / W], run % W, h, registers());
    h = combine(h, lane_of_element(totals[run / W], run % W, parts()), k);
  }
}
template <bool steady, int... n>
NOINLINE void act_runs(const block_of_runs& given, const input& fixed, const state* starts, state& last,
                       const captures& k, seq<n...>) {
  const block_of_runs b = given;
  state s[vectors_of_runs] = {starts[n]...};
  for (ms_int l = 0; l < b.steps; ++l) {
    const input x[vectors_of_runs] = {step_at<steady>(b, n * b.steps + nth_step(b, l), fixed)...};
    if constexpr (!inclusive) (store_step(b, n * b.steps + nth_step(b, l), presented(s[n], x[n], k), out()), ...);
    ((s[n] = combine(s[n], prepared(x[n], k), k)), ...);
    if constexpr (inclusive) (store_step(b, n * b.steps + nth_step(b, l), presented(s[n], x[n], k), out()), ...);
  }
  last = registers::spread(s[nth_vector<vectors_of_runs - 1>], reverse ? 0 : W - 1);
}
template <class L, class S, int... k>
INLINE void put_lane_of_leaf(const block_of_runs& b, ms_int at, int lane, const S& s, seq<k...>) {
  typedef item_of<vector_in<L>> item;
  auto* const to = (vector_in<L>*)b.y[L::index] + at * L::lanes;
  ((((item*)(to + k))[lane] = (s.*L::template member<k>)[lane]), ...);
}
template <class S, class... L>
INLINE void put_lane_of_step([[maybe_unused]] const block_of_runs& b, [[maybe_unused]] ms_int at,
                             [[maybe_unused]] int lane, const S& s, leaves<L...>) {
  (put_lane_of_leaf<L>(b, at, lane, s, typename L::each()), ...);
}
// The same from some run on, one step after another.
template <bool steady>
NOINLINE void act_in_order(const block_of_runs& b, const input& fixed, int p, const state* starts, state& last,
                           const captures& k) {
  state h = registers::spread(starts[run_at(p) / W], run_at(p) % W);
  for (; p < RUNS; ++p) {
    const int run = run_at(p);
    for (ms_int l = 0; l < b.steps; ++l) {
      const ms_int at = run / W * b.steps + nth_step(b, l);
      const input given = step_at<steady>(b, at, fixed);
      const element x = prepared(given, k);
      const state y = combine(h, lane_of_element(x, run % W, parts()), k);
      put_lane_of_step(b, at, run % W, presented(inclusive ? y : h, given, k), out());
      h = y;
    }
  }
  last = h;
}

// ------------------------------------------------------------------ blocks
// The first run whose total is not ordinary, or the state behind it; RUNS if there is none.
NOINLINE int first_spoilt(const element* totals, const state* starts) {
  i32v total[vectors_of_runs], start[vectors_of_runs], any_bad = {};
  for (int n = 0; n < vectors_of_runs; ++n) {
    total[n] = bad_lanes<CARRIED>(totals[n], parts()), start[n] = bad(starts[n]);
    any_bad |= total[n] | start[n];
  }
  if (!any(any_bad)) return RUNS;
  for (int p = 0; p < RUNS; ++p) {
    const int run = run_at(p), next = run_at(p + 1);
    if (total[run / W][run % W] || (p + 1 < RUNS && start[next / W][next % W])) return p;
  }
  return RUNS;
}
template <bool steady>
INLINE void act_block(const block_of_runs& b, const input& fixed, const element& power, state& last,
                      const captures& k) {
  element totals[vectors_of_runs];
  state starts[vectors_of_runs] = {};
  take(b, in());
  fold_runs<steady>(b, fixed, totals, k, upto<vectors_of_runs>());
  if constexpr (steady)
    for (int n = 0; n < vectors_of_runs; ++n) copy_leaves<true>(totals[n], power);
  chain(totals, starts, last, k);
  const int spoilt_run = guarded ? first_spoilt(totals, starts) : RUNS;
  act_runs<steady>(b, fixed, starts, last, k, upto<vectors_of_runs>());
  if (spoilt_run < RUNS) act_in_order<steady>(b, fixed, spoilt_run, starts, last, k);
  give(b, out());
}

// ------------------------------------------------------------------ what no block holds
template <class L> INLINE void load_alone(const block_of_runs& b, ms_int at, input& x) {
  if (!b.same[L::index]) L::load_alike((const typename L::item*)b.e.x[L::index] + at * L::lanes, x, typename L::each());
}
template <class... L> INLINE void load_alone(const block_of_runs& b, ms_int at, input& x, leaves<L...>) {
  (load_alone<L>(b, at, x), ...);
}
// Steps one after another, from rows of memory.
NOINLINE void act_alone(const block_of_runs& b, ms_int steps, const input& fixed, bool seeded, state& last,
                        const captures& k) {
  state h = last;
  for (ms_int l = 0; l < steps; ++l) {
    const ms_int at = reverse ? steps - 1 - l : l;
    input given = fixed;
    load_alone(b, at, given, in());
    const element x = prepared(given, k);
    const state y = seeded || l ? combine(h, x, k) : first(x, k);
    out::store_part(b.r, at, 1, presented(inclusive ? y : h, given, k));
    h = y;
  }
  last = h;
}

// ------------------------------------------------------------------ parts of a row, folded
template <bool steady>
NOINLINE void fold_block(const block_of_runs& b, const input& fixed, const element& power, bool seeded, element& last,
                         const captures& k) {
  element totals[vectors_of_runs], y = last;
  take(b, in());
  fold_runs<steady>(b, fixed, totals, k, upto<vectors_of_runs>());
  if constexpr (steady)
    for (int n = 0; n < vectors_of_runs; ++n) copy_leaves<true>(totals[n], power);
  for (int p = 0; p < RUNS; ++p, seeded = true) {
    const element x = lane_of_element(totals[run_at(p) / W], run_at(p) % W, parts());
    y = seeded ? compose(y, x, k) : x;
  }
  last = y;
}
NOINLINE void fold_alone(const block_of_runs& b, ms_int steps, const input& fixed, bool seeded, element& last,
                         const captures& k) {
  for (ms_int l = 0; l < steps; ++l, seeded = true) {
    input given = fixed;
    load_alone(b, reverse ? steps - 1 - l : l, given, in());
    const element x = prepared(given, k);
    last = seeded ? compose(last, x, k) : x;
  }
}
template <class... L> INLINE void put_element(const piece& p, const element& x, lanes<L...>) {
  (store_bits(p.carry + p.pitch * L::offset, L::dtype::bits(x.*L::member)), ...);
}
template <class... L> INLINE element element_at(const u8* row, ms_int pitch, lanes<L...>) {
  return {L::dtype::load(row + pitch * L::offset)...};
}

// ------------------------------------------------------------------ rows
static constexpr ms_int TILE = RUNS * LONGEST;
static constexpr ms_int bytes_of_runs = TILE / W * (vector_bytes(in()) + vector_bytes(out()));
static constexpr ms_int line = 64;
ms_int buffer_bytes(const ms_launch*) { return TILE * (in::bytes + out::bytes) + bytes_of_runs + line; }
bool fits(const ms_launch* g) { return g->inner == 1; }

template <class L, int... k> INLINE void fill_leaf(const block_of_runs& b, const input& fixed, seq<k...>) {
  auto* to = (vector_in<L>*)b.x[L::index];
  for (ms_int at = 0; at < TILE / W; ++at, to += L::lanes) (store_bits(to + k, fixed.*L::template member<k>), ...);
}
// What is the same at every step: in every lane, and at all steps of a block unless it is a gate.
template <bool steady, class L> INLINE void take_same(const piece& p, block_of_runs& b, input& fixed) {
  const ms_array& a = p.g->inputs[L::index];
  b.same[L::index] = a.axis == 0;
  if (a.axis != 0) return;
  L::spread(L::input(p), a.lane, fixed, typename L::each());
  if constexpr (!is_left_out<steady, L>) fill_leaf<L>(b, fixed, typename L::each());
}
template <bool steady, class... L> INLINE void take_same(const piece& p, block_of_runs& b, input& fixed, leaves<L...>) {
  (take_same<steady, L>(p, b, fixed), ...);
}
template <class... L> INLINE u8* place_turned(u8** at, u8* memory, leaves<L...>) {
  ((at[L::index] = memory, memory += TILE / W * vector_bytes(leaves<L>())), ...);
  return memory;
}
// What a walk along a row holds: of a scan the state, of a fold the product of its elements.
struct held_along {
  state h;
  element product;
};
template <bool steady, bool scanned>
INLINE void walk_block(const block_of_runs& b, const input& fixed, const element& power, bool seeded, held_along& last,
                       const captures& k) {
  if constexpr (scanned) act_block<steady>(b, fixed, power, last.h, k);
  else fold_block<steady>(b, fixed, power, seeded, last.product, k);
}
template <bool steady, bool scanned> NOINLINE void walk_row(const piece& p) {
  captures k;
  captured_arrays::spread(p, k);
  block_of_runs b = {};
  u8* const in_runs = p.buffer + TILE * (in::bytes + out::bytes);
  place_turned(b.y, place_turned(b.x, in_runs + -(u64)in_runs % line, in()), out());
  input fixed = {};
  element power = {};
  take_same<steady>(p, b, fixed, in());
  held_along last = {};
  if (p.seeded) registers::get_carry<true>(p.carry, p.pitch, 0, last.h), last.h = registers::spread(last.h, 0);
  const bool in_place = rows_lie_ready(p.g);
  bool seeded = p.seeded;
  for (ms_int t = p.t0, count; t < p.t1; t += count, seeded = true) {
    const ms_int rest = p.t1 - t, steps = seeded || !scanned ? least(LONGEST, rest / RUNS / W * W) : 0;
    count = steps ? steps * RUNS : seeded || !scanned ? rest : 1;
    rows_at(p, reverse ? p.g->n - t - count : t, count, TILE, b.e.x, b.r.y, false);
    if (steps) {
      if (steady && steps != b.steps) power = product_of_gates(prepared(fixed, k), steps, k);
      b.steps = steps;
      walk_block<steady, scanned>(b, fixed, power, seeded, last, k);
    } else if (scanned) act_alone(b, count, fixed, seeded, last.h, k);
    else fold_alone(b, count, fixed, seeded, last.product, k);
    if (scanned && !in_place) unpack_rows(p, reverse ? p.g->n - t - count : t, count, b.r.y);
  }
  if constexpr (scanned) registers::put_carry<true>(p.carry, p.pitch, 0, last.h);
  else put_element(p, last.product, parts());
}
template <bool steady> INLINE void walk_row(const piece& p, bool scanned) {
  scanned ? walk_row<steady, true>(p) : walk_row<steady, false>(p);
}
template <class... L> INLINE bool gates_stay([[maybe_unused]] const ms_launch* g, leaves<L...>) {
  return gates != 0 && (... && (!is_gate<L> || g->inputs[L::index].axis == 0));
}
void span(const piece& p, bool scanned) {
  if constexpr (steady_gates) return walk_row<true>(p, scanned);
  if constexpr (gates != 0 && !prepares)
    if (gates_stay(p.g, in())) return walk_row<true>(p, scanned);
  walk_row<false>(p, scanned);
}
// The state behind a part that was folded, from the one before it.
bool combine_carries(const piece& p, const u8* left, const u8* right, const u8* instead) {
  captures k;
  captured_arrays::spread(p, k);
  state y;
  registers::get_carry<true>(left, p.pitch, 0, y);
  const element product = element_at(right, p.pitch, parts());
  y = combine(registers::spread(y, 0), product, k);
  const bool wrong = guarded && any(bad_lanes<CARRIED>(product, parts()) | bad(y));
  if (wrong && instead) registers::get_carry<true>(instead, p.pitch, 0, y);
  registers::put_carry<true>(p.carry, p.pitch, 0, y);
  return wrong;
}
#include "launch.h"
