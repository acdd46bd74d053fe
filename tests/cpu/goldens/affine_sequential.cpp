typedef float f32; typedef double f64;
typedef signed char i8; typedef short i16; typedef int i32; typedef long long i64;
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32; typedef unsigned long long u64;
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
INLINE ms_int least(ms_int a, ms_int b) { return a < b ? a : b; }
template <class To, class From> INLINE To bit_cast(From x) { To y; __builtin_memcpy(&y, &x, sizeof y); return y; }
INLINE f32 from_bfloat(u16 h) { return bit_cast<f32>((u32)h << 16); }
INLINE u16 to_bfloat(f32 x) {
  const u32 bits = bit_cast<u32>(x);
  return (u16)(x == x ? (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 : (bits >> 16) | 0x40);
}
INLINE f32 from_half(u16 h) {
  const u32 magnitude = (u32)(h & 0x7fff) << 13;
  const u32 finite = bit_cast<u32>(bit_cast<f32>(magnitude) * 0x1p112f);  // subnormals too
  return bit_cast<f32>((u32)(h & 0x8000) << 16 | ((h & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000u : finite));
}
INLINE u16 to_half(f32 x) {
  const u32 bits = bit_cast<u32>(x), magnitude = bits & 0x7fffffffu;
  u32 half = (magnitude - 0x38000000u + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  if (magnitude < 0x38800000u) half = bit_cast<u32>(bit_cast<f32>(magnitude) + 0.5f) - 0x3f000000u;
  if (magnitude >= 0x477ff000u) half = 0x7c00;
  if (magnitude > 0x7f800000u) half = 0x7e00 | ((bits >> 13) & 0x3ff);
  return (u16)(half | (bits >> 16 & 0x8000));
}

template <class F> INLINE F minimum(F a, F b) { return a != a ? a : (a < b ? a : b); }
template <class F> INLINE F maximum(F a, F b) { return a != a ? a : (a > b ? a : b); }

struct state { f32 s0; f32 s1; };
struct captures {  };
INLINE state combine(const state& l, const state& r, const captures&) {
  const f32 v4 = r.s0 * l.s0;
  const f32 v5 = r.s0 * l.s1;
  const f32 v6 = v5 + r.s1;
  state y = {};
  y.s0 = v4;
  y.s1 = v6;
  return y;
}

enum { INPUTS = 2, OUTPUTS = 2, INITS = 2, CARRIES = 2 };

// Offsets, in items, of every array at one index of the outer axes.
struct walk {
  ms_int coordinate[MS_MAX_OUTER], in[INPUTS], out[OUTPUTS + 1], init[INITS], carry[CARRIES];
};
NOINLINE void move(const ms_launch* g, walk& w, ms_int axis, ms_int steps) {
  for (int i = 0; i < INPUTS; ++i) w.in[i] += steps * g->inputs[i].outer[axis];
  for (int i = 0; i < OUTPUTS; ++i) w.out[i] += steps * g->outputs[i].outer[axis];
  if (g->has_init) for (int i = 0; i < INITS; ++i) w.init[i] += steps * g->inits[i].outer[axis];
  if (g->want_carry) for (int i = 0; i < CARRIES; ++i) w.carry[i] += steps * g->carries[i].outer[axis];
}
NOINLINE walk walk_to(const ms_launch* g, ms_int index) {
  walk w = {};
  for (ms_int axis = g->outer_ndim; axis-- > 0; index /= g->outer_shape[axis]) {
    w.coordinate[axis] = index % g->outer_shape[axis];
    move(g, w, axis, w.coordinate[axis]);
  }
  return w;
}
NOINLINE void advance(const ms_launch* g, walk& w) {
  for (ms_int axis = g->outer_ndim; axis-- > 0;) {
    move(g, w, axis, 1);
    if (++w.coordinate[axis] < g->outer_shape[axis]) return;
    move(g, w, axis, -g->outer_shape[axis]);
    w.coordinate[axis] = 0;
  }
}

// A piece of one row: steps t0 to t1 in fold order, columns c0 to c1.
struct piece {
  const ms_launch* g;
  const walk* w;
  ms_int t0, t1, c0, c1, pitch;
  u8* carry;    // a row of carries: what to start from if `seeded`, the fold at the end
  u8* buffer;   // for leaves that are not laid out as the loop wants them
  bool seeded, stream;
};
INLINE ms_int steps_before(const piece& p) { return p.t0; }

template <class T> NOINLINE void copy_strided(T* to, ms_int to_step, const T* from, ms_int from_step, ms_int count) {
  for (ms_int i = 0; i < count; ++i) to[i * to_step] = from[i * from_step];
}
// Puts the init into the carries; whether there is one.
NOINLINE bool take_init(const piece& p) {
  if (!p.g->has_init) return false;
  const ms_int count = p.c1 - p.c0;
  copy_strided<f32>((f32*)(p.carry + p.pitch * 0) + p.c0, 1, (f32*)p.g->inits[0].data + p.w->init[0] + p.c0 * p.g->inits[0].inner + 0 * p.g->inits[0].lane, p.g->inits[0].inner, count);
  copy_strided<f32>((f32*)(p.carry + p.pitch * 4) + p.c0, 1, (f32*)p.g->inits[1].data + p.w->init[1] + p.c0 * p.g->inits[1].inner + 0 * p.g->inits[1].lane, p.g->inits[1].inner, count);
  return true;
}
NOINLINE void give_carry(const piece& p) {
  const ms_int count = p.c1 - p.c0;
  copy_strided<f32>((f32*)p.g->carries[0].data + p.w->carry[0] + p.c0 * p.g->carries[0].inner + 0 * p.g->carries[0].lane, p.g->carries[0].inner, (f32*)(p.carry + p.pitch * 0) + p.c0, 1, count);
  copy_strided<f32>((f32*)p.g->carries[1].data + p.w->carry[1] + p.c0 * p.g->carries[1].inner + 0 * p.g->carries[1].lane, p.g->carries[1].inner, (f32*)(p.carry + p.pitch * 4) + p.c0, 1, count);
}

INLINE void read(const piece& p, ms_int at, ms_int j, state& x) {
  x.s0 = ((const f32*)p.g->inputs[0].data)[p.w->in[0] + j * p.g->inputs[0].inner + 0 * p.g->inputs[0].lane + at * p.g->inputs[0].axis];
  x.s1 = ((const f32*)p.g->inputs[1].data)[p.w->in[1] + j * p.g->inputs[1].inner + 0 * p.g->inputs[1].lane + at * p.g->inputs[1].axis];
}
INLINE void write(const piece& p, ms_int at, ms_int j, const state& y) {
  ((f32*)p.g->outputs[0].data)[p.w->out[0] + at * p.g->outputs[0].axis + j * p.g->outputs[0].inner + 0] = y.s0;
  ((f32*)p.g->outputs[1].data)[p.w->out[1] + at * p.g->outputs[1].axis + j * p.g->outputs[1].inner + 0] = y.s1;
}
INLINE ms_int buffer_bytes(const ms_launch*) { return 0; }
// One column from its first step to its last; the carry stays in registers.
template <bool scan> static void column(const piece& p, ms_int j) {
  captures k = {};
  (void)k;
  state c = {};
  ms_int t = p.t0, at = t;
  if (p.seeded) {
    c.s0 = ((f32*)(p.carry + p.pitch * 0))[j];
    c.s1 = ((f32*)(p.carry + p.pitch * 4))[j];
  } else if (t < p.t1) {
    read(p, at, j, c);
    if (scan) {
      write(p, at, j, c);
    }
    ++t, at += 1;
  }
  for (; t < p.t1; ++t, at += 1) {
    state x;
    read(p, at, j, x);
    const state y = combine(c, x, k);
    if (scan) write(p, at, j, y);
    c = y;
  }
  ((f32*)(p.carry + p.pitch * 0))[j] = c.s0;
  ((f32*)(p.carry + p.pitch * 4))[j] = c.s1;
}
INLINE void span(const piece& p, bool scan) {
  for (ms_int j = p.c0; j < p.c1; ++j) scan ? column<true>(p, j) : column<false>(p, j);
}

// The cut depends on the shape alone.
struct cut { ms_int tasks, columns, pitch, carry, buffer; bool parts; };
NOINLINE cut cut_of(const ms_launch* g) {
  cut c = {1, 1, (g->inner + 2 * 8 + 63) / 64 * 64, 0, 0, false};
  const double work = 1.55 * (double)g->n * (double)g->inner * (double)g->outer_size;
  if (work > 60e3) {
    if (g->outer_size >= 4) c.tasks = least(least(g->outer_size, 8), (ms_int)(work / 30e3)) / 2 * 2;
    else if (g->inner >= 256) c.tasks = g->outer_size * 2, c.columns = 2;
    else if (false && g->outer_size != 2 && g->n >= 1024) c.tasks = g->outer_size * 2, c.parts = true;
    else c.tasks = g->outer_size;
  }
  c.carry = c.pitch * 8;
  c.buffer = (buffer_bytes(g) + 63) / 64 * 64;
  return c;
}
INLINE bool past_caches(const ms_launch* g) {
  return g->last_level_cache > 0 && 8 * g->n * g->inner * g->outer_size > g->last_level_cache;
}

MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) {
  if (!(true)) return (void)(s->phases = 0);
  const cut c = cut_of(g);
  s->phases = c.parts ? 2 : 1;
  s->tasks[0] = c.tasks;
  s->tasks[1] = c.parts ? c.tasks : 0;
  s->tasks[2] = c.parts ? g->outer_size : 0;
  s->scratch_bytes = (c.parts ? 2 * c.tasks : c.tasks) * c.carry + c.tasks * c.buffer;
}

NOINLINE void whole_rows(const ms_launch* g, const cut& c, ms_int task) {
  const ms_int cuts = c.tasks / c.columns, row = task / c.columns, column = task % c.columns;
  const ms_int wide = (g->inner / c.columns + 15) / 16 * 16;
  u8* scratch = (u8*)g->scratch;
  const ms_int first = g->outer_size * row / cuts, last = g->outer_size * (row + 1) / cuts;
  walk w = walk_to(g, first);
  piece p = {g, &w, 0, g->n, column * wide, column + 1 == c.columns ? g->inner : (column + 1) * wide, c.pitch,
             scratch + task * c.carry, scratch + c.tasks * c.carry + task * c.buffer, false, past_caches(g)};
  for (ms_int o = first; o < last; ++o, advance(g, w)) {
    p.seeded = take_init(p);
    span(p, true);
    if (g->want_carry) give_carry(p);
  }
}

MS_EXPORT void ms_task(const ms_launch* g, ms_int phase, ms_int task) {
  const cut c = cut_of(g);
  (void)phase;
  whole_rows(g, c, task);
}
