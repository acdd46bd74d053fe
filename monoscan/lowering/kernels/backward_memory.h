// How the adjoint's operands come from memory, and what it makes goes there: step by step, back.
#pragma once
#include "arrays.h"
#include "leaf.h"

// One step of every array: a pointer for each lane, and strides in items and in bytes. Locals, since a store might
// change what the launch holds as far as the compiler knows.
struct rows {
  const piece* q;
  u8* at[pointers];
  ms_int along_inner[inputs + outputs], along_axis[inputs + outputs];
};

// ------------------------------------------------------------------ memory
// W items of a row, where they stand if they stand in order, else gathered; the first m count.
template <bool ready, class T> INLINE const T* items(const T* p, ms_int stride, ms_int j, int m, T* b) {
  if (ready || (stride == 1 && m == W)) return p + j;
  for (int i = 0; i < W; ++i) b[i] = i < m ? p[(j + i) * stride] : T();
  return b;
}
template <class D, bool ready> INLINE auto get_items(const u8* at, ms_int stride, ms_int j, [[maybe_unused]] int m) {
  typedef typename D::item item;
  const item* const p = (const item*)at;
  if constexpr (scalar_code) {
    return D::get(p[j * stride]);
  } else {
    item b[W];
    return D::load(items<ready>(p, stride, j, m, b));
  }
}
template <class D, bool ready, class V>
INLINE void put_items(u8* at, ms_int stride, ms_int j, [[maybe_unused]] int m, V v) {
  typedef typename D::item item;
  item* const p = (item*)at;
  if constexpr (scalar_code) {
    p[j * stride] = D::put(v);
  } else if (ready || (m == W && stride == 1)) {
    store_bits(p + j, D::bits(v));
  } else {
    item b[W];
    store_bits(b, D::bits(v));
    for (int i = 0; i < m; ++i) p[(j + i) * stride] = b[i];
  }
}
// Many lanes call what reads and writes items that do not stand in order: written out each time they would be most of
// the code.
static constexpr bool calls = pointers > 24;
template <class D> NOINLINE auto get_apart(const u8* at, ms_int stride, ms_int j, int m) {
  return get_items<D, false>(at, stride, j, m);
}
template <class D, class V> NOINLINE void put_apart(u8* at, ms_int stride, ms_int j, int m, V v) {
  put_items<D, false>(at, stride, j, m, v);
}
template <class D, bool ready> INLINE auto get_lane(const u8* at, ms_int stride, ms_int j, int m) {
  if constexpr (calls && !ready && !scalar_code) return get_apart<D>(at, stride, j, m);
  else return get_items<D, ready>(at, stride, j, m);
}
template <class D, bool ready, class V> INLINE void put_lane(u8* at, ms_int stride, ms_int j, int m, V v) {
  if constexpr (calls && !ready && !scalar_code) put_apart<D>(at, stride, j, m, v);
  else put_items<D, ready>(at, stride, j, m, v);
}

// Several lanes that lie side by side, column by column, come and go as those of a leaf.
template <class A, class each> struct packed;
template <class A, int... k> struct packed<A, seq<k...>> {
  typedef leaf<A::number, typename A::dtype, A::template member<k>...> type;
};
template <class A> using leaf_of = typename packed<A, typename A::each>::type;
template <class... A> constexpr bool any_packed(arrays<A...>) { return (false || ... || (A::lanes > 1)); }
template <class A, bool ready> constexpr bool as_leaf = ready&& A::lanes > 1 && !scalar_code;
template <class A> INLINE bool lies_packed(const ms_array& a) { return a.inner == A::lanes && a.lane == 1; }

