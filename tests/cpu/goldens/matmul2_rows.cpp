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
#if __has_builtin(__builtin_shufflevector)
#define JOIN(V, half, ...) __builtin_shufflevector(a, b, COUNT_##half)
#define COUNT_4 0, 1, 2, 3, 4, 5, 6, 7
#define COUNT_8 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
template <class Q, int... I, class V> INLINE Q quad(V v) { return __builtin_shufflevector(v, v, I...); }
#else
#define JOIN(V, half, ...) V{__VA_ARGS__}
template <class Q, int... I, class V> INLINE Q quad(V v) { return Q{v[I]...}; }
#endif

typedef f32 f32q __attribute__((vector_size(16)));
typedef i32 i32q __attribute__((vector_size(16)));
typedef u32 u32q __attribute__((vector_size(16)));
typedef f64 f64q __attribute__((vector_size(32)));
typedef i64 i64q __attribute__((vector_size(32)));
typedef u64 u64q __attribute__((vector_size(32)));
INLINE f32v join(f32q a, f32q b) { return JOIN(f32v, 4, a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]); }
INLINE i32v join(i32q a, i32q b) { return JOIN(i32v, 4, a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]); }
INLINE u32v join(u32q a, u32q b) { return JOIN(u32v, 4, a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]); }
INLINE f64v join(f64q a, f64q b) { return JOIN(f64v, 4, a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]); }
INLINE i64v join(i64q a, i64q b) { return JOIN(i64v, 4, a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]); }
INLINE u64v join(u64q a, u64q b) { return JOIN(u64v, 4, a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]); }
// Four items from each of W / 4 places `step` apart, and back.
template <class V, class Q, class T> INLINE V load_quads(const T* p, ms_int step) {
  if constexpr (W == 4) return load_bits<V>(p);
  else if constexpr (W == 8) return join(load_bits<Q>(p), load_bits<Q>(p + step));
  else return join(join(load_bits<Q>(p), load_bits<Q>(p + step)),
                   join(load_bits<Q>(p + 2 * step), load_bits<Q>(p + 3 * step)));
}
INLINE void load_float32_x4(const f32* p, f32v& a0, f32v& a1, f32v& a2, f32v& a3) {
  a0 = load_quads<f32v, f32q>(p + 0, 16), a1 = load_quads<f32v, f32q>(p + 4, 16), a2 = load_quads<f32v, f32q>(p + 8, 16), a3 = load_quads<f32v, f32q>(p + 12, 16);
  transpose(a0, a1, a2, a3);
}
INLINE void store_float32_x4(f32* p, f32v a0, f32v a1, f32v a2, f32v a3) {
  { f32v b0 = a0, b1 = a1, b2 = a2, b3 = a3;
    transpose(b0, b1, b2, b3);
    store_bits(p + 0, quad<f32q, 0, 1, 2, 3>(b0));
    store_bits(p + 4, quad<f32q, 0, 1, 2, 3>(b1));
    store_bits(p + 8, quad<f32q, 0, 1, 2, 3>(b2));
    store_bits(p + 12, quad<f32q, 0, 1, 2, 3>(b3));
    store_bits(p + 16, quad<f32q, 4, 5, 6, 7>(b0));
    store_bits(p + 20, quad<f32q, 4, 5, 6, 7>(b1));
    store_bits(p + 24, quad<f32q, 4, 5, 6, 7>(b2));
    store_bits(p + 28, quad<f32q, 4, 5, 6, 7>(b3));
  }
}

struct state { f32v s0; f32v s1; f32v s2; f32v s3; };
struct captures {  };

template <int... I> INLINE state shuffle(const state& a, const state& b) {
  return {permute<I...>(a.s0, b.s0), permute<I...>(a.s1, b.s1), permute<I...>(a.s2, b.s2), permute<I...>(a.s3, b.s3)};
}
INLINE void transpose(state& a, state& b, state& c, state& d) { transpose(a.s0, b.s0, c.s0, d.s0); transpose(a.s1, b.s1, c.s1, d.s1); transpose(a.s2, b.s2, c.s2, d.s2); transpose(a.s3, b.s3, c.s3, d.s3); }
INLINE state spread(const state& a, int lane) { return {splat(a.s0[lane]), splat(a.s1[lane]), splat(a.s2[lane]), splat(a.s3[lane])}; }
INLINE state choose(i32v m, const state& a, const state& b) { return {choose(m, a.s0, b.s0), choose(m, a.s1, b.s1), choose(m, a.s2, b.s2), choose(m, a.s3, b.s3)}; }

