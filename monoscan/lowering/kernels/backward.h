// The adjoint of a scan as one loop: it walks back over the steps, one column a chain.
//
// A vector holds columns, as in the forward sweep. A panel of a few vectors keeps the cotangents that go from one row
// to the row before in registers; from panel to panel they lie in a row of their own. A single column is walked in
// scalar code. The generated text gives `operation`: `step`, from the operands of one combine and the cotangents of
// what it yields to those of its left operand and the gradients, and `start`, the same for the first element, which is
// the first state itself or (`begins`) what begins it.
#pragma once
#include "backward_memory.h"
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

// ------------------------------------------------------------------ one step
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
  if constexpr (ready) fetch_next(p, j, out());
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
