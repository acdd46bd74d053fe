// The adjoint of a scan as one loop: it walks back over the steps, one column a chain.
//
// A vector holds columns, as in the forward sweep. A panel of a few vectors keeps the cotangents that go from one row
// to the row before in registers; from panel to panel they lie in a row of their own. A single column is walked in
// scalar code. The generated text gives `operation`: `step`, from the operands of one combine and the cotangents of
// what it yields to those of its left operand and the gradients, and `start`, the same for the first element, which is
// the first state itself or (`begins`) what begins it.
#pragma once
#include "arrays.h"
#include "holders.h"
#include "subnormals.h"

typedef operation::cotangents cotangents;
typedef operation::operands operands;
typedef operation::gradients gradients;

#if MS_BOLD
// Zero times infinity counts as zero where nothing was chosen. It is rare, and what it leaves is NaN: so it is looked
// for once a step, in the sum of all results, and where there may be one all lanes are computed once more, with care.
// Those without any come out the same, bit by bit.
NOINLINE void careful_step(const operands& o, const cotangents& g, cotangents& left, gradients& d) {
  operation::step(o, g, left, d);
}
template <class V> INLINE bool has_nan(V x) {
  if constexpr (scalar_code) return x != x;
  else return any(x != x);
}
STEP void step(const operands& o, const cotangents& g, cotangents& left, gradients& d) {
  operation::bold_step(o, g, left, d);
  if (__builtin_expect(has_nan(operation::sum(left, d)), 0)) {
    const operands own = o;  // copies, since what has an address is not held in registers
    const cotangents given = g;
    cotangents next = {};
    gradients found;
    careful_step(own, given, next, found);
    left = next, d = found;
  }
}
#else
STEP void step(const operands& o, const cotangents& g, cotangents& left, gradients& d) {
  operation::step(o, g, left, d);
}
#endif

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
// Whether whole vectors lie in order everywhere.
template <class... A> INLINE bool all_ready(const ms_array* a, arrays<A...>) {
  return (... && (A::lanes == 1 ? a[A::number].inner == 1 : lies_packed<A>(a[A::number])));
}
INLINE bool lies_ready(const ms_launch* g) {
  return all_ready(g->inputs, rights()) && all_ready(g->inputs, lefts()) && all_ready(g->inputs, weights()) &&
         all_ready(g->outputs, out());
}