INLINE state combine(const state& l, const state& r, const captures&) {
  const f32v v8 = l.s0 * r.s0;
  const f32v v9 = l.s0 * r.s1;
  const f32v v10 = l.s2 * r.s0;
  const f32v v11 = l.s2 * r.s1;
  const f32v v12 = l.s1 * r.s2;
  const f32v v13 = l.s1 * r.s3;
  const f32v v14 = l.s3 * r.s2;
  const f32v v15 = l.s3 * r.s3;
  const f32v v16 = v8 + v12;
  const f32v v17 = v9 + v13;
  const f32v v18 = v10 + v14;
  const f32v v19 = v11 + v15;
  return {v16, v17, v18, v19};
}

struct elements { const f32* x0; };
INLINE void load(const elements& e, ms_int i, state& s) {
  load_float32_x4(e.x0 + i * 4, s.s0, s.s1, s.s2, s.s3);
}
// m elements in the first lanes.
INLINE void load_part(const elements& e, ms_int i, int m, state& s) {
  { f32 b[W * 4] = {}; __builtin_memcpy(b + 0, e.x0 + i * 4, m * 4 * sizeof *b); load_float32_x4(b, s.s0, s.s1, s.s2, s.s3); }
}

// The items of a buffer's row: W more than its content, and items of any size may start behind it.
INLINE ms_int padded(ms_int items) { return (items + W + 7) / 8 * 8; }
// From such rows, one a lane, `pitch` items apart.
INLINE void load_captures(const elements& e, ms_int i, ms_int pitch, captures& k) {
  (void)e, (void)i, (void)pitch, (void)k;
}

struct results { f32* y0; };
INLINE void store(const results& r, ms_int i, const state& s) {
  store_float32_x4(r.y0 + i * 4, s.s0, s.s1, s.s2, s.s3);
}
INLINE void stream(const results& r, ms_int i, const state& s0, const state& s1) {
  store_float32_x4(r.y0 + (i + 0 * W) * 4, s0.s0, s0.s1, s0.s2, s0.s3);
  store_float32_x4(r.y0 + (i + 1 * W) * 4, s1.s0, s1.s1, s1.s2, s1.s3);
}
INLINE void store_part(const results& r, ms_int i, int m, const state& s) {
  { f32 b[W * 4]; store_float32_x4(b, s.s0, s.s1, s.s2, s.s3); __builtin_memcpy(r.y0 + i * 4, b + 0, m * 4 * sizeof *b); }
}

