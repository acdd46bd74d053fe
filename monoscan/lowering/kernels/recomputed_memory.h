// How a walk that makes its states again reads, stores and sums: W columns of each leaf, or one in scalar code.
#pragma once
#include "lane_sums.h"
#include "pointed.h"

// Columns that go side by side.
static constexpr int C = scalar_code ? 1 : W;
INLINE ms_int place_of(const piece& p, ms_int t) { return reverse ? p.g->n - 1 - t : t; }

// Whether a leaf lies as it is read in registers: side by side, or once for all columns.
template <class L> INLINE bool lies_ready(const ms_array& a) {
  if constexpr (scalar_code) return true;
  return a.inner == (is_alike<L> ? 0 : L::lanes) && (L::lanes == 1 || a.lane == 1);
}
template <class... L> INLINE bool all_ready([[maybe_unused]] const ms_array* a, arrays<L...>) {
  return (... && lies_ready<L>(a[L::index]));
}
// Of other leaves W elements are brought side by side first, those behind the m-th empty.
template <class L> NOINLINE void pack(const ms_array& a, const typename L::item* x, int m, typename L::item* b) {
  for (int i = 0; i < W * L::lanes; ++i)
    b[i] = i / L::lanes < m ? x[i / L::lanes * a.inner + i % L::lanes * a.lane] : typename L::item();
}
template <class L, bool ready, class S>
INLINE void read_leaf(const ms_array& a, const typename L::item* x, [[maybe_unused]] int m, S& s) {
  if constexpr (is_pointed<L>) {
    s.*L::member = {x, ready ? 1 : a.lane};
  } else if constexpr (scalar_code) {
    L::get(x, a.lane, s, typename L::each());
  } else if constexpr (is_alike<L>) {
    if constexpr (ready) L::load_alike(x, s, typename L::each());
    else L::spread(x, a.lane, s, typename L::each());
  } else if constexpr (ready) {
    L::load(x, s);
  } else {
    typename L::item b[W * L::lanes];
    pack<L>(a, x, m, b);
    L::load(b, s);
  }
}
template <class L> INLINE const typename L::item* input_at(const piece& p, ms_int at, ms_int j) {
  const ms_array& a = p.g->inputs[L::index];
  return (const typename L::item*)a.data + p.in[L::index] + at * a.axis + j * a.inner;
}
template <class L> INLINE const typename L::item* init_at(const piece& p, ms_int j) {
  const ms_array& a = p.g->inits[L::index];
  return (const typename L::item*)a.data + p.init[L::index] + j * a.inner;
}
template <bool ready, class S, class... L>
INLINE void read_inputs([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int at, [[maybe_unused]] ms_int j,
                        [[maybe_unused]] int m, [[maybe_unused]] S& s, arrays<L...>) {
  (read_leaf<L, ready>(p.g->inputs[L::index], input_at<L>(p, at, j), m, s), ...);
}
template <class S, class... L>
INLINE void read_inits([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int j, [[maybe_unused]] int m,
                       [[maybe_unused]] S& s, arrays<L...>) {
  (read_leaf<L, false>(p.g->inits[L::index], init_at<L>(p, j), m, s), ...);
}
template <class L, class S, int... k> INLINE void add_lanes(S& to, const S& from, seq<k...>) {
  ((to.*L::template member<k> = to.*L::template member<k> + from.*L::template member<k>), ...);
}
template <class S, class... L> INLINE void add([[maybe_unused]] S& to, [[maybe_unused]] const S& from, arrays<L...>) {
  (add_lanes<L>(to, from, typename L::each()), ...);
}
template <class L> INLINE typename L::item* result_at(const piece& p, ms_int at, ms_int j) {
  const ms_array& a = p.g->outputs[L::index];
  return (typename L::item*)a.data + p.out[L::index] + at * a.axis + j * a.inner;
}
// Of the rows to come, which lie too far apart for the processor to foresee them.
template <class L> INLINE void fetch_input(const piece& p, ms_int at, ms_int j) {
  if constexpr (!is_alike<L>) {
    const u8* const x = (const u8*)input_at<L>(p, at, j);
    __builtin_prefetch(x), __builtin_prefetch(x + C * L::lanes * sizeof(typename L::item) - 1);
  }
}
template <class... L>
INLINE void fetch([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int at, [[maybe_unused]] ms_int j,
                  arrays<L...>) {
  (fetch_input<L>(p, at, j), ...);
}
template <class... L>
INLINE void fetch_results([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int at, [[maybe_unused]] ms_int j,
                          arrays<L...>) {
  (__builtin_prefetch(result_at<L>(p, at, j), 1), ...);
  (__builtin_prefetch((const u8*)(result_at<L>(p, at, j) + C * L::lanes) - 1, 1), ...);
}
template <bool whole, class L, class S> INLINE void store_to(typename L::item* y, [[maybe_unused]] int m, const S& s) {
  if constexpr (scalar_code) L::put(y, s, typename L::each());
  else if (whole || m == W) L::store(y, s);
  else L::store_part(y, m, s);
}
template <bool whole, class S, class... L>
INLINE void store([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int at, [[maybe_unused]] ms_int j,
                  [[maybe_unused]] int m, [[maybe_unused]] const S& s, arrays<L...>) {
  (store_to<whole, L>(result_at<L>(p, at, j), m, s), ...);
}
// Added to what other rows have put there.
template <class L, class S> INLINE void add_to(typename L::item* y, [[maybe_unused]] int m, const S& s) {
  typename L::item b[C * L::lanes];
  if constexpr (scalar_code) L::put(b, s, typename L::each());
  else L::store(b, s);
  for (int i = 0; i < m * L::lanes; ++i) y[i] += b[i];
}
template <class S, class... L>
INLINE void store_added([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int at, [[maybe_unused]] ms_int j,
                        [[maybe_unused]] int m, [[maybe_unused]] const S& s, arrays<L...>) {
  (add_to<L>(result_at<L>(p, at, j), m, s), ...);
}
// Of all columns.
template <class L, int k, class S> INLINE auto lane_in(const S& s) { return s.*L::template member<k>; }
template <bool whole, class L, int from, class S, int... k>
INLINE void sum_chunk(typename L::item* y, [[maybe_unused]] int m, const S& s, seq<k...>) {
  typedef decltype(lane_in<L, from>(s)) V;
  constexpr int count = sizeof...(k), n = power_from(count);
  V v[n] = {lane_in<L, from + k>(s)...};
  if constexpr (!whole)
    for (int i = 0; i < count; ++i) v[i] = first_lanes(v[i], m);
  const V sums = lane_sums<n>(v);
  if constexpr (count == W) {
    store_bits(y + from, load_bits<V>(y + from) + sums);
  } else {
    typename L::item b[W];
    store_bits(b, sums);
    for (int i = 0; i < count; ++i) y[from + i] += b[i];
  }
}
template <bool whole, class L, int from = 0, class S> INLINE void sum_to(typename L::item* y, int m, const S& s) {
  constexpr int left = L::lanes - from, count = left < W ? left : W;
  sum_chunk<whole, L, from>(y, m, s, upto<count>());
  if constexpr (left > W) sum_to<whole, L, from + W>(y, m, s);
}
template <bool whole, class S, class... L>
INLINE void store_summed([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int at, [[maybe_unused]] int m,
                         [[maybe_unused]] const S& s, arrays<L...>) {
  (sum_to<whole, L>(result_at<L>(p, at, 0), m, s), ...);
}

// The cotangents of the first state.
template <bool whole, class L, class S> INLINE void give_leaf(const piece& p, ms_int j, int m, const S& s) {
  const ms_array& a = p.g->carries[L::index];
  store_to<whole, L>((typename L::item*)a.data + p.carry_out[L::index] + j * a.inner, m, s);
}
template <bool whole, class S, class... L> INLINE void give(const piece& p, ms_int j, int m, const S& s, arrays<L...>) {
  (give_leaf<whole, L>(p, j, m, s), ...);
}
