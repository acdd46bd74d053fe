"""The text of the loops that walk back: access to arrays, one step, columns, rows, tasks."""

from __future__ import annotations

ACCESS = """\
// W items of a row, where they stand if they stand in order, else gathered; the first m count.
template <class T> INLINE const T* items(const T* p, ms_int stride, ms_int j, int m, T* b) {
  if (stride == 1 && m == W) return p + j;
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
struct place { const ms_launch* g; const walk* w; ms_int at, before, weight; };
// `first`: 0 an inner step, 1 the first of all, 2 the first after an init.
template <int first> INLINE void read(const place& p, ms_int j, int m, operands& o) {
@captures
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
INLINE void weigh(const place& p, ms_int j, int m, cotangents& g) {
@weights
}
INLINE void write(const place& p, ms_int j, int m, const gradients& d) {
@outputs
}
INLINE void begin(const place& p, ms_int j, int m, cotangents& g) {
@ends
}
INLINE void finish(const place& p, ms_int j, int m, const cotangents& g) {
@starts
}
// One row from its last step to its first: where in memory step t stands.
INLINE place at_step(const ms_launch* g, const walk& w, ms_int t) {
  const ms_int at = @at, step = @step;
  return {g, &w, at, @before, @weight};
}
template <int first> INLINE void back(const place& p, ms_int j, int m, cotangents& g, bool weighted) {
  operands o;
  gradients d;
  cotangents left = {};
  if (weighted) weigh(p, j, m, g);
  if (first == 1) copy(g, d);
  else {
    read<first>(p, j, m, o);
    step(o, g, left, d);
  }
  write(p, j, m, d);
  g = left;
}
"""

COLUMN = """\
NOINLINE void row(const ms_launch* g, const walk& w, ms_int c0, ms_int c1, u8*) {
  for (ms_int j = c0; j < c1; ++j) {
    cotangents c = {};
    begin(at_step(g, w, g->n - 1), j, 1, c);
    for (ms_int t = g->n - 1; t > 0; --t) back<0>(at_step(g, w, t), j, 1, c, t + @late < g->n);
    back<@first>(at_step(g, w, 0), j, 1, c, @late < g->n);
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
template <int first> NOINLINE void sweep(const place& p, ms_int c0, ms_int c1, u8* carry, bool weighted) {
  const ms_int pitch = p.g->inner + W;
  for (ms_int j = c0; j < c1; j += W) {
    const int m = (int)least(W, c1 - j);
    cotangents c;
    get_row(carry, pitch, j, c);
    if (m == W) back<first>(p, j, W, c, weighted);
    else back<first>(p, j, m, c, weighted);
    put_row(carry, pitch, j, c);
  }
}
NOINLINE void row(const ms_launch* g, const walk& w, ms_int c0, ms_int c1, u8* carry) {
  const ms_int pitch = g->inner + W;
  for (ms_int j = c0; j < c1; j += W) {
    cotangents c = {};
    begin(at_step(g, w, g->n - 1), j, (int)least(W, c1 - j), c);
    put_row(carry, pitch, j, c);
  }
  for (ms_int t = g->n - 1; t > 0; --t) sweep<0>(at_step(g, w, t), c0, c1, carry, t + @late < g->n);
  sweep<@first>(at_step(g, w, 0), c0, c1, carry, @late < g->n);
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