// A row of carries has `pitch` columns; the lanes that only partial folds need are in it if `whole`.
template <bool whole> INLINE void get_carry(const u8* row, ms_int pitch, ms_int j, state& s) {
  s.s0 = load_float32(row + pitch * 0 + j * 4);
  s.s1 = load_float32(row + pitch * 4 + j * 4);
  s.s2 = load_float32(row + pitch * 8 + j * 4);
  s.s3 = load_float32(row + pitch * 12 + j * 4);
}
template <bool whole> INLINE void put_carry(u8* row, ms_int pitch, ms_int j, const state& s) {
  store_float32(row + pitch * 0 + j * 4, s.s0);
  store_float32(row + pitch * 4 + j * 4, s.s1);
  store_float32(row + pitch * 8 + j * 4, s.s2);
  store_float32(row + pitch * 12 + j * 4, s.s3);
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
INLINE i32v bad(const state& s) { return not_finite(s.s0) | not_finite(s.s1) | not_finite(s.s2) | not_finite(s.s3); }
INLINE i32v spoilt(const state& before, const state& s) { return (not_finite(s.s0) & ~not_finite(before.s0)) | (not_finite(s.s1) & ~not_finite(before.s1)) | (not_finite(s.s2) & ~not_finite(before.s2)) | (not_finite(s.s3) & ~not_finite(before.s3)); }
INLINE i32v spoilt_results(const state& before, const state& s) { return (not_finite(s.s0) & ~not_finite(before.s0)) | (not_finite(s.s1) & ~not_finite(before.s1)) | (not_finite(s.s2) & ~not_finite(before.s2)) | (not_finite(s.s3) & ~not_finite(before.s3)); }

enum { INPUTS = 1, OUTPUTS = 1, INITS = 1, CARRIES = 1 };

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
  copy_strided<f32>((f32*)(p.carry + p.pitch * 4) + p.c0, 1, (f32*)p.g->inits[0].data + p.w->init[0] + p.c0 * p.g->inits[0].inner + 1 * p.g->inits[0].lane, p.g->inits[0].inner, count);
  copy_strided<f32>((f32*)(p.carry + p.pitch * 8) + p.c0, 1, (f32*)p.g->inits[0].data + p.w->init[0] + p.c0 * p.g->inits[0].inner + 2 * p.g->inits[0].lane, p.g->inits[0].inner, count);
  copy_strided<f32>((f32*)(p.carry + p.pitch * 12) + p.c0, 1, (f32*)p.g->inits[0].data + p.w->init[0] + p.c0 * p.g->inits[0].inner + 3 * p.g->inits[0].lane, p.g->inits[0].inner, count);
  return true;
}
NOINLINE void give_carry(const piece& p) {
  const ms_int count = p.c1 - p.c0;
  copy_strided<f32>((f32*)p.g->carries[0].data + p.w->carry[0] + p.c0 * p.g->carries[0].inner + 0 * p.g->carries[0].lane, p.g->carries[0].inner, (f32*)(p.carry + p.pitch * 0) + p.c0, 1, count);
  copy_strided<f32>((f32*)p.g->carries[0].data + p.w->carry[0] + p.c0 * p.g->carries[0].inner + 1 * p.g->carries[0].lane, p.g->carries[0].inner, (f32*)(p.carry + p.pitch * 4) + p.c0, 1, count);
  copy_strided<f32>((f32*)p.g->carries[0].data + p.w->carry[0] + p.c0 * p.g->carries[0].inner + 2 * p.g->carries[0].lane, p.g->carries[0].inner, (f32*)(p.carry + p.pitch * 8) + p.c0, 1, count);
  copy_strided<f32>((f32*)p.g->carries[0].data + p.w->carry[0] + p.c0 * p.g->carries[0].inner + 3 * p.g->carries[0].lane, p.g->carries[0].inner, (f32*)(p.carry + p.pitch * 12) + p.c0, 1, count);
}


// One register again, element by element from a carry: the results from the first bad one on.
NOINLINE void again(const state& x, int m, bool seeded, const state& before, state& carry, state* y, const captures& k,
                    bool& found) {
  for (int i = 0; i < m; ++i, seeded = true) {
    const int lane = i;
    const state own = spread(x, lane), next = seeded ? combine(carry, own, k) : own;
    if (y) {
      found = found || spoilt_results(before, *y)[lane];
      if (found) *y = choose(iota == lane, next, *y);
    }
    carry = next;
  }
}
// Registers that lie side by side, whose results or whose carry came out bad; what was bad for ever is not mended.
NOINLINE void mend(const elements& e, ms_int at, int registers, bool seeded, const state& before, state& carry,
                   state* y, const captures& k) {
  i32v wrong = spoilt(before, carry);
  for (int i = 0; y && i < registers; ++i) wrong |= spoilt_results(before, y[i]);
  if (!any(wrong)) return;
  state x, c = before;
  bool found = false;
  for (int i = 0; i < registers; ++i, seeded = true) {
    const int n = i;
    load(e, at + n * W, x);
    again(x, W, seeded, before, c, y ? y + n : y, k, found);
  }
  if (any(spoilt(before, carry))) carry = c;
}
// Stores a block that was kept back; behind its registers stands its carry.
NOINLINE void mend_block(const elements& e, const results& r, ms_int at, bool seeded, state& carry, state* kept,
                         const captures& k) {
  mend(e, at, 4, seeded, carry, kept[4], kept, k);
  for (int i = 0; i < 4; ++i) store(r, at + i * W, kept[i]);
  carry = kept[4];
}

// Inclusive scan over the lanes of a register (Kogge-Stone).
INLINE void scan_lanes(state& t, const captures& k) {
  t = shuffle<0, 9, 10, 11, 12, 13, 14, 15>(t, combine(shuffle<7, 0, 1, 2, 3, 4, 5, 6>(t, t), t, k));
  t = shuffle<0, 1, 10, 11, 12, 13, 14, 15>(t, combine(shuffle<6, 7, 0, 1, 2, 3, 4, 5>(t, t), t, k));
  t = shuffle<0, 1, 2, 3, 12, 13, 14, 15>(t, combine(shuffle<4, 5, 6, 7, 0, 1, 2, 3>(t, t), t, k));
}