// ------------------------------------------------------------------ one step
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
template <class A, bool ready, int... k>
INLINE void write_lanes(const rows& p, ms_int j, int m, const gradients& d, seq<k...>) {
  if constexpr (as_leaf<A, ready>) leaf_of<A>::store((typename A::item*)p.at[A::place] + j * A::lanes, d);
  else
    (put_lane<typename A::dtype, ready>(p.at[A::place + k], p.along_inner[inputs + A::number], j, m,
                                        d.*A::template member<k>),
     ...);
}
template <bool ready, class... A> INLINE void write(const rows& p, arrays<A...>, ms_int j, int m, const gradients& d) {
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
template <class A, int... k> INLINE void give_lanes(const rows& p, ms_int j, int m, const cotangents& g, seq<k...>) {
  typedef typename A::item item;
  const ms_array& a = p.q->g->carries[A::number];
  item* const y = (item*)a.data + p.q->carry_out[A::number];
  (put_lane<typename A::dtype, false>((u8*)(y + k * a.lane), a.inner, j, m, g.*A::template member<k>), ...);
}
template <class... A>
INLINE void give(const rows& p, arrays<A...>, [[maybe_unused]] ms_int j, [[maybe_unused]] int m,
                 [[maybe_unused]] const cotangents& g) {
  (give_lanes<A>(p, j, m, g, typename A::each()), ...);
}
INLINE void finish(const rows& p, ms_int j, int m, const cotangents& g) {
  cotangents c = g;
  if constexpr (!inclusive) read<false, true>(p, weights(), j, m, c);
  give(p, ends(), j, m, c);
}
// `first`: 0 an inner step, 1 the first of all, 2 the first after an init.
template <int first, bool ready>
INLINE void back(const rows& p, ms_int j, int m, operands& o, cotangents& g, bool weighted) {
  gradients d;
  cotangents left = {};
  if (weighted) read<ready, true>(p, weights(), j, m, g);
  if constexpr (first == 1) {
    if constexpr (begins) read<ready, false>(p, rights(), j, m, o);
    operation::start(o, g, d);
  } else {
    read<ready, false>(p, rights(), j, m, o);
    if constexpr (first == 0 || !shifted) read<ready, false>(p, lefts(), j, m, o);
    else take(p, states_before(), j, m, o);
    step(o, g, left, d);
  }
  write<ready>(p, out(), j, m, d);
  g = left;
}
static constexpr int first_step = seeded ? 2 : 1;
static constexpr ms_int late = inclusive ? 0 : 1;

INLINE void column(const piece& q, ms_int j) {
  const ms_int n = q.g->n;
  cotangents c = {};
  operands o;
  rows p = at_step(q, n - 1);
  take(p, ends(), j, 1, c), read<false, false>(p, captured_arrays(), j, 1, o);
  held_numbers::read(q.g, o);
  for (ms_int t = n - 1; t > 0; --t, step_back(p)) back<0, false>(p, j, 1, o, c, inclusive || t + 1 < n);
  back<first_step, false>(p, j, 1, o, c, late < n);
  if constexpr (seeded) finish(at_step(q, -late), j, 1, c);
}

// ------------------------------------------------------------------ panels
// Rows of cotangents: one array a lane, 8 bytes for each column and one vector to spare.
template <class A, class P> INLINE P* carried_lane(P* row, ms_int pitch, ms_int j, int k) {
  return row + pitch * 8 * (A::place + k) + j * (int)sizeof(typename A::item);
}
template <class A, int... k> INLINE void get_lanes(const u8* row, ms_int pitch, ms_int j, cotangents& g, seq<k...>) {
  if constexpr (!scalar_code) ((g.*A::template member<k> = A::dtype::load(carried_lane<A>(row, pitch, j, k))), ...);
}
template <class... A> INLINE void get_row(const u8* row, ms_int pitch, ms_int j, cotangents& g, arrays<A...>) {
  (get_lanes<A>(row, pitch, j, g, typename A::each()), ...);
}
template <class A, int... k> INLINE void put_lanes(u8* row, ms_int pitch, ms_int j, const cotangents& g, seq<k...>) {
  if constexpr (!scalar_code)
    (store_bits(carried_lane<A>(row, pitch, j, k), A::dtype::bits(g.*A::template member<k>)), ...);
}
template <class... A> INLINE void put_row(u8* row, ms_int pitch, ms_int j, const cotangents& g, arrays<A...>) {
  (put_lanes<A>(row, pitch, j, g, typename A::each()), ...);
}
// Steps t to `end`, back, of a few vectors of columns, whose cotangents stay in registers.
template <int first, bool ready, int... v>
NOINLINE void panel(const piece& q, ms_int t, ms_int end, ms_int j, int m, seq<v...>) {
  const ms_int n = q.g->n, pitch = q.g->inner + W;
  u8* const row = q.carry;
  rows p = at_step(q, t);
  cotangents c[sizeof...(v)];
  operands o[sizeof...(v)];
  ((get_row(row, pitch, j + v * W, c[v], ends()), read<false, false>(p, captured_arrays(), j + v * W, m, o[v])), ...);
  (held_numbers::read(q.g, o[v]), ...);
  for (; t > end; --t, step_back(p)) (back<first, ready>(p, j + v * W, m, o[v], c[v], inclusive || t + 1 < n), ...);
  (put_row(row, pitch, j + v * W, c[v], ends()), ...);
}
// The last of the steps that go in one panel before the next columns have theirs, from step t back; 0 is no such step.
INLINE ms_int end_of_panel(const piece& q, ms_int t) {
  if (q.across) return t < tile_steps ? 0 : t / tile_steps * tile_steps - 1;
  const ms_int steps = q.g->inner <= 256 ? 64 : 1;  // wide rows go one by one, as they lie in memory
  return t > steps ? t - steps : 0;
}
INLINE void panels(const piece& q, ms_int t, ms_int end, bool ready) {
  ms_int j = q.c0;
  if (ready)
    for (; j + vectors_wide * W <= q.c1; j += vectors_wide * W) panel<0, true>(q, t, end, j, W, upto<vectors_wide>());
  if constexpr (vectors_wide > 1 && any_packed(ends()))  // else a single vector comes as quickly by lanes
    if (ready)
      for (; j + W <= q.c1; j += W) panel<0, true>(q, t, end, j, W, upto<1>());
  for (; j < q.c1; j += W) panel<0, false>(q, t, end, j, (int)least(W, q.c1 - j), upto<1>());
}
INLINE void columns(const piece& q) {
  const ms_int n = q.g->n, pitch = q.g->inner + W;
  for (ms_int j = q.c0; j < q.c1; j += W) {
    cotangents c = {};
    take(at_step(q, n - 1), ends(), j, (int)least(W, q.c1 - j), c);
    put_row(q.carry, pitch, j, c, ends());
  }
  const bool ready = lies_ready(q.g);
  ms_int t = n - 1, end = t;
  do {
    t = end, end = end_of_panel(q, t);
    if (q.across) pull(q, end ? end + 1 : 0, t);
    if (t > 0) panels(q, t, end, ready);
    if (end == 0)
      for (ms_int j = q.c0; j < q.c1; j += W) panel<first_step, false>(q, 0, -1, j, (int)least(W, q.c1 - j), upto<1>());
    if (q.across) push(q, end ? end + 1 : 0, t);
  } while (end > 0);
  if constexpr (seeded)
    for (ms_int j = q.c0; j < q.c1; j += W) {
      cotangents c;
      get_row(q.carry, pitch, j, c, ends());
      finish(at_step(q, -late), j, (int)least(W, q.c1 - j), c);
    }
}

void span(const piece& q, bool) {
  if constexpr (scalar_code)
    for (ms_int j = q.c0; j < q.c1; ++j) column(q, j);
  else columns(q);
}
bool fits(const ms_launch*) { return true; }
ms_int buffer_bytes(const ms_launch* g) { return (g->inner + W) * 8 * live_lanes; }
bool combine_carries(const piece&, const u8*, const u8*, const u8*) { return false; }

static constexpr adjoint_facts own = {shifted,
                                      inclusive,
                                      seeded,
                                      scalar_code ? 0 : vectors_wide* W,
                                      facts_of<rights>::list,
                                      facts_of<lefts>::list,
                                      facts_of<weights>::list,
                                      facts_of<captured_arrays>::list,
                                      facts_of<out>::list,
                                      facts_of<ends>::list,
                                      facts_of<states_before>::list,
                                      {},
                                      holders_of(weights(), ends())};
extern const kernel_facts facts = {reverse, true,  false,   false,   false, W,           0,   inputs,
                                   outputs, inits, carries, 0,       0,     nanoseconds, 0,   0,
                                   {},      {},    {},      nullptr, 0,     nullptr,     &own};
MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) { schedule_back(g, s); }
MS_EXPORT void ms_task(const ms_launch* g, ms_int, ms_int task) {
  [[maybe_unused]] const arithmetic_mode mode;
  run_back(g, task);
}
