"""The text of the loops that walk back: access to arrays, one step, columns, rows, tasks."""

from __future__ import annotations

ACCESS = """\
// W items of a row, where they stand if they stand in order, else gathered; the first m count.
template <bool ready, class T> INLINE const T* items(const T* p, ms_int stride, ms_int j, int m, T* b) {
  if (ready || (stride == 1 && m == W)) return p + j;
  for (int i = 0; i < W; ++i) b[i] = i < m ? p[(j + i) * stride] : T();
  return b;
}
template <class T> INLINE void put_items(T* p, ms_int stride, ms_int j, int m, const T* b) {
  for (int i = 0; i < m; ++i) p[(j + i) * stride] = b[i];
}
"""

STEP = """\
struct cotangents { @cotangents };
struct operands { @operands };
struct gradients { @gradients };
@how void step(const operands& o, const cotangents& g, cotangents& left, gradients& d) {
@body
}
// The first element is the state itself.
INLINE void copy(const cotangents& g, gradients& d) {
@copy
}
"""

LOOP = """\
// One step of every array: a pointer for each lane, with the strides in locals, since a
// store might change what `g` points to as far as the compiler knows.
struct rows {
  const ms_launch* g;
  const walk* w;
  @pointers
};
INLINE rows at_step(const ms_launch* g, const walk& w, ms_int t) {
  const ms_int at = @at, step = @step, before = @before, weight = @weight;
  rows p;
  p.g = g, p.w = &w, (void)before, (void)weight;
@starts
  return p;
}
INLINE void step_back(rows& p) {
@moves
}
// Whether whole vectors lie in order everywhere.
INLINE bool lies_ready(const ms_launch* g) { return @ready; }

INLINE void read_captures(const rows& p, ms_int j, int m, operands& o) {
@captures
}
// `first`: 0 an inner step, 1 the first of all, 2 the first after an init.
template <int first, bool ready> INLINE void read(const rows& p, ms_int j, int m, operands& o) {
  if (first != 1) {
@rights
  }
  if (first == 0 || (first == 2 && !@shifted)) {
@lefts
  }
  if (first == 2 && @shifted) {
@inits
  }
}
template <bool ready> INLINE void weigh(const rows& p, ms_int j, int m, cotangents& g) {
@weights
}
template <bool ready> INLINE void write(const rows& p, ms_int j, int m, const gradients& d) {
@outputs
}
INLINE void begin(const rows& p, ms_int j, int m, cotangents& g) {
@ends
}
INLINE void finish(const rows& p, ms_int j, int m, const cotangents& g) {
@finish
}
template <int first, bool ready>
INLINE void back(const rows& p, ms_int j, int m, operands& o, cotangents& g, bool weighted) {
  gradients d;
  cotangents left = {};
  if (weighted) weigh<ready>(p, j, m, g);
  if (first == 1) copy(g, d);
  else {
    read<first, ready>(p, j, m, o);
    step(o, g, left, d);
  }
  write<ready>(p, j, m, d);
  g = left;
}
"""

COLUMN = """\
NOINLINE void row(const ms_launch* g, const walk& w, ms_int c0, ms_int c1, u8*) {
  const ms_int n = g->n;
  for (ms_int j = c0; j < c1; ++j) {
    cotangents c = {};
    operands o;
    rows p = at_step(g, w, n - 1);
    begin(p, j, 1, c), read_captures(p, j, 1, o);
    for (ms_int t = n - 1; t > 0; --t, step_back(p)) back<0, false>(p, j, 1, o, c, @weighted);
    back<@first, false>(p, j, 1, o, c, @late < n);
    if (@seeded) finish(at_step(g, w, -@late), j, 1, c);
  }
}
"""

SWEEP = """\
INLINE void get_row(const u8* row, ms_int pitch, ms_int j, cotangents& g) {
@get
}
INLINE void put_row(u8* row, ms_int pitch, ms_int j, const cotangents& g) {
@put
}
// Steps t to `end`, back, of K vectors of columns, whose cotangents stay in registers.
template <int K, int first, bool ready>
NOINLINE void panel(const ms_launch* g, const walk& w, ms_int t, ms_int end, ms_int j, int m, u8* carry) {
  const ms_int n = g->n, pitch = g->inner + W;
  rows p = at_step(g, w, t);
  cotangents c[K];
  operands o[K];
#pragma GCC unroll 4
  for (int k = 0; k < K; ++k) get_row(carry, pitch, j + k * W, c[k]), read_captures(p, j + k * W, m, o[k]);
  for (; t > end; --t, step_back(p)) {
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k) back<first, ready>(p, j + k * W, m, o[k], c[k], @weighted);
  }
#pragma GCC unroll 4
  for (int k = 0; k < K; ++k) put_row(carry, pitch, j + k * W, c[k]);
}
NOINLINE void row(const ms_launch* g, const walk& w, ms_int c0, ms_int c1, u8* carry) {
  const ms_int n = g->n, pitch = g->inner + W;
  for (ms_int j = c0; j < c1; j += W) {
    cotangents c = {};
    begin(at_step(g, w, n - 1), j, (int)least(W, c1 - j), c);
    put_row(carry, pitch, j, c);
  }
  // Wide rows go one by one, as they lie in memory.
  const ms_int steps = g->inner <= 256 ? 64 : 1;
  const bool ready = lies_ready(g);
  for (ms_int t = n - 1, end; t > 0; t = end) {
    end = t > steps ? t - steps : 0;
    ms_int j = c0;
    if (ready) for (; j + @vectors * W <= c1; j += @vectors * W) panel<@vectors, 0, true>(g, w, t, end, j, W, carry);
    for (; j < c1; j += W) panel<1, 0, false>(g, w, t, end, j, (int)least(W, c1 - j), carry);
  }
  for (ms_int j = c0; j < c1; j += W) panel<1, @first, false>(g, w, 0, -1, j, (int)least(W, c1 - j), carry);
  if (@seeded) for (ms_int j = c0; j < c1; j += W) {
    cotangents c;
    get_row(carry, pitch, j, c);
    finish(at_step(g, w, -@late), j, (int)least(W, c1 - j), c);
  }
}
"""

TASKS = """\
// The cut depends on the shape alone.
static ms_int tasks_of(const ms_launch* g) {
  const double work = @ns * (double)g->n * (double)g->inner * (double)g->outer_size;
  if (work < 60e3) return 1;
  if (g->outer_size > 1) return least(least(g->outer_size, 8), 1 + (ms_int)(work / 30e3));
  return g->inner >= 256 ? 2 : 1;
}
static ms_int carry_bytes(const ms_launch* g) { return ((g->inner + W) * @carry + 63) / 64 * 64; }
MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) {
  s->phases = 1;
  s->tasks[0] = tasks_of(g);
  s->scratch_bytes = s->tasks[0] * carry_bytes(g);
}
MS_EXPORT void ms_task(const ms_launch* g, ms_int, ms_int task) {
  const ms_int tasks = tasks_of(g);
  u8* const carry = (u8*)g->scratch + task * carry_bytes(g);
  if (g->outer_size == 1 && tasks == 2) {
    const ms_int half = (g->inner / 2 + 15) / 16 * 16;
    row(g, walk_to(g, 0), task ? half : 0, task ? g->inner : half, carry);
    return;
  }
  const ms_int first = g->outer_size * task / tasks, last = g->outer_size * (task + 1) / tasks;
  walk w = walk_to(g, first);
  for (ms_int o = first; o < last; ++o, advance(g, w)) row(g, w, 0, g->inner, carry);
}
"""
