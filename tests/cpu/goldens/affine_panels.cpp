typedef float f32; typedef double f64;
typedef signed char i8; typedef short i16; typedef int i32; typedef long long i64;
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32; typedef unsigned long long u64;
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
INLINE ms_int least(ms_int a, ms_int b) { return a < b ? a : b; }

static const int W = 8;  // lanes of a vector
typedef f32 f32v __attribute__((vector_size(32)));
typedef i32 i32v __attribute__((vector_size(32)));
typedef u32 u32v __attribute__((vector_size(32)));
typedef f64 f64v __attribute__((vector_size(64)));
typedef i64 i64v __attribute__((vector_size(64)));
typedef u64 u64v __attribute__((vector_size(64)));
typedef u8 u8v __attribute__((vector_size(8)));
typedef i8 i8v __attribute__((vector_size(8)));
typedef u16 u16v __attribute__((vector_size(16)));
typedef i16 i16v __attribute__((vector_size(16)));
static const i32v iota = {0, 1, 2, 3, 4, 5, 6, 7};
static const i64v wide_iota = {0, 1, 2, 3, 4, 5, 6, 7};
typedef f32 f32x4 __attribute__((vector_size(16)));
typedef f32 f32x8 __attribute__((vector_size(32)));
typedef f64 f64x4 __attribute__((vector_size(32)));
typedef i32v mask;  // a bool: 0 or -1
INLINE f32v splat(f32 x) { return f32v{x, x, x, x, x, x, x, x}; }
INLINE i32v splat(i32 x) { return i32v{x, x, x, x, x, x, x, x}; }
INLINE u32v splat(u32 x) { return u32v{x, x, x, x, x, x, x, x}; }
INLINE f64v splat(f64 x) { return f64v{x, x, x, x, x, x, x, x}; }
INLINE i64v splat(i64 x) { return i64v{x, x, x, x, x, x, x, x}; }
INLINE u64v splat(u64 x) { return u64v{x, x, x, x, x, x, x, x}; }
template <class V> INLINE V load_bits(const void* p) { V v; __builtin_memcpy(&v, p, sizeof v); return v; }
template <class V> INLINE void store_bits(void* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
template <class To, class From> INLINE To bit_cast(From x) { To y; __builtin_memcpy(&y, &x, sizeof y); return y; }

#if __has_builtin(__builtin_shufflevector)
template <int... I, class V> INLINE V permute(V a, V b) { return __builtin_shufflevector(a, b, I...); }
#else
template <int size> struct index_of { typedef i32v type; };
template <> struct index_of<8> { typedef i64v type; };
template <int... I, class V> INLINE V permute(V a, V b) {
  return __builtin_shuffle(a, b, typename index_of<sizeof(a[0])>::type{I...});
}
#endif

template <class V> INLINE V choose(i32v m, V a, V b) {
  if constexpr (sizeof(a[0]) == 8) return __builtin_convertvector(m, i64v) ? a : b;
  else return m ? a : b;
}

// Past the caches; the caller has seen to the alignment.
template <class V> INLINE void stream_bits(void* p, V v) {
#if __has_builtin(__builtin_nontemporal_store)
  __builtin_nontemporal_store(v, (V*)p);
#else
  typedef long long q2 __attribute__((vector_size(16)));
#if defined(__AVX512F__)
  typedef long long q8 __attribute__((vector_size(64)));
  if (sizeof(V) == 64) { __builtin_ia32_movntdq512((q8*)p, bit_cast<q8>(v)); return; }
#endif
#if defined(__AVX__)
  typedef long long q4 __attribute__((vector_size(32)));
  if (sizeof(V) == 32) { __builtin_ia32_movntdq256((q4*)p, bit_cast<q4>(v)); return; }
#endif
#if defined(__SSE2__)
  if (sizeof(V) == 16) { __builtin_ia32_movntdq((q2*)p, bit_cast<q2>(v)); return; }
#endif
  store_bits(p, v);
#endif
}
// The first m items of a vector, or the last; what lies beside them is not touched.
template <bool last, class V> INLINE auto few_lanes(int m) {
  if constexpr (sizeof(V) / W == 4) return last ? iota >= W - m : iota < m;
  else return bit_cast<i64v>(last ? wide_iota >= (i64)(W - m) : wide_iota < (i64)m);
}
template <bool last, class V, class T> INLINE V load_few(const T* p, int m) {
#if defined(__AVX__)
  const T* const at = last ? p - (W - m) : p;
  if constexpr (sizeof(V) == 32 && sizeof(T) == 4)
    return bit_cast<V>(__builtin_ia32_maskloadps256((const f32x8*)at, few_lanes<last, V>(m)));
  else if constexpr (sizeof(V) == 32 && sizeof(T) == 8)
    return bit_cast<V>(__builtin_ia32_maskloadpd256((const f64x4*)at, few_lanes<last, V>(m)));
  else if constexpr (sizeof(V) == 16 && sizeof(T) == 4)
    return bit_cast<V>(__builtin_ia32_maskloadps((const f32x4*)at, few_lanes<last, V>(m)));
#endif
  T b[W] = {};
  __builtin_memcpy(b + (last ? W - m : 0), p, m * sizeof(T));
  return load_bits<V>(b);
}
template <int size, class T> INLINE void copy_few(T* to, const T* from, int m) {
  if (m & size) __builtin_memcpy(to, from, size * sizeof(T)), to += size, from += size;
  if constexpr (size > 1) copy_few<size / 2>(to, from, m);
}
// In pieces: masked stores are slow on some machines.
template <bool last, class V, class T> INLINE void store_few(T* p, int m, V v) {
  T b[W];
  store_bits(b, v);
  copy_few<W / 2>(p, b + (last ? W - m : 0), m);
}
INLINE void stream_fence() {
#if defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}

template <class F> INLINE F minimum(F a, F b) { return a != a ? a : (a < b ? a : b); }
template <class F> INLINE F maximum(F a, F b) { return a != a ? a : (a > b ? a : b); }
#if defined(__AVX__) && !defined(__clang__)
// The instruction is a < b ? a : b, unordered giving b: one test of a is left.
INLINE f32v minimum(f32v a, f32v b) { return a != a ? a : __builtin_ia32_minps256(a, b); }
INLINE f32v maximum(f32v a, f32v b) { return a != a ? a : __builtin_ia32_maxps256(a, b); }
#endif
template <class V, class G> INLINE V map(V x, G g) { V y = x; for (int i = 0; i < W; ++i) y[i] = g(x[i]); return y; }
template <class V, class G> INLINE V map(V x, V z, G g) {
  V y = x;
  for (int i = 0; i < W; ++i) y[i] = g(x[i], z[i]);
  return y;
}

INLINE f32v load_float32(const void* p) { return load_bits<f32v>(p); }
INLINE void store_float32(void* p, f32v x) { store_bits(p, x); }
INLINE void stream_float32(void* p, f32v x) { stream_bits(p, x); }
// Transposes each 4 x 4 block of lanes; its own inverse.
template <class V> INLINE void transpose(V& a, V& b, V& c, V& d) {
  if constexpr (sizeof(a[0]) == 4) {
    const V ab = permute<0, 8, 1, 9, 4, 12, 5, 13>(a, b), AB = permute<2, 10, 3, 11, 6, 14, 7, 15>(a, b), cd = permute<0, 8, 1, 9, 4, 12, 5, 13>(c, d), CD = permute<2, 10, 3, 11, 6, 14, 7, 15>(c, d);
    a = permute<0, 1, 8, 9, 4, 5, 12, 13>(ab, cd), b = permute<2, 3, 10, 11, 6, 7, 14, 15>(ab, cd), c = permute<0, 1, 8, 9, 4, 5, 12, 13>(AB, CD), d = permute<2, 3, 10, 11, 6, 7, 14, 15>(AB, CD);
  } else {
    const V ab = permute<0, 8, 2, 10, 4, 12, 6, 14>(a, b), AB = permute<1, 9, 3, 11, 5, 13, 7, 15>(a, b), cd = permute<0, 8, 2, 10, 4, 12, 6, 14>(c, d), CD = permute<1, 9, 3, 11, 5, 13, 7, 15>(c, d);
    a = permute<0, 1, 8, 9, 4, 5, 12, 13>(ab, cd), b = permute<0, 1, 8, 9, 4, 5, 12, 13>(AB, CD), c = permute<2, 3, 10, 11, 6, 7, 14, 15>(ab, cd), d = permute<2, 3, 10, 11, 6, 7, 14, 15>(AB, CD);
  }
}

struct state { f32v s0; f32v s1; };
struct captures {  };

template <int... I> INLINE state shuffle(const state& a, const state& b) {
  return {permute<I...>(a.s0, b.s0), permute<I...>(a.s1, b.s1)};
}
INLINE void transpose(state& a, state& b, state& c, state& d) { transpose(a.s0, b.s0, c.s0, d.s0); transpose(a.s1, b.s1, c.s1, d.s1); }
INLINE state spread(const state& a, int lane) { return {splat(a.s0[lane]), splat(a.s1[lane])}; }
INLINE state choose(i32v m, const state& a, const state& b) { return {choose(m, a.s0, b.s0), choose(m, a.s1, b.s1)}; }

INLINE state combine(const state& l, const state& r, const captures&) {
  const f32v v4 = r.s0 * l.s0;
  const f32v v5 = r.s0 * l.s1;
  const f32v v6 = v5 + r.s1;
  return {v4, v6};
}

struct elements { const f32* x0; const f32* x1; };
INLINE void load(const elements& e, ms_int i, state& s) {
  s.s0 = load_float32(e.x0 + i * 1);
  s.s1 = load_float32(e.x1 + i * 1);
}
// m elements in the first lanes.
INLINE void load_part(const elements& e, ms_int i, int m, state& s) {
  s.s0 = load_few<false, f32v>(e.x0 + i, m);
  s.s1 = load_few<false, f32v>(e.x1 + i, m);
}

// The items of a buffer's row: W more than its content, and items of any size may start behind it.
INLINE ms_int padded(ms_int items) { return (items + W + 7) / 8 * 8; }
// From such rows, one a lane, `pitch` items apart.
INLINE void load_captures(const elements& e, ms_int i, ms_int pitch, captures& k) {
  (void)e, (void)i, (void)pitch, (void)k;
}

struct results { f32* y0; f32* y1; };
INLINE void store(const results& r, ms_int i, const state& s) {
  store_float32(r.y0 + i * 1, s.s0);
  store_float32(r.y1 + i * 1, s.s1);
}
INLINE void stream(const results& r, ms_int i, const state& s0, const state& s1) {
  stream_float32(r.y0 + (i + 0 * W) * 1, s0.s0);
  stream_float32(r.y0 + (i + 1 * W) * 1, s1.s0);
  stream_float32(r.y1 + (i + 0 * W) * 1, s0.s1);
  stream_float32(r.y1 + (i + 1 * W) * 1, s1.s1);
}
INLINE void store_part(const results& r, ms_int i, int m, const state& s) {
  store_few<false>(r.y0 + i, m, s.s0);
  store_few<false>(r.y1 + i, m, s.s1);
}

// A row of carries has `pitch` columns; the lanes that only partial folds need are in it if `whole`.
template <bool whole> INLINE void get_carry(const u8* row, ms_int pitch, ms_int j, state& s) {
  s.s0 = load_float32(row + pitch * 0 + j * 4);
  s.s1 = load_float32(row + pitch * 4 + j * 4);
}
template <bool whole> INLINE void put_carry(u8* row, ms_int pitch, ms_int j, const state& s) {
  store_float32(row + pitch * 0 + j * 4, s.s0);
  store_float32(row + pitch * 4 + j * 4, s.s1);
}

template <class V> struct halves_of { V low, high; };
template <class V> INLINE bool any(V m) {
#if defined(__AVX__)
  typedef long long q4 __attribute__((vector_size(32)));
  if constexpr (sizeof m == 32) return !__builtin_ia32_ptestz256(bit_cast<q4>(m), bit_cast<q4>(m));
  if constexpr (sizeof m == 64) {
    const halves_of<q4> h = bit_cast<halves_of<q4>>(m);
    return any(h.low | h.high);
  }
#endif
#if defined(__SSE4_1__)
  typedef long long q2 __attribute__((vector_size(16)));
  if constexpr (sizeof m == 16) return !__builtin_ia32_ptestz128(bit_cast<q2>(m), bit_cast<q2>(m));
#endif
  struct words { u64 at[sizeof m / 8]; };
  const words w = bit_cast<words>(m);
  u64 all = 0;
  for (u64 word : w.at) all |= word;
  return all != 0;
}
template <class V> INLINE V multiply_add(V a, V b, V c) {
#if __has_builtin(__builtin_elementwise_fma)
  return __builtin_elementwise_fma(a, b, c);
#elif defined(__FMA__)
  if constexpr (sizeof a == 32 && sizeof a[0] == 4) return __builtin_ia32_vfmaddps256(a, b, c);
  if constexpr (sizeof a == 32 && sizeof a[0] == 8) return __builtin_ia32_vfmaddpd256(a, b, c);
#if defined(__AVX512F__)
  if constexpr (sizeof a == 64 && sizeof a[0] == 4) return __builtin_ia32_vfmaddps512_mask(a, b, c, (short)-1, 4);
  if constexpr (sizeof a == 64 && sizeof a[0] == 8) return __builtin_ia32_vfmaddpd512_mask(a, b, c, -1, 4);
#endif
#endif
  return a * b + c;
}
template <class V> INLINE auto not_finite(V x) { return x - x != 0; }
// The sum of both halves tells as well, and is quicker to test.
template <class Half, class V> INLINE bool sum_not_finite(V x) {
#if defined(__AVX512DQ__)  // one instruction: quiet NaN, infinities, signalling NaN
  if constexpr (sizeof(V) == 64 && sizeof(x[0]) == 4) return __builtin_ia32_fpclassps512_mask(x, 0x99, (short)-1);
  if constexpr (sizeof(V) == 64 && sizeof(x[0]) == 8) return __builtin_ia32_fpclasspd512_mask(x, 0x99, (char)-1);
#endif
  if constexpr (sizeof(V) == 64) {
    const halves_of<Half> h = bit_cast<halves_of<Half>>(x);
    return any(not_finite(h.low + h.high));
  } else return any(not_finite(x));
}
// Bad: NaN, or an infinity that is not ordinary. Spoilt: bad, and not because it was so before for ever.
INLINE i32v bad(const state& s) { return not_finite(s.s0) | not_finite(s.s1); }
INLINE i32v spoilt(const state& before, const state& s) { return (not_finite(s.s0) & ~not_finite(before.s0)) | (not_finite(s.s1) & ~not_finite(before.s1)); }
INLINE i32v spoilt_results(const state& before, const state& s) { return (not_finite(s.s0) & ~not_finite(before.s0)) | (not_finite(s.s1) & ~not_finite(before.s1)); }

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

INLINE ms_int buffer_bytes(const ms_launch* g) { return padded(g->inner) * 8; }
NOINLINE void pack_captures(const piece& p, elements& e) {
  u8* b = p.buffer;
  (void)e, (void)b;
}
INLINE bool whole_rows_lie_ready(const ms_launch* g) { return g->inputs[0].inner == 1 && g->inputs[1].inner == 1; }
NOINLINE elements row_at(const piece& p, ms_int t, elements e) {
  const ms_int count = p.c1 - p.c0;
  u8* b = p.buffer + padded(p.g->inner) * 0;
  { const f32* const x = (const f32*)p.g->inputs[0].data + p.w->in[0] + t * p.g->inputs[0].axis + p.c0 * p.g->inputs[0].inner; e.x0 = x;
    if (!(p.g->inputs[0].inner == 1)) { e.x0 = (f32*)b; copy_strided((f32*)b + 0, 1, x + 0 * p.g->inputs[0].lane, p.g->inputs[0].inner, count); } }
  b += padded(p.g->inner) * 4;
  { const f32* const x = (const f32*)p.g->inputs[1].data + p.w->in[1] + t * p.g->inputs[1].axis + p.c0 * p.g->inputs[1].inner; e.x1 = x;
    if (!(p.g->inputs[1].inner == 1)) { e.x1 = (f32*)b; copy_strided((f32*)b + 0, 1, x + 0 * p.g->inputs[1].lane, p.g->inputs[1].inner, count); } }
  b += padded(p.g->inner) * 4;
  (void)b, (void)count;
  return e;
}
INLINE results out_at(const piece& p, ms_int t) {
  results r = {};
  r.y0 = (f32*)p.g->outputs[0].data + p.w->out[0] + t * p.g->outputs[0].axis + p.c0 * 1;
  r.y1 = (f32*)p.g->outputs[1].data + p.w->out[1] + t * p.g->outputs[1].axis + p.c0 * 1;
  return r;
}
INLINE ms_int row_of(const piece& p, ms_int t) { return t; }
// The first row, where nothing comes before.
NOINLINE void first_row(const piece& p, const elements& captured, bool scan) {
  const ms_int count = p.c1 - p.c0, at = row_of(p, p.t0);
  const elements e = row_at(p, at, captured);
  const results r = out_at(p, at);
  for (ms_int j = 0; j < count; j += W) {
    const int m = (int)least(W, count - j);
    state x;
    m == W ? load(e, j, x) : load_part(e, j, m, x);
    put_carry<true>(p.carry, p.pitch, p.c0 + j, x);
    if (!scan) continue;
    const state y = x;
    m == W ? store(r, j, y) : store_part(r, j, m, y);
  }
}

// Some steps of 4 vectors of columns, from column j of the piece on.
template <bool scan>
NOINLINE void panel4(const piece& p, elements e, results r, ms_int steps, ms_int j, int m) {
  // Locals, since a store might change what `p` points to as far as the compiler knows.
  const ms_int pitch = p.pitch, inner = p.g->inner, first = p.c0 + j;
  u8* const row = p.carry;
  const ms_int d0 = p.g->inputs[0].axis;
  const ms_int d1 = p.g->inputs[1].axis;
  const ms_int d2 = p.g->outputs[0].axis;
  const ms_int d3 = p.g->outputs[1].axis;
  state s0, s1, s2, s3;
  captures k0, k1, k2, k3;
  load_captures(e, j + 0 * W, padded(inner), k0);
  load_captures(e, j + 1 * W, padded(inner), k1);
  load_captures(e, j + 2 * W, padded(inner), k2);
  load_captures(e, j + 3 * W, padded(inner), k3);
  get_carry<!scan>(row, pitch, first + 0 * W, s0);
  get_carry<!scan>(row, pitch, first + 1 * W, s1);
  get_carry<!scan>(row, pitch, first + 2 * W, s2);
  get_carry<!scan>(row, pitch, first + 3 * W, s3);
  for (; steps > 0; --steps) {
    { state x; load(e, j + 0 * W, x);
      s0 = combine(s0, x, k0); const state& y = s0;
      if (scan) store(r, j + 0 * W, y); }
    { state x; load(e, j + 1 * W, x);
      s1 = combine(s1, x, k1); const state& y = s1;
      if (scan) store(r, j + 1 * W, y); }
    { state x; load(e, j + 2 * W, x);
      s2 = combine(s2, x, k2); const state& y = s2;
      if (scan) store(r, j + 2 * W, y); }
    { state x; load(e, j + 3 * W, x);
      s3 = combine(s3, x, k3); const state& y = s3;
      if (scan) store(r, j + 3 * W, y); }
    e.x0 += d0;
    e.x1 += d1;
    r.y0 += d2;
    r.y1 += d3;
  }
  put_carry<!scan>(row, pitch, first + 0 * W, s0);
  put_carry<!scan>(row, pitch, first + 1 * W, s1);
  put_carry<!scan>(row, pitch, first + 2 * W, s2);
  put_carry<!scan>(row, pitch, first + 3 * W, s3);
  (void)m;
}

// Some steps of 2 vectors of columns, from column j of the piece on.
template <bool scan>
NOINLINE void panel2(const piece& p, elements e, results r, ms_int steps, ms_int j, int m) {
  // Locals, since a store might change what `p` points to as far as the compiler knows.
  const ms_int pitch = p.pitch, inner = p.g->inner, first = p.c0 + j;
  u8* const row = p.carry;
  const ms_int d0 = p.g->inputs[0].axis;
  const ms_int d1 = p.g->inputs[1].axis;
  const ms_int d2 = p.g->outputs[0].axis;
  const ms_int d3 = p.g->outputs[1].axis;
  state s0, s1;
  captures k0, k1;
  load_captures(e, j + 0 * W, padded(inner), k0);
  load_captures(e, j + 1 * W, padded(inner), k1);
  get_carry<!scan>(row, pitch, first + 0 * W, s0);
  get_carry<!scan>(row, pitch, first + 1 * W, s1);
  for (; steps > 0; --steps) {
    { state x; load(e, j + 0 * W, x);
      s0 = combine(s0, x, k0); const state& y = s0;
      if (scan) store(r, j + 0 * W, y); }
    { state x; load(e, j + 1 * W, x);
      s1 = combine(s1, x, k1); const state& y = s1;
      if (scan) store(r, j + 1 * W, y); }
    e.x0 += d0;
    e.x1 += d1;
    r.y0 += d2;
    r.y1 += d3;
  }
  put_carry<!scan>(row, pitch, first + 0 * W, s0);
  put_carry<!scan>(row, pitch, first + 1 * W, s1);
  (void)m;
}

// Some steps of at most one vector of columns, from column j of the piece on.
template <bool scan>
NOINLINE void strip(const piece& p, elements e, results r, ms_int steps, ms_int j, int m) {
  // Locals, since a store might change what `p` points to as far as the compiler knows.
  const ms_int pitch = p.pitch, inner = p.g->inner, first = p.c0 + j;
  u8* const row = p.carry;
  const ms_int d0 = p.g->inputs[0].axis;
  const ms_int d1 = p.g->inputs[1].axis;
  const ms_int d2 = p.g->outputs[0].axis;
  const ms_int d3 = p.g->outputs[1].axis;
  state s0;
  captures k0;
  load_captures(e, j + 0 * W, padded(inner), k0);
  get_carry<!scan>(row, pitch, first + 0 * W, s0);
  for (; steps > 0; --steps) {
    { state x; m == W ? load(e, j + 0 * W, x) : load_part(e, j, m, x);
      s0 = combine(s0, x, k0); const state& y = s0;
      if (scan) m == W ? store(r, j + 0 * W, y) : store_part(r, j, m, y); }
    e.x0 += d0;
    e.x1 += d1;
    r.y0 += d2;
    r.y1 += d3;
  }
  put_carry<!scan>(row, pitch, first + 0 * W, s0);
  (void)m;
}

// How many rows a panel goes down before the next one follows: less than the caches hold.
static const ms_int ROWS = 64;
NOINLINE void span(const piece& p, bool scan) {
  if (p.t0 >= p.t1) return;
  elements captured = {};
  pack_captures(p, captured);
  ms_int t = p.t0;
  if (!p.seeded) first_row(p, captured, scan), ++t;
  const ms_int count = p.c1 - p.c0, rows = whole_rows_lie_ready(p.g) ? ROWS : 1;
  for (; t < p.t1; t += rows) {
    const ms_int steps = least(rows, p.t1 - t);
    const elements e = row_at(p, row_of(p, t), captured);
    const results r = out_at(p, row_of(p, t));
    ms_int j = 0;
    for (; j + 4 * W <= count; j += 4 * W) (scan ? panel4<true> : panel4<false>)(p, e, r, steps, j, W);
    for (; j + 2 * W <= count; j += 2 * W) (scan ? panel2<true> : panel2<false>)(p, e, r, steps, j, W);
    for (; j < count; j += W) (scan ? strip<true> : strip<false>)(p, e, r, steps, j, (int)least(W, count - j));
  }
}

// The row of carries that follows from two, one after the other; whether any came out bad. Those
// are taken from a third row, if there is one.
NOINLINE bool combine_carries(const piece& p, const u8* left, const u8* right, const u8* instead) {
  captures k;
  elements e = {};
  bool wrong = false;
  pack_captures(p, e);
  for (ms_int j = 0; j < p.g->inner; j += W) {
    state l, r;
    get_carry<true>(left, p.pitch, j, l), get_carry<true>(right, p.pitch, j, r);
    load_captures(e, j, padded(p.g->inner), k);
    state y = combine(l, r, k);
    const i32v bad_columns = (spoilt(l, y)) & (iota < (i32)least(W, p.g->inner - j));
    wrong |= any(bad_columns);
    if (instead) {
      state z;
      get_carry<true>(instead, p.pitch, j, z);
      y = choose(bad_columns, z, y);
    }
    put_carry<true>(p.carry, p.pitch, j, y);
  }
  (void)instead;
  return wrong;
}

// The cut depends on the shape alone.
struct cut { ms_int tasks, columns, pitch, carry, buffer; bool parts; };
NOINLINE cut cut_of(const ms_launch* g) {
  cut c = {1, 1, (g->inner + 2 * 8 + 63) / 64 * 64, 0, 0, false};
  const double work = 0.365 * (double)g->n * (double)g->inner * (double)g->outer_size;
  if (work > 60e3) {
    if (g->outer_size >= 4) c.tasks = least(least(g->outer_size, 8), (ms_int)(work / 30e3)) / 2 * 2;
    else if (g->inner >= 256) c.tasks = g->outer_size * 2, c.columns = 2;
    else if (true && g->outer_size != 2 && g->n >= 1024) c.tasks = g->outer_size * 2, c.parts = true;
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
  s->phases = c.parts ? 3 : 1;
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

// One long row in three unequal parts: the first is scanned while the second is folded,
// then the second and the third are scanned from what came before them. If the fold of the
// second came out bad, the third waits for its scan.
NOINLINE void part_of_row(const ms_launch* g, const cut& c, ms_int phase, ms_int task) {
  const ms_int row = phase == 2 ? task : task / 2, second = phase == 2 || task % 2;
  const ms_int n1 = (ms_int)((double)g->n * 0.23076923076923075) / 64 * 64;
  const ms_int n2 = (ms_int)((double)g->n * 0.3846153846153846) / 64 * 64;
  u8* const carries = (u8*)g->scratch + 4 * row * c.carry;
  u8* const after_first = carries, *const of_second = carries + c.carry;
  walk w = walk_to(g, row);
  piece p = {g, &w, 0, n1, 0, g->inner, c.pitch, after_first,
             (u8*)g->scratch + 2 * c.tasks * c.carry + task * c.buffer, false, past_caches(g)};
  if (phase == 0 && !second) {
    p.seeded = take_init(p);
    span(p, true);
  } else if (phase == 0) {
    p.t0 = n1, p.t1 = n1 + n2, p.carry = of_second;
    span(p, false);
  } else if (!second) {
    p.t0 = n1, p.t1 = n1 + n2, p.carry = carries + 2 * c.carry, p.seeded = true;
    __builtin_memcpy(p.carry, after_first, c.carry);
    span(p, true);
  } else {
    p.t0 = n1 + n2, p.t1 = g->n, p.carry = carries + 3 * c.carry, p.seeded = true;
    const bool bad = combine_carries(p, after_first, of_second, phase == 2 ? carries + 2 * c.carry : nullptr);
    if (bad != (phase == 2)) return;
    span(p, true);
    if (g->want_carry) give_carry(p);
  }
}

MS_EXPORT void ms_task(const ms_launch* g, ms_int phase, ms_int task) {
  const cut c = cut_of(g);
  c.parts ? part_of_row(g, c, phase, task) : whole_rows(g, c, task);
}