// Inclusive scan over the runs4 of a register (Kogge-Stone).
INLINE void scan_runs4(state& t, const captures& k) {
  t = shuffle<0, 9, 10, 11, 12, 13, 14, 15>(t, combine(shuffle<7, 4, 5, 6, 0, 1, 2, 3>(t, t), t, k));
  t = shuffle<0, 9, 10, 11, 4, 13, 14, 15>(t, combine(shuffle<3, 0, 1, 2, 7, 4, 5, 6>(t, t), t, k));
  t = shuffle<0, 1, 10, 11, 4, 5, 14, 15>(t, combine(shuffle<2, 3, 0, 1, 6, 7, 4, 5>(t, t), t, k));
}

INLINE bool block(const elements& e, const results& r, ms_int at, bool seeded, state& held, const captures& k, bool past, state* kept) {
  state x0, x1, x2, x3;
  load(e, at + 0 * W, x0); load(e, at + 1 * W, x1); load(e, at + 2 * W, x2); load(e, at + 3 * W, x3);
  state own0;
  if (!seeded) {
    own0 = x0; scan_lanes(own0, k);
  }
  transpose(x0, x1, x2, x3);
  x1 = combine(x0, x1, k);
  x2 = combine(x1, x2, k);
  x3 = combine(x2, x3, k);
  state carry = held;
  state t = x3; scan_runs4(t, k);
  const state before = shuffle<7, 4, 5, 6, 0, 1, 2, 3>(t, t);
  const state y = seeded ? combine(carry, before, k) : before;
  const state seed = shuffle<0, 9, 10, 11, 12, 13, 14, 15>(carry, y);
  carry = shuffle<0, 0, 0, 0, 0, 0, 0, 0>(y, y);
  x0 = combine(seed, x0, k);
  x1 = combine(seed, x1, k);
  x2 = combine(seed, x2, k);
  x3 = combine(seed, x3, k);
  transpose(x0, x1, x2, x3);
  if (!seeded) { x0 = shuffle<8, 9, 10, 11, 4, 5, 6, 7>(x0, own0); }
  if (__builtin_expect(sum_not_finite<f32x8>(multiply_add(carry.s0, carry.s1, multiply_add(x3.s2, x3.s3, multiply_add(x3.s0, x3.s1, multiply_add(x2.s2, x2.s3, multiply_add(x2.s0, x2.s1, multiply_add(x1.s2, x1.s3, multiply_add(x1.s0, x1.s1, multiply_add(x0.s2, x0.s3, multiply_add(x0.s0, x0.s1, carry.s2 * carry.s3)))))))))), 0)) { kept[0] = x0; kept[1] = x1; kept[2] = x2; kept[3] = x3; kept[4] = carry; return false; }
  if (past) { stream(r, at + 0 * W, x0, x1); stream(r, at + 2 * W, x2, x3); } else { store(r, at + 0 * W, x0); store(r, at + 1 * W, x1); store(r, at + 2 * W, x2); store(r, at + 3 * W, x3); }
  held = carry;
  return true;
}
NOINLINE void block(const elements& e, const results& r, ms_int at, bool seeded, state& carry, const captures& k,
                    bool past) {
  state kept[4 + 1], c = carry;
  if (!block(e, r, at, seeded, c, k, past, kept)) mend_block(e, r, at, seeded, c, kept, k);
  carry = c;
}

