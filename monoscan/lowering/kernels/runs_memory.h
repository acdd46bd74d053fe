// A block of runs of a row: how its leaves come from rows of memory, turned, so that each lane has a run; and go back.
//
// The generated text says `gates`, and lists the lanes of an element in `parts` and its leaves in `of_elements`.
#pragma once
#include "around.h"

static constexpr int vectors_of_runs = parts::count <= 6 ? 2 : 1;  // two hide each other's latency (measured)
static constexpr int RUNS = vectors_of_runs * W;
static constexpr int LONGEST =
    16;  // steps of a run, W at least: 64 took 1.6 times as long, as more leave the first cache

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
