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
template <class F> struct as_bits;
template <> struct as_bits<f32> { typedef i32 type; };
INLINE f32 fused(f32 a, f32 b, f32 c) {
#if defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
INLINE i32 truncated(f32 x) { return (i32)x; }
INLINE f32 converted(i32 x) { return (f32)x; }
template <> struct as_bits<f32v> { typedef i32v type; };
INLINE f32v fused(f32v a, f32v b, f32v c) {
#if __has_builtin(__builtin_elementwise_fma)
  return __builtin_elementwise_fma(a, b, c);
#elif defined(__FMA__) && (8 != 16 || defined(__AVX512F__))
  return __builtin_ia32_vfmaddps256(a, b, c);
#elif defined(__FP_FAST_FMAF)
  for (int i = 0; i < W; ++i) a[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return a;
#else
  return a * b + c;
#endif
}
INLINE i32v truncated(f32v x) { return __builtin_convertvector(x, i32v); }
INLINE f32v converted(i32v x) { return __builtin_convertvector(x, f32v); }
template <class F, class B> INLINE F of_bits(B x) { return bit_cast<F>(x); }
template <class F> INLINE typename as_bits<F>::type to_bits(F x) { return bit_cast<typename as_bits<F>::type>(x); }
template <class F> INLINE F magnitude(F x) { return of_bits<F>(to_bits(x) & 0x7fffffff); }

// x = n log 2 + r with r in half a log 2 either way; log 2 in two parts, so that n times the first is exact.
template <class F> INLINE typename as_bits<F>::type reduce(F x, F& r) {
  const F zero = F{}, shift = zero + 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const F n = fused(x, zero + 1.44269502f, shift) - shift;
  r = fused(n, zero - 0.693359375f, x);
  r = fused(n, zero + 2.12194440e-4f, r);
  return truncated(n);
}
// Times 2^n in two steps: neither factor overflows, and a subnormal result is rounded once.
template <class F, class B> INLINE F scale(F x, B n) {
  const B half = n >> 1;
  return x * of_bits<F>((half + 127) << 23) * of_bits<F>((n - half + 127) << 23);
}
template <class F> INLINE F exp_clamped(F x) {
  F r;
  const auto n = reduce(x, r);
  F p = F{} + 0.0013813144760206342f;
  p = fused(p, r, F{} + 0.008369418792426586f);
  p = fused(p, r, F{} + 0.04166845604777336f);
  p = fused(p, r, F{} + 0.16666515171527863f);
  p = fused(p, r, F{} + 0.4999999403953552f);
  p = fused(p, r * r, r) + 1.0f;
  return scale(p, n);
}
template <class F> INLINE F exp(F x) {
  const F zero = F{};
  F y = x < -104.0f ? zero - 104.0f : x;
  y = y > 89.0f ? zero + 89.0f : y;
  y = x != x ? zero : y;
  const F e = exp_clamped(y);
  return x != x ? x : e;
}
template <class F> INLINE F expm1(F x) {
  const F zero = F{};
  F y = x < -20.0f ? zero - 20.0f : x;
  y = y > 89.0f ? zero + 89.0f : y;
  y = x != x ? zero : y;
  F r;
  const auto n = reduce(y, r);
  F p = zero + 0.0013882395578548312f;
  p = fused(p, r, zero + 0.008367180824279785f);
  p = fused(p, r, zero + 0.04166722297668457f);
  p = fused(p, r, zero + 0.16666539013385773f);
  p = fused(p, r, zero + 0.4999999701976776f);
  p = fused(p, r * r, r);
  const F back = of_bits<F>((127 - (n < 100 ? n : n - n + 100)) << 23);  // 2^-n; beyond 2^-100 it is lost anyway
  const F e = scale(p + (1.0f - back), n);
  return x != x || x == 0.0f ? x : e;
}
// log(2^k (1 + f)), 1 + f between the square roots of 1/2 and 2.
template <class F> INLINE F log_of(F f, F k) {
  const F zero = F{};
  F p = zero - 0.0764610543847084f;
  p = fused(p, f, zero + 0.12779121100902557f);
  p = fused(p, f, zero - 0.13164187967777252f);
  p = fused(p, f, zero + 0.14199694991111755f);
  p = fused(p, f, zero - 0.16622765362262726f);
  p = fused(p, f, zero + 0.2000129222869873f);
  p = fused(p, f, zero - 0.25000837445259094f);
  p = fused(p, f, zero + 0.3333333134651184f);
  const F square = f * f;
  p = p * f * square;
  p = fused(k, zero - 2.12194440e-4f, p);
  p = fused(square, zero - 0.5f, p);
  return fused(k, zero + 0.693359375f, f + p);
}
// The exponent k of x = 2^k m with m between the square roots of 1/2 and 2.
template <class F> INLINE typename as_bits<F>::type exponent(F x) {
  return (to_bits(x) - 0x3f3504f3) >> 23;
}
template <class F> INLINE F log(F x) {
  const F zero = F{};
  const F y = x < 1.17549435e-38f ? x * 8388608.0f : x;
  const auto k = exponent(y);
  const F m = of_bits<F>(to_bits(y) - (k << 23));
  F r = log_of(m - 1.0f, converted(k) - (x < 1.17549435e-38f ? zero + 23.0f : zero));
  r = x == 0.0f ? zero - __builtin_inff() : r;
  r = x < 0.0f ? zero + __builtin_nanf("") : r;
  return x < __builtin_inff() ? r : x;  // also NaN
}
template <class F> INLINE F log1p(F x) {
  const F zero = F{};
  const F u = 1.0f + x;
  const auto k = exponent(u);
  const F m = of_bits<F>(to_bits(u) - (k << 23));
  const F lost = x < 1.0f ? x - (u - 1.0f) : 1.0f - (u - x);  // what rounding 1 + x dropped
  const auto most = k < 126 ? k : k - k + 126;
  F r = log_of((m - 1.0f) + lost * of_bits<F>((127 - most) << 23), converted(k));
  r = magnitude(x) < 1e-10f ? x : r;
  r = x == -1.0f ? zero - __builtin_inff() : r;
  r = x < -1.0f ? zero + __builtin_nanf("") : r;
  return x < __builtin_inff() ? r : x;
}
template <class F> INLINE F sigmoid(F x) {
  const F e = exp(-magnitude(x));
  return (x < 0.0f ? e : F{} + 1.0f) / (1.0f + e);
}
template <class F> INLINE F tanh(F x) {
  const F a = magnitude(x), e = expm1(2.0f * (a > 10.0f ? F{} + 10.0f : a));
  const F t = e / (e + 2.0f);
  return of_bits<F>(to_bits(t) | (to_bits(x) & (to_bits(x) ^ to_bits(a))));
}
template <class F> INLINE F logaddexp(F a, F b) {
  const F high = maximum(a, b), low = minimum(a, b);
  const F r = high + log1p(exp(low - high));
  return low == -__builtin_inff() ? high : high == __builtin_inff() ? high : r;
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
  const f32v v4 = splat((f32)0.0f);
  const f32v v5 = maximum(l.s0, r.s0);
  const mask v6 = (l.s0 >= r.s0);
  const mask v7 = (l.s0 == r.s0);
  const f32v v8 = minimum(l.s0, r.s0);
  const f32v v9 = v7 ? v4 : v8;
  const f32v v10 = v7 ? v4 : v5;
  const f32v v11 = v9 - v10;
  const f32v v12 = exp(v11);
  const f32v v13 = r.s1 * v12;
  const f32v v14 = l.s1 + v13;
  const f32v v15 = l.s1 * v12;
  const f32v v16 = v15 + r.s1;
  const f32v v17 = v6 ? v14 : v16;
  return {v5, v17};
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
INLINE i32v bad(const state& s) { return not_finite(s.s1); }
INLINE i32v spoilt(const state& before, const state& s) { return (not_finite(s.s1) & ~not_finite(before.s1)); }
INLINE i32v spoilt_results(const state& before, const state& s) { return (not_finite(s.s1) & ~not_finite(before.s1)); }

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

NOINLINE void combine_into(state& y, const state& l, const state& r, const captures& k) { y = combine(l, r, k); }
INLINE state combine_called(const state& l, const state& r, const captures& k) {
  state y;  // not a value returned: that is copied in pieces, for which the next load would wait
  combine_into(y, l, r, k);
  return y;
}

// One register again, element by element from a carry: the results from the first bad one on.
NOINLINE void again(const state& x, int m, bool seeded, const state& before, state& carry, state* y, const captures& k,
                    bool& found) {
  for (int i = 0; i < m; ++i, seeded = true) {
    const int lane = i;
    const state own = spread(x, lane), next = seeded ? combine_called(carry, own, k) : own;
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
  mend(e, at, 8, seeded, carry, kept[8], kept, k);
  for (int i = 0; i < 8; ++i) store(r, at + i * W, kept[i]);
  carry = kept[8];
}

// Inclusive scan over the lanes of a register (Kogge-Stone).
NOINLINE void scan_lanes(state& t, const captures& k) {
  t = shuffle<0, 9, 10, 11, 12, 13, 14, 15>(t, combine_called(shuffle<7, 0, 1, 2, 3, 4, 5, 6>(t, t), t, k));
  t = shuffle<0, 1, 10, 11, 12, 13, 14, 15>(t, combine_called(shuffle<6, 7, 0, 1, 2, 3, 4, 5>(t, t), t, k));
  t = shuffle<0, 1, 2, 3, 12, 13, 14, 15>(t, combine_called(shuffle<4, 5, 6, 7, 0, 1, 2, 3>(t, t), t, k));
}

// Inclusive scan over the runs4 of a register (Kogge-Stone).
INLINE void scan_runs4(state& t, const captures& k) {
  t = shuffle<0, 9, 10, 11, 12, 13, 14, 15>(t, combine(shuffle<7, 4, 5, 6, 0, 1, 2, 3>(t, t), t, k));
  t = shuffle<0, 9, 10, 11, 4, 13, 14, 15>(t, combine(shuffle<3, 0, 1, 2, 7, 4, 5, 6>(t, t), t, k));
  t = shuffle<0, 1, 10, 11, 4, 5, 14, 15>(t, combine(shuffle<2, 3, 0, 1, 6, 7, 4, 5>(t, t), t, k));
}

// Inclusive scan over the runs8 of a register (Kogge-Stone).
INLINE void scan_runs8(state& t, const captures& k) {
  t = shuffle<0, 9, 10, 11, 12, 13, 14, 15>(t, combine(shuffle<7, 0, 1, 2, 3, 4, 5, 6>(t, t), t, k));
  t = shuffle<0, 1, 10, 11, 12, 13, 14, 15>(t, combine(shuffle<6, 7, 0, 1, 2, 3, 4, 5>(t, t), t, k));
  t = shuffle<0, 1, 2, 3, 12, 13, 14, 15>(t, combine(shuffle<4, 5, 6, 7, 0, 1, 2, 3>(t, t), t, k));
}

INLINE bool block(const elements& e, const results& r, ms_int at, bool seeded, state& held, const captures& k, bool past, state* kept) {
  state x0, x1, x2, x3, x4, x5, x6, x7;
  load(e, at + 0 * W, x0); load(e, at + 1 * W, x1); load(e, at + 2 * W, x2); load(e, at + 3 * W, x3); load(e, at + 4 * W, x4); load(e, at + 5 * W, x5); load(e, at + 6 * W, x6); load(e, at + 7 * W, x7);
  state own0;
  if (!seeded) {
    own0 = x0; scan_lanes(own0, k);
  }
  transpose(x0, x1, x2, x3);
  transpose(x4, x5, x6, x7);
  { const state p = x0, q = x4; x0 = shuffle<0, 1, 2, 3, 8, 9, 10, 11>(p, q), x4 = shuffle<4, 5, 6, 7, 12, 13, 14, 15>(p, q); }
  { const state p = x1, q = x5; x1 = shuffle<0, 1, 2, 3, 8, 9, 10, 11>(p, q), x5 = shuffle<4, 5, 6, 7, 12, 13, 14, 15>(p, q); }
  { const state p = x2, q = x6; x2 = shuffle<0, 1, 2, 3, 8, 9, 10, 11>(p, q), x6 = shuffle<4, 5, 6, 7, 12, 13, 14, 15>(p, q); }
  { const state p = x3, q = x7; x3 = shuffle<0, 1, 2, 3, 8, 9, 10, 11>(p, q), x7 = shuffle<4, 5, 6, 7, 12, 13, 14, 15>(p, q); }
  x1 = combine(x0, x1, k);
  x2 = combine(x1, x2, k);
  x3 = combine(x2, x3, k);
  x4 = combine(x3, x4, k);
  x5 = combine(x4, x5, k);
  x6 = combine(x5, x6, k);
  x7 = combine(x6, x7, k);
  state carry = held;
  state t = x7; scan_runs8(t, k);
  const state before = shuffle<7, 0, 1, 2, 3, 4, 5, 6>(t, t);
  const state y = seeded ? combine(carry, before, k) : before;
  const state seed = shuffle<0, 9, 10, 11, 12, 13, 14, 15>(carry, y);
  carry = shuffle<0, 0, 0, 0, 0, 0, 0, 0>(y, y);
  x0 = combine(seed, x0, k);
  x1 = combine(seed, x1, k);
  x2 = combine(seed, x2, k);
  x3 = combine(seed, x3, k);
  x4 = combine(seed, x4, k);
  x5 = combine(seed, x5, k);
  x6 = combine(seed, x6, k);
  x7 = combine(seed, x7, k);
  { const state p = x0, q = x4; x0 = shuffle<0, 1, 2, 3, 8, 9, 10, 11>(p, q), x4 = shuffle<4, 5, 6, 7, 12, 13, 14, 15>(p, q); }
  { const state p = x1, q = x5; x1 = shuffle<0, 1, 2, 3, 8, 9, 10, 11>(p, q), x5 = shuffle<4, 5, 6, 7, 12, 13, 14, 15>(p, q); }
  { const state p = x2, q = x6; x2 = shuffle<0, 1, 2, 3, 8, 9, 10, 11>(p, q), x6 = shuffle<4, 5, 6, 7, 12, 13, 14, 15>(p, q); }
  { const state p = x3, q = x7; x3 = shuffle<0, 1, 2, 3, 8, 9, 10, 11>(p, q), x7 = shuffle<4, 5, 6, 7, 12, 13, 14, 15>(p, q); }
  transpose(x0, x1, x2, x3);
  transpose(x4, x5, x6, x7);
  if (!seeded) { x0 = shuffle<8, 9, 10, 11, 12, 13, 14, 15>(x0, own0); }
  if (__builtin_expect(sum_not_finite<f32x8>(multiply_add(x6.s1, x7.s1, multiply_add(x4.s1, x5.s1, multiply_add(x2.s1, x3.s1, multiply_add(x0.s1, x1.s1, carry.s1))))), 0)) { kept[0] = x0; kept[1] = x1; kept[2] = x2; kept[3] = x3; kept[4] = x4; kept[5] = x5; kept[6] = x6; kept[7] = x7; kept[8] = carry; return false; }
  if (past) { stream(r, at + 0 * W, x0, x1); stream(r, at + 2 * W, x2, x3); stream(r, at + 4 * W, x4, x5); stream(r, at + 6 * W, x6, x7); } else { store(r, at + 0 * W, x0); store(r, at + 1 * W, x1); store(r, at + 2 * W, x2); store(r, at + 3 * W, x3); store(r, at + 4 * W, x4); store(r, at + 5 * W, x5); store(r, at + 6 * W, x6); store(r, at + 7 * W, x7); }
  held = carry;
  return true;
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
  const state y = seeded ? combine_called(carry, x, k) : x;
  state out = y;
  const state before = carry;
  carry = spread(y, m - 1);
  if (__builtin_expect(sum_not_finite<f32x8>(out.s1 * carry.s1), 0)) {
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
    if (__builtin_expect(sum_not_finite<f32x8>(last.s1), 0)) mend(e, i, (int)((end - i) / W), seeded, before, last, nullptr, k);
  }
  rest(e, {}, i, length, seeded, last, k, false);
}
// Blocks from `i` on; up to where.
NOINLINE ms_int blocks(const elements& given, const results& wanted, ms_int i, ms_int length, bool seeded, state& last,
                       const captures& k, bool past, state* kept) {
  const elements e = given;
  const results r = wanted;
  const ms_int size = 8 * W;
  state carry = last;
  for (; i + size <= length; i += size, seeded = true)
    if (!block(e, r, i, seeded, carry, k, past, kept)) break;
  last.s0 = carry.s0; last.s1 = carry.s1;
  return i;
}
NOINLINE void scan_line(const elements& e, const results& r, ms_int length, bool seeded, state& last,
                        const captures& k, bool past) {
  const ms_int size = 8 * W;
  state kept[8 + 1];
  ms_int i = 0;
  for (;; i += size) {
    i = blocks(e, r, i, length, seeded, last, k, past, kept), seeded = seeded || i > 0;
    if (i + size > length) break;
    mend_block(e, r, i, seeded, last, kept, k), seeded = true;
  }
  rest(e, r, i, length, seeded, last, k, true);
}

static const ms_int TILE = 512;
INLINE ms_int buffer_bytes(const ms_launch*) { return TILE * 16; }
INLINE bool direct(const ms_launch* g) { return g->inputs[0].axis == 1 && g->inputs[1].axis == 1 && g->outputs[0].axis == 1 && g->outputs[1].axis == 1; }
NOINLINE void row_captures(const piece& p, captures& k) {
  (void)p, (void)k;
}
NOINLINE elements pack(const piece& p, ms_int at, ms_int count) {
  elements e = {};
  u8* b = p.buffer;
  e.x0 = (f32*)b;
  copy_strided((f32*)b + 0, 1, (const f32*)p.g->inputs[0].data + p.w->in[0] + at * p.g->inputs[0].axis + 0 * p.g->inputs[0].lane, p.g->inputs[0].axis, count);
  b += TILE * 4;
  e.x1 = (f32*)b;
  copy_strided((f32*)b + 0, 1, (const f32*)p.g->inputs[1].data + p.w->in[1] + at * p.g->inputs[1].axis + 0 * p.g->inputs[1].lane, p.g->inputs[1].axis, count);
  b += TILE * 4;
  return e;
}
NOINLINE void unpack(const piece& p, const results& r, ms_int at, ms_int count) {
  copy_strided((f32*)p.g->outputs[0].data + p.w->out[0] + at * p.g->outputs[0].axis + 0, p.g->outputs[0].axis, (const f32*)r.y0 + 0, 1, count);
  copy_strided((f32*)p.g->outputs[1].data + p.w->out[1] + at * p.g->outputs[1].axis + 0, p.g->outputs[1].axis, (const f32*)r.y1 + 0, 1, count);
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
      e.x0 = (const f32*)p.g->inputs[0].data + p.w->in[0] + at * 1;
      e.x1 = (const f32*)p.g->inputs[1].data + p.w->in[1] + at * 1;
      r.y0 = (f32*)p.g->outputs[0].data + p.w->out[0] + at * 1;
      r.y1 = (f32*)p.g->outputs[1].data + p.w->out[1] + at * 1;
    } else {
      e = pack(p, at, count);
      r.y0 = (f32*)(p.buffer + TILE * 8);
      r.y1 = (f32*)(p.buffer + TILE * 12);
    }
    const bool seeded = p.seeded || t > p.t0;
    if (scan) scan_line(e, r, count, seeded, carry, k, p.stream && in_place && (u64)(r.y0) % 64 == 0 && (u64)(r.y1) % 64 == 0);
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
  const double work = 3.3 * (double)g->n * (double)g->inner * (double)g->outer_size;
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