// How many of them came out well.
INLINE int pair(const elements& e, const results& r, ms_int at, state& held, const captures& k, bool past) {
  state x0, x1, x2, x3;
  load(e, at + 0 * W, x0); load(e, at + 1 * W, x1); load(e, at + 2 * W, x2); load(e, at + 3 * W, x3);
  transpose(x0, x1, x2, x3);
  state z0, z1, z2, z3;
  load(e, at + 4 * W + 0 * W, z0); load(e, at + 4 * W + 1 * W, z1); load(e, at + 4 * W + 2 * W, z2); load(e, at + 4 * W + 3 * W, z3);
  transpose(z0, z1, z2, z3);
  x1 = combine(x0, x1, k);
  z1 = combine(z0, z1, k);
  x2 = combine(x1, x2, k);
  z2 = combine(z1, z2, k);
  x3 = combine(x2, x3, k);
  z3 = combine(z2, z3, k);
  state carry = held;
  state xt = x3; scan_runs4(xt, k);
  const state xbefore = shuffle<7, 4, 5, 6, 0, 1, 2, 3>(xt, xt);
  state zt = z3; scan_runs4(zt, k);
  const state zbefore = shuffle<7, 4, 5, 6, 0, 1, 2, 3>(zt, zt);
  const state xy = combine(carry, xbefore, k);
  const state xseed = shuffle<0, 9, 10, 11, 12, 13, 14, 15>(carry, xy);
  carry = shuffle<0, 0, 0, 0, 0, 0, 0, 0>(xy, xy);
  const state between = carry;
  const state zy = combine(carry, zbefore, k);
  const state zseed = shuffle<0, 9, 10, 11, 12, 13, 14, 15>(carry, zy);
  carry = shuffle<0, 0, 0, 0, 0, 0, 0, 0>(zy, zy);
  x0 = combine(xseed, x0, k);
  x1 = combine(xseed, x1, k);
  x2 = combine(xseed, x2, k);
  x3 = combine(xseed, x3, k);
  transpose(x0, x1, x2, x3);
  if (__builtin_expect(sum_not_finite<f32x8>(multiply_add(between.s0, between.s1, multiply_add(x3.s2, x3.s3, multiply_add(x3.s0, x3.s1, multiply_add(x2.s2, x2.s3, multiply_add(x2.s0, x2.s1, multiply_add(x1.s2, x1.s3, multiply_add(x1.s0, x1.s1, multiply_add(x0.s2, x0.s3, multiply_add(x0.s0, x0.s1, between.s2 * between.s3)))))))))), 0)) return 0;
  if (past) { stream(r, at + 0 * W, x0, x1); stream(r, at + 2 * W, x2, x3); } else { store(r, at + 0 * W, x0); store(r, at + 1 * W, x1); store(r, at + 2 * W, x2); store(r, at + 3 * W, x3); }
  z0 = combine(zseed, z0, k);
  z1 = combine(zseed, z1, k);
  z2 = combine(zseed, z2, k);
  z3 = combine(zseed, z3, k);
  transpose(z0, z1, z2, z3);
  if (__builtin_expect(sum_not_finite<f32x8>(multiply_add(carry.s0, carry.s1, multiply_add(z3.s2, z3.s3, multiply_add(z3.s0, z3.s1, multiply_add(z2.s2, z2.s3, multiply_add(z2.s0, z2.s1, multiply_add(z1.s2, z1.s3, multiply_add(z1.s0, z1.s1, multiply_add(z0.s2, z0.s3, multiply_add(z0.s0, z0.s1, carry.s2 * carry.s3)))))))))), 0)) { held = between; return 1; }
  if (past) { stream(r, at + 4 * W + 0 * W, z0, z1); stream(r, at + 4 * W + 2 * W, z2, z3); } else { store(r, at + 4 * W + 0 * W, z0); store(r, at + 4 * W + 1 * W, z1); store(r, at + 4 * W + 2 * W, z2); store(r, at + 4 * W + 3 * W, z3); }
  held = carry;
  return 2;
}
INLINE void fold_block(const elements& e, ms_int at, bool seeded, state& carry, const captures& k) {
  state x0, x1, x2, x3;
  load(e, at + 0 * W, x0); load(e, at + 1 * W, x1); load(e, at + 2 * W, x2); load(e, at + 3 * W, x3);
  transpose(x0, x1, x2, x3);
  x1 = combine(x0, x1, k);
  x2 = combine(x1, x2, k);
  x3 = combine(x2, x3, k);
  state t = x3; scan_runs4(t, k);
  carry = seeded ? combine(carry, shuffle<7, 7, 7, 7, 7, 7, 7, 7>(t, t), k) : shuffle<7, 7, 7, 7, 7, 7, 7, 7>(t, t);
}
// Up to W elements.
INLINE void step(const elements& e, const results& r, ms_int at, int m, bool seeded, state& carry, const captures& k,
                 bool scan) {
  state x;
  m == W ? load(e, at, x) : load_part(e, at, m, x);
  const state given = x;
  scan_lanes(x, k);
  const state y = seeded ? combine(carry, x, k) : x;
  state out = y;
  const state before = carry;
  carry = spread(y, m - 1);
  if (__builtin_expect(sum_not_finite<f32x8>(multiply_add(carry.s0, carry.s1, multiply_add(out.s2, out.s3, multiply_add(out.s0, out.s1, carry.s2 * carry.s3)))), 0)) {
    const state b = before, own = given;
    state n = carry, c = b, o = out;
    bool found = false;
    again(own, m, seeded, b, c, &o, k, found);
    carry = any(spoilt(b, n)) ? c : n, out = o;
  }
  if (scan) m == W ? store(r, at, out) : store_part(r, at, m, out);
}
// What is left of a line.
NOINLINE void rest(const elements& e, const results& r, ms_int i, ms_int length, bool seeded, state& last,
                   const captures& k, bool scan) {
  for (ms_int m; i < length; i += m, seeded = true) {
    m = least(W, length - i);
    step(e, r, i, (int)m, seeded, last, k, scan);
  }
}

