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
#include "around.h"

static constexpr int vectors_of_runs = parts::count <= 6 ? 2 : 1;  // two hide each other's latency (measured)
static constexpr int RUNS = vectors_of_runs * W;
static constexpr int LONGEST =
    16;  // steps of a run, W at least: 64 took 1.6 times as long, as more leave the first cache

COMBINE element compose(const element& l, const element& r, const captures& k) { return operation::compose(l, r, k); }

template <class L> using vector_in = decltype(L::dtype::load(nullptr));
template <class L> static constexpr bool is_gate = ((unsigned)gates >> L::index & 1) != 0;
template <class... L> static constexpr ms_int vector_bytes(leaves<L...>) {
  return (0 + ... + (ms_int)(L::lanes * sizeof(vector_in<L>)));
}

// A block: for each leaf the vectors of its steps, run by run, and rows of memory.
struct block_of_runs {
  elements e;
  results r;
  u8 *x[arity], *y[outputs + 1];
  ms_int steps;      // of a run
  bool same[arity];  // at every step
};

// ------------------------------------------------------------------ between rows of memory and runs
template <class D, class V, int... i>
INLINE void take_square(const typename D::item* from, ms_int apart, V* to, seq<i...>) {
  V v[W] = {D::load(from + i * apart)...};
  transpose_square(v);
  (store_bits(to + i, v[i]), ...);
}
template <class D, class V, int... i>
INLINE void give_square(const V* from, typename D::item* to, ms_int apart, seq<i...>) {
  V v[W] = {load_bits<V>(from + i)...};
  transpose_square(v);
  (store_bits(to + i * apart, D::bits(v[i])), ...);
}
template <class L> NOINLINE void take_leaf(const block_of_runs& b) {
  typedef vector_in<L> V;
  if (b.same[L::index]) return;
  const ms_int run = b.steps * L::lanes;
  for (int n = 0; n < vectors_of_runs; ++n) {
    const auto* const from = (const typename L::item*)b.e.x[L::index] + n * W * run;
    V* const to = (V*)b.x[L::index] + n * run;
    for (ms_int q = 0; q < run; q += W) take_square<typename L::dtype>(from + q, run, to + q, upto<W>());
  }
}
template <class L> NOINLINE void give_leaf(const block_of_runs& b) {
  typedef vector_in<L> V;
  const ms_int run = b.steps * L::lanes;
  for (int n = 0; n < vectors_of_runs; ++n) {
    auto* const to = (typename L::item*)b.r.y[L::index] + n * W * run;
    const V* const from = (const V*)b.y[L::index] + n * run;
    for (ms_int q = 0; q < run; q += W) give_square<typename L::dtype>(from + q, to + q, run, upto<W>());
  }
}
template <class... L> INLINE void take(const block_of_runs& b, leaves<L...>) { (take_leaf<L>(b), ...); }
template <class... L> INLINE void give(const block_of_runs& b, leaves<L...>) { (give_leaf<L>(b), ...); }

// ------------------------------------------------------------------ one step of a block, by its place
template <class L, int... k> INLINE void load_leaf(const block_of_runs& b, ms_int at, input& x, seq<k...>) {
  const auto* const from = (const vector_in<L>*)b.x[L::index] + at * L::lanes;
  ((x.*L::template member<k> = load_bits<vector_in<L>>(from + k)), ...);
}
template <class L, class S, int... k> INLINE void store_leaf(const block_of_runs& b, ms_int at, const S& s, seq<k...>) {
  auto* const to = (vector_in<L>*)b.y[L::index] + at * L::lanes;
  (store_bits(to + k, s.*L::template member<k>), ...);
}
// `steady`: without the gates, unless they are prepared.
template <bool steady, class L> static constexpr bool is_left_out = steady && !prepares && is_gate<L>;
template <bool steady, class L> INLINE void load_unless(const block_of_runs& b, ms_int at, input& x) {
  if constexpr (!is_left_out<steady, L>) load_leaf<L>(b, at, x, typename L::each());
}
template <bool steady, class... L> INLINE void load_step(const block_of_runs& b, ms_int at, input& x, leaves<L...>) {
  (load_unless<steady, L>(b, at, x), ...);
}
template <bool steady> INLINE input step_at(const block_of_runs& b, ms_int at, const input& fixed) {
  input x = fixed;
  load_step<steady>(b, at, x, in());
  return x;
}
template <class S, class... L>
INLINE void store_step([[maybe_unused]] const block_of_runs& b, [[maybe_unused]] ms_int at, [[maybe_unused]] const S& s,
                       leaves<L...>) {
  (store_leaf<L>(b, at, s, typename L::each()), ...);
}
template <bool wanted, class L, int... k> INLINE void copy_leaf(element& to, const element& from, seq<k...>) {
  if constexpr (wanted) ((to.*L::template member<k> = from.*L::template member<k>), ...);
}
template <bool of_gates, class... L> INLINE void copy_leaves(element& to, const element& from, leaves<L...>) {
  (copy_leaf<is_gate<L> == of_gates, L>(to, from, typename L::each()), ...);
}
template <bool of_gates> INLINE void copy_leaves(element& to, const element& from) {
  copy_leaves<of_gates>(to, from, of_elements());
}
// One lane of an element in memory, everywhere.
template <class V> INLINE V lane_in_memory(const V& x, int lane) {
  return splat<V>(load_bits<item_of<V>>((const u8*)&x + lane * (int)sizeof(item_of<V>)));
}
template <class... L> INLINE element lane_of_element(const element& x, int lane, lanes<L...>) {
  return {lane_in_memory(x.*L::member, lane)...};
}

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
template <bool steady> NOINLINE void act_row(const piece& p) {
  captures k;
  captured_arrays::spread(p, k);
  block_of_runs b = {};
  u8* const in_runs = p.buffer + TILE * (in::bytes + out::bytes);
  place_turned(b.y, place_turned(b.x, in_runs + -(u64)in_runs % line, in()), out());
  input fixed = {};
  element power = {};
  take_same<steady>(p, b, fixed, in());
  state h = {};
  if (p.seeded) registers::get_carry<true>(p.carry, p.pitch, 0, h), h = registers::spread(h, 0);
  const bool in_place = rows_lie_ready(p.g);
  bool seeded = p.seeded;
  for (ms_int t = p.t0, count; t < p.t1; t += count, seeded = true) {
    const ms_int rest = p.t1 - t, steps = seeded ? least(LONGEST, rest / RUNS / W * W) : 0;
    count = steps ? steps * RUNS : seeded ? rest : 1;
    rows_at(p, reverse ? p.g->n - t - count : t, count, TILE, b.e.x, b.r.y, false);
    if (!steps) act_alone(b, count, fixed, seeded, h, k);
    else {
      if (steady && steps != b.steps) power = product_of_gates(prepared(fixed, k), steps, k);
      b.steps = steps;
      act_block<steady>(b, fixed, power, h, k);
    }
    if (!in_place) unpack_rows(p, reverse ? p.g->n - t - count : t, count, b.r.y);
  }
  registers::put_carry<true>(p.carry, p.pitch, 0, h);
}
template <class... L> INLINE bool gates_stay([[maybe_unused]] const ms_launch* g, leaves<L...>) {
  return gates != 0 && (... && (!is_gate<L> || g->inputs[L::index].axis == 0));
}
void span(const piece& p, bool) {
  if constexpr (steady_gates) return act_row<true>(p);
  if constexpr (gates != 0 && !prepares)
    if (gates_stay(p.g, in())) return act_row<true>(p);
  act_row<false>(p);
}
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }
#include "launch.h"