// ------------------------------------------------------------------ pointers
template <class A, int... k>
INLINE void start_lanes(rows& p, int slot, const ms_array& a, ms_int offset, ms_int along, seq<k...>) {
  typedef typename A::item item;
  ((p.at[A::place + k] = (u8*)((item*)a.data + offset + k * a.lane + along)), ...);
  p.along_inner[slot] = a.inner;
}
template <class... A>
INLINE void start(rows& p, arrays<A...>, [[maybe_unused]] ms_int at, [[maybe_unused]] ms_int down) {
  (start_lanes<A>(p, A::number, p.q->g->inputs[A::number], p.q->in[A::number], at * p.q->g->inputs[A::number].axis,
                  typename A::each()),
   ...);
  ((p.along_axis[A::number] = p.q->g->inputs[A::number].axis * down * (int)sizeof(typename A::item)), ...);
}
template <class... A> INLINE void start_results(rows& p, arrays<A...>, ms_int at, ms_int down) {
  (start_lanes<A>(p, inputs + A::number, p.q->g->outputs[A::number], p.q->out[A::number],
                  at * p.q->g->outputs[A::number].axis, typename A::each()),
   ...);
  ((p.along_axis[inputs + A::number] = p.q->g->outputs[A::number].axis * down * (int)sizeof(typename A::item)), ...);
}
template <class A, int... k> INLINE void move_lanes(rows& p, int slot, seq<k...>) {
  ((p.at[A::place + k] -= p.along_axis[slot]), ...);
}
template <class... A> INLINE void move(rows& p, int first_slot, arrays<A...>) {
  (move_lanes<A>(p, first_slot + A::number, typename A::each()), ...);
}
INLINE rows at_step(const piece& q, ms_int t) {
  const ms_int at = reverse ? q.g->n - 1 - t : t, down = reverse ? -1 : 1;
  rows p;
  p.q = &q;
  start(p, rights(), at, down), start(p, lefts(), shifted ? at - down : at, down);
  start(p, weights(), inclusive ? at : at + down, down), start(p, captured_arrays(), 0, 0);
  start_results(p, out(), at, down);
  return p;
}
INLINE void step_back(rows& p) {
  move(p, 0, rights()), move(p, 0, lefts()), move(p, 0, weights()), move(p, inputs, out());
}
// Where the next step back writes: lines that no cache holds come one after the other if nobody sends for them
// (measured on an Intel Xeon: 2,000 steps of 1,000 columns take .5 to .8 of the time).
template <class A, int... k> INLINE void fetch_lanes(const rows& p, int slot, ms_int j, seq<k...>) {
  (__builtin_prefetch(p.at[A::place + k] - p.along_axis[slot] + j * (int)sizeof(typename A::item), 1), ...);
}
template <class... A> INLINE void fetch_next(const rows& p, ms_int j, arrays<A...>) {
  (fetch_lanes<A>(p, inputs + A::number, j, typename A::each()), ...);
}
// Whether whole vectors lie in order everywhere.
template <class... A> INLINE bool all_ready(const ms_array* a, arrays<A...>) {
  return (... && (A::lanes == 1 ? a[A::number].inner == 1 : lies_packed<A>(a[A::number])));
}
INLINE bool lies_ready(const ms_launch* g) {
  return all_ready(g->inputs, rights()) && all_ready(g->inputs, lefts()) && all_ready(g->inputs, weights()) &&
         all_ready(g->outputs, out());
}

// ------------------------------------------------------------------ lanes of one step
template <class A, bool ready, bool add, class S, int... k>
INLINE void read_lanes(const rows& p, ms_int j, int m, S& s, seq<k...>) {
  if constexpr (as_leaf<A, ready> && add) {
    S x;
    read_lanes<A, ready, false>(p, j, m, x, typename A::each());
    ((s.*A::template member<k> += x.*A::template member<k>), ...);
  } else if constexpr (as_leaf<A, ready>) {
    leaf_of<A>::load((const typename A::item*)p.at[A::place] + j * A::lanes, s);
  } else if constexpr (add)
    ((s.*A::template member<k> +=
      get_lane<typename A::dtype, ready>(p.at[A::place + k], p.along_inner[A::number], j, m)),
     ...);
  else
    ((s.*A::template member<k> =
          get_lane<typename A::dtype, ready>(p.at[A::place + k], p.along_inner[A::number], j, m)),
     ...);
}
template <bool ready, bool add, class S, class... A>
INLINE void read(const rows& p, arrays<A...>, [[maybe_unused]] ms_int j, [[maybe_unused]] int m,
                 [[maybe_unused]] S& s) {
  (read_lanes<A, ready, add>(p, j, m, s, typename A::each()), ...);
}
template <class A, bool ready, class S, int... k>
INLINE void write_lanes(const rows& p, ms_int j, int m, const S& d, seq<k...>) {
  if constexpr (as_leaf<A, ready>) leaf_of<A>::store((typename A::item*)p.at[A::place] + j * A::lanes, d);
  else
    (put_lane<typename A::dtype, ready>(p.at[A::place + k], p.along_inner[inputs + A::number], j, m,
                                        d.*A::template member<k>),
     ...);
}
template <bool ready, class S, class... A> INLINE void write(const rows& p, arrays<A...>, ms_int j, int m, const S& d) {
  (write_lanes<A, ready>(p, j, m, d, typename A::each()), ...);
}
// The states before the first element and the cotangents behind the last one, and what goes back to the init.
template <class A, class S, int... k> INLINE void take_lanes(const rows& p, ms_int j, int m, S& s, seq<k...>) {
  typedef typename A::item item;
  const ms_array& a = p.q->g->inits[A::number];
  const item* const x = (const item*)a.data + p.q->init[A::number];
  ((s.*A::template member<k> = get_lane<typename A::dtype, false>((const u8*)(x + k * a.lane), a.inner, j, m)), ...);
}
template <class S, class... A>
INLINE void take(const rows& p, arrays<A...>, [[maybe_unused]] ms_int j, [[maybe_unused]] int m,
                 [[maybe_unused]] S& s) {
  (take_lanes<A>(p, j, m, s, typename A::each()), ...);
}
template <class A, class S, int... k> INLINE void give_lanes(const rows& p, ms_int j, int m, const S& g, seq<k...>) {
  typedef typename A::item item;
  const ms_array& a = p.q->g->carries[A::number];
  item* const y = (item*)a.data + p.q->carry_out[A::number];
  (put_lane<typename A::dtype, false>((u8*)(y + k * a.lane), a.inner, j, m, g.*A::template member<k>), ...);
}
template <class S, class... A>
INLINE void give(const rows& p, arrays<A...>, [[maybe_unused]] ms_int j, [[maybe_unused]] int m,
                 [[maybe_unused]] const S& g) {
  (give_lanes<A>(p, j, m, g, typename A::each()), ...);
}