NOINLINE void fold_blocks(const elements& given, ms_int i, ms_int end, ms_int length, bool seeded, state& last,
                          const captures& k) {
  const elements e = given;
  const ms_int size = 4 * W;
  state carry = last;
  for (; i < end; i += size, seeded = true) fold_block(e, i, seeded, carry, k);
  last = carry;
}
// What is bad stays bad or has no say, so that a look once in a while is enough.
NOINLINE void fold_line(const elements& e, ms_int length, bool seeded, state& last, const captures& k) {
  const ms_int size = 4 * W, whole = length / size * size;
  ms_int i = 0;
  for (ms_int end; i < whole; i = end, seeded = true) {
    end = least(whole, i + 16 * size);
    const state before = last;
    fold_blocks(e, i, end, length, seeded, last, k);
    if (__builtin_expect(sum_not_finite<f32x8>(multiply_add(last.s0, last.s1, last.s2 * last.s3)), 0)) mend(e, i, (int)((end - i) / W), seeded, before, last, nullptr, k);
  }
  rest(e, {}, i, length, seeded, last, k, false);
}
// Pairs of blocks from `i` on; up to where all came out well.
NOINLINE ms_int pairs(const elements& given, const results& wanted, ms_int i, ms_int length, state& last,
                      const captures& k, bool past) {
  const elements e = given;
  const results r = wanted;
  const ms_int size = 4 * W;
  state c = last;
  for (int done = 2; done == 2 && i + 2 * size <= length; i += done * size) done = pair(e, r, i, c, k, past);
  last.s0 = c.s0; last.s1 = c.s1; last.s2 = c.s2; last.s3 = c.s3;
  return i;
}
NOINLINE void scan_line(const elements& e, const results& r, ms_int length, bool seeded, state& last,
                        const captures& k, bool past) {
  const ms_int size = 4 * W;
  ms_int i = 0;
  if (!seeded && size <= length) block(e, r, i, false, last, k, past), i = size, seeded = true;
  for (; seeded; i += size) {
    i = pairs(e, r, i, length, last, k, past);
    if (i + size > length) break;
    block(e, r, i, true, last, k, past);
  }
  rest(e, r, i, length, seeded, last, k, true);
}

static const ms_int TILE = 512;
INLINE ms_int buffer_bytes(const ms_launch*) { return TILE * 32; }
INLINE bool direct(const ms_launch* g) { return g->inputs[0].axis == 4 && g->inputs[0].lane == 1 && g->outputs[0].axis == 4; }
NOINLINE void row_captures(const piece& p, captures& k) {
  (void)p, (void)k;
}
NOINLINE elements pack(const piece& p, ms_int at, ms_int count) {
  elements e = {};
  u8* b = p.buffer;
  e.x0 = (f32*)b;
  copy_strided((f32*)b + 0, 4, (const f32*)p.g->inputs[0].data + p.w->in[0] + at * p.g->inputs[0].axis + 0 * p.g->inputs[0].lane, p.g->inputs[0].axis, count);
  copy_strided((f32*)b + 1, 4, (const f32*)p.g->inputs[0].data + p.w->in[0] + at * p.g->inputs[0].axis + 1 * p.g->inputs[0].lane, p.g->inputs[0].axis, count);
  copy_strided((f32*)b + 2, 4, (const f32*)p.g->inputs[0].data + p.w->in[0] + at * p.g->inputs[0].axis + 2 * p.g->inputs[0].lane, p.g->inputs[0].axis, count);
  copy_strided((f32*)b + 3, 4, (const f32*)p.g->inputs[0].data + p.w->in[0] + at * p.g->inputs[0].axis + 3 * p.g->inputs[0].lane, p.g->inputs[0].axis, count);
  b += TILE * 16;
  return e;
}
NOINLINE void unpack(const piece& p, const results& r, ms_int at, ms_int count) {
  copy_strided((f32*)p.g->outputs[0].data + p.w->out[0] + at * p.g->outputs[0].axis + 0, p.g->outputs[0].axis, (const f32*)r.y0 + 0, 4, count);
  copy_strided((f32*)p.g->outputs[0].data + p.w->out[0] + at * p.g->outputs[0].axis + 1, p.g->outputs[0].axis, (const f32*)r.y0 + 1, 4, count);
  copy_strided((f32*)p.g->outputs[0].data + p.w->out[0] + at * p.g->outputs[0].axis + 2, p.g->outputs[0].axis, (const f32*)r.y0 + 2, 4, count);
  copy_strided((f32*)p.g->outputs[0].data + p.w->out[0] + at * p.g->outputs[0].axis + 3, p.g->outputs[0].axis, (const f32*)r.y0 + 3, 4, count);
}
// A carry is the same in every lane.
NOINLINE void span(const piece& p, bool scan) {
  captures k;
  row_captures(p, k);
  state carry = {};
  if (p.seeded) get_carry<true>(p.carry, p.pitch, 0, carry), carry = shuffle<0, 0, 0, 0, 0, 0, 0, 0>(carry, carry);
  const bool in_place = direct(p.g);
  const ms_int tile = in_place ? p.t1 - p.t0 : TILE;
  for (ms_int t = p.t0; t < p.t1; t += tile) {
    const ms_int count = least(tile, p.t1 - t), at = t;
    elements e = {};
    results r = {};
    if (in_place) {
      e.x0 = (const f32*)p.g->inputs[0].data + p.w->in[0] + at * 4;
      r.y0 = (f32*)p.g->outputs[0].data + p.w->out[0] + at * 4;
    } else {
      e = pack(p, at, count);
      r.y0 = (f32*)(p.buffer + TILE * 16);
    }
    const bool seeded = p.seeded || t > p.t0;
    if (scan) scan_line(e, r, count, seeded, carry, k, p.stream && in_place);
    else fold_line(e, count, seeded, carry, k);
    if (scan && !in_place) unpack(p, r, at, count);
  }
  put_carry<true>(p.carry, p.pitch, 0, carry);
  if (p.stream) stream_fence();
}

// The row of carries that follows from two, one after the other; whether any came out bad. Those
// are taken from a third row, if there is one.
NOINLINE bool combine_carries(const piece& p, const u8* left, const u8* right, const u8* instead) {
  captures k;
  elements e = {};
  bool wrong = false;
  row_captures(p, k); (void)e;
  for (ms_int j = 0; j < p.g->inner; j += W) {
    state l, r;
    get_carry<true>(left, p.pitch, j, l), get_carry<true>(right, p.pitch, j, r);
    
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
  const double work = 2.2 * (double)g->n * (double)g->inner * (double)g->outer_size;
  if (work > 60e3) {
    if (g->outer_size >= 4) c.tasks = least(least(g->outer_size, 8), (ms_int)(work / 30e3)) / 2 * 2;
    else if (g->inner >= 256) c.tasks = g->outer_size * 2, c.columns = 2;
    else if (true && g->outer_size != 2 && g->n >= 1024) c.tasks = g->outer_size * 2, c.parts = true;
    else c.tasks = g->outer_size;
  }
  c.carry = c.pitch * 16;
  c.buffer = (buffer_bytes(g) + 63) / 64 * 64;
  return c;
}
INLINE bool past_caches(const ms_launch* g) {
  return g->last_level_cache > 0 && 16 * g->n * g->inner * g->outer_size > g->last_level_cache;
}

MS_EXPORT void ms_schedule(const ms_launch* g, struct ms_schedule* s) {
  if (!(g->inner == 1)) return (void)(s->phases = 0);
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
  const ms_int n1 = (ms_int)((double)g->n * 0.21568627450980396) / 64 * 64;
  const ms_int n2 = (ms_int)((double)g->n * 0.3921568627450981) / 64 * 64;
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
