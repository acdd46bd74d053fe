// The operations of a combine besides + - * / of floats and & | ^: the same text for scalars and vectors.
#pragma once
#include "vector.h"

template <class T> constexpr bool is_scalar = sizeof(T) == sizeof(item_of<T>);

// ------------------------------------------------------------------ bools
INLINE bool mask_of(bool b) { return b; }
#if MS_NARROW
INLINE maskv mask_of(maskv m) { return m; }
#endif
INLINE maskv mask_of(i32v m) { return __builtin_convertvector(m, maskv); }
INLINE maskv mask_of(i64v m) { return __builtin_convertvector(m, maskv); }
INLINE bool flip(bool b) { return !b; }
INLINE maskv flip(maskv m) { return ~m; }
// 0 or 1.
INLINE i32 number(bool b) { return b; }
INLINE maskv number(maskv m) { return m & 1; }

template <class T> INLINE T select(bool m, T a, T b) { return m ? a : b; }
template <class V> INLINE V select(maskv m, V a, V b) {
  if constexpr (sizeof(V) == sizeof(maskv)) return m ? a : b;
  else return __builtin_convertvector(m, as_signed<V>) ? a : b;
}

// ------------------------------------------------------------------ conversions
template <class To, class From> INLINE To cast(From x) {
  if constexpr (is_scalar<To>) return (To)x;
  else if constexpr (sizeof(To) == sizeof(From) && !kin<To>::floating && !kin<From>::floating) return (To)x;
  else return __builtin_convertvector(x, To);
}
// Floats to integers: C++ leaves undefined what an integer does not hold, so that compilers drop casts. A float is
// cut towards zero; what the integer does not hold, and NaN, become its lowest value, as MLX's casts give on x86.
template <class I> constexpr item_of<I> lowest = (item_of<I>)(sizeof(item_of<I>) == 4 ? 1ull << 31 : 1ull << 63);
template <class I, class F> INLINE I truncated_signed(F x) {
  constexpr item_of<F> edge = sizeof(item_of<I>) == 4 ? 0x1p31f : 0x1p63f;
  if constexpr (is_scalar<F>) {
    return x >= -edge && x < edge ? (I)x : lowest<I>;
  } else {
    const auto inside = (x >= -edge) & (x < edge);
    const I y = __builtin_convertvector(inside ? x : F{}, I);
    return __builtin_convertvector(inside, I) ? y : splat<I>(lowest<I>);
  }
}
template <class I, class F> INLINE I truncated(F x) {
  if constexpr (item_of<I>(-1) < item_of<I>(0)) return truncated_signed<I>(x);
  else {  // 64 bits
    constexpr item_of<F> edge = 0x1p63f;
    const I low = (I)truncated_signed<as_signed<I>>(x >= edge ? x - edge : x);
    if constexpr (is_scalar<F>) return x >= edge ? low ^ lowest<I> : low;
    else return low ^ ((I) __builtin_convertvector(x >= edge, as_signed<I>) & lowest<I>);
  }
}
// Integers of 8 and 16 bits, brought back into their width, which narrow lanes never leave.
template <class I> constexpr bool is_narrow = sizeof(item_of<I>) < 4;
template <class I> INLINE I as_i8(I x) {
  if constexpr (is_narrow<I>) return x;
  else if constexpr (is_scalar<I>) return (i8)x;
  else return (x << 24) >> 24;
}
template <class I> INLINE I as_i16(I x) {
  if constexpr (is_narrow<I>) return x;
  else if constexpr (is_scalar<I>) return (i16)x;
  else return (x << 16) >> 16;
}
template <class I> INLINE I as_u8(I x) {
  if constexpr (is_narrow<I>) return x;
  else return x & 255;
}
template <class I> INLINE I as_u16(I x) {
  if constexpr (is_narrow<I>) return x;
  else return x & 65535;
}

// ------------------------------------------------------------------ integers, which wrap
template <class I> INLINE I add(I a, I b) { return (I)((as_unsigned<I>)a + (as_unsigned<I>)b); }
template <class I> INLINE I subtract(I a, I b) { return (I)((as_unsigned<I>)a - (as_unsigned<I>)b); }
template <class I> INLINE I multiply(I a, I b) { return (I)((as_unsigned<I>)a * (as_unsigned<I>)b); }
template <class I> INLINE I negate(I a) { return (I)(0 - (as_unsigned<I>)a); }
// Counts are taken modulo the width, as the machine does.
template <class I> constexpr item_of<I> last_bit = 8 * sizeof(item_of<I>) - 1;
template <class I> INLINE I shift_left(I a, I b) { return (I)((as_unsigned<I>)a << (as_unsigned<I>)(b & last_bit<I>)); }
template <class I> INLINE I shift_right(I a, I b) { return a >> (b & last_bit<I>); }
template <class I> INLINE I lesser(I a, I b) { return a < b ? a : b; }
template <class I> INLINE I greater(I a, I b) { return a > b ? a : b; }

INLINE u64 power_of(u64 base, u64 exponent) {
  u64 result = 1;
  for (; exponent; exponent >>= 1, base *= base)
    if (exponent & 1) result *= base;
  return result;
}
// Division rounds down, as in Python; by zero the quotient is 0 and the rest the dividend.
#define MS_SIGNED(I)                                             \
  INLINE I floor_divide(I a, I b) {                              \
    if (b == 0) return 0;                                        \
    if (b == -1) return negate(a);                               \
    return a % b != 0 && (a < 0) != (b < 0) ? a / b - 1 : a / b; \
  }                                                              \
  INLINE I remainder(I a, I b) {                                 \
    if (b == 0) return a;                                        \
    if (b == -1) return 0;                                       \
    const I r = a % b;                                           \
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;             \
  }                                                              \
  INLINE I power(I a, I b) { return b < 0 ? 0 : (I)power_of((u64)a, (u64)b); }
#define MS_UNSIGNED(I)                                           \
  INLINE I floor_divide(I a, I b) { return b == 0 ? 0 : a / b; } \
  INLINE I remainder(I a, I b) { return b == 0 ? a : a % b; }    \
  INLINE I power(I a, I b) { return (I)power_of(a, b); }
MS_SIGNED(i32)
MS_SIGNED(i64)
MS_UNSIGNED(u32)
MS_UNSIGNED(u64)

// ------------------------------------------------------------------ numbers
template <class T> INLINE T sign(T x) { return x > 0 ? T{} + 1 : x < 0 ? T{} - 1 : T{}; }
template <class T> INLINE T absolute(T x) {
  typedef as_unsigned<T> U;
  if constexpr (kin<T>::floating) return bit_cast<T>(bit_cast<U>(x) & ((item_of<U>)-1 >> 1));
  else return x < 0 ? negate(x) : x;
}
// An instruction on x86: the first where it is less or greater, else the second, which may be NaN.
#if !defined(__clang__)
#if defined(__SSE2__)
// Of numbers too: GCC makes jumps of them, which random values mispredict (a step takes 7 ns in place of 2).
INLINE f32 lesser(f32 a, f32 b) {
  typedef f32 four __attribute__((vector_size(16)));
  return __builtin_ia32_minss((four){a}, (four){b})[0];
}
INLINE f32 greater(f32 a, f32 b) {
  typedef f32 four __attribute__((vector_size(16)));
  return __builtin_ia32_maxss((four){a}, (four){b})[0];
}
INLINE f64 lesser(f64 a, f64 b) {
  typedef f64 two __attribute__((vector_size(16)));
  return __builtin_ia32_minsd((two){a}, (two){b})[0];
}
INLINE f64 greater(f64 a, f64 b) {
  typedef f64 two __attribute__((vector_size(16)));
  return __builtin_ia32_maxsd((two){a}, (two){b})[0];
}
#endif
#if defined(__AVX512F__) && MS_WIDTH == 16
INLINE f32v lesser(f32v a, f32v b) { return __builtin_ia32_minps512_mask(a, b, a, (unsigned short)-1, 4); }
INLINE f32v greater(f32v a, f32v b) { return __builtin_ia32_maxps512_mask(a, b, a, (unsigned short)-1, 4); }
#elif defined(__AVX__) && MS_WIDTH == 8
INLINE f32v lesser(f32v a, f32v b) { return __builtin_ia32_minps256(a, b); }
INLINE f32v greater(f32v a, f32v b) { return __builtin_ia32_maxps256(a, b); }
#elif defined(__SSE__) && MS_WIDTH == 4
INLINE f32v lesser(f32v a, f32v b) { return __builtin_ia32_minps(a, b); }
INLINE f32v greater(f32v a, f32v b) { return __builtin_ia32_maxps(a, b); }
#endif
#endif
// NaN if either is.
template <class F> INLINE F minimum(F a, F b) { return a != a ? a : lesser(a, b); }
template <class F> INLINE F maximum(F a, F b) { return a != a ? a : greater(a, b); }

// ------------------------------------------------------------------ lane by lane
#define MS_EACH_LANE(V, name, arguments, ...)             \
  NOINLINE V name arguments {                             \
    V y = x;                                              \
    for (int i = 0; i < W; ++i) y[i] = name(__VA_ARGS__); \
    return y;                                             \
  }
#define MS_OF_ONE(V, name) MS_EACH_LANE(V, name, (V x), x[i])
#define MS_OF_TWO(V, name) MS_EACH_LANE(V, name, (V x, V z), x[i], z[i])
#define MS_OF_INTEGERS(V)    \
  MS_OF_TWO(V, floor_divide) \
  MS_OF_TWO(V, remainder)    \
  MS_OF_TWO(V, power)
MS_OF_INTEGERS(i32v)
MS_OF_INTEGERS(u32v)
MS_OF_INTEGERS(i64v)
MS_OF_INTEGERS(u64v)

// Square roots and rounding have instructions, which loops over lanes do not become.
#define MS_ROOT(name, builtin)                                 \
  INLINE f32 name(f32 x) { return __builtin_##builtin##f(x); } \
  INLINE f64 name(f64 x) { return __builtin_##builtin(x); }
MS_ROOT(square_root, sqrt)
MS_ROOT(floor, floor)
MS_ROOT(ceil, ceil)
MS_ROOT(round, rint)
#define MS_INSTRUCTIONS(V, root, rounding)       \
  INLINE V square_root(V x) { return root(x); }  \
  INLINE V floor(V x) { return rounding(x, 9); } \
  INLINE V ceil(V x) { return rounding(x, 10); } \
  INLINE V round(V x) { return rounding(x, 8); }
// Compilers have no common names for those on 512 bits, which take as long as two on 256.
#define MS_OF_HALVES(V, H, name)                                 \
  INLINE V name(V x) {                                           \
    const halves_of<H> h = bit_cast<halves_of<H>>(x);            \
    return bit_cast<V>(halves_of<H>{name(h.low), name(h.high)}); \
  }
#define MS_HALVES(V, T, root, rounding)                \
  typedef T V##_half __attribute__((vector_size(32))); \
  MS_INSTRUCTIONS(V##_half, root, rounding)            \
  MS_OF_HALVES(V, V##_half, square_root)               \
  MS_OF_HALVES(V, V##_half, floor)                     \
  MS_OF_HALVES(V, V##_half, ceil)                      \
  MS_OF_HALVES(V, V##_half, round)
#define MS_NO_INSTRUCTIONS(V) MS_OF_ONE(V, square_root) MS_OF_ONE(V, floor) MS_OF_ONE(V, ceil) MS_OF_ONE(V, round)
#if defined(__AVX__) && MS_WIDTH == 8
MS_INSTRUCTIONS(f32v, __builtin_ia32_sqrtps256, __builtin_ia32_roundps256)
#elif defined(__SSE4_1__) && MS_WIDTH == 4
MS_INSTRUCTIONS(f32v, __builtin_ia32_sqrtps, __builtin_ia32_roundps)
#elif defined(__AVX512F__) && MS_WIDTH == 16
MS_HALVES(f32v, f32, __builtin_ia32_sqrtps256, __builtin_ia32_roundps256)
#else
MS_NO_INSTRUCTIONS(f32v)
#endif
#if defined(__AVX__) && MS_WIDTH == 4
MS_INSTRUCTIONS(f64v, __builtin_ia32_sqrtpd256, __builtin_ia32_roundpd256)
#elif defined(__AVX512F__) && MS_WIDTH == 8
MS_HALVES(f64v, f64, __builtin_ia32_sqrtpd256, __builtin_ia32_roundpd256)
#else
MS_NO_INSTRUCTIONS(f64v)
#endif

// ------------------------------------------------------------------ tables
// The entry at an index; outside of the table, the first.
template <class T, int n> struct table { T at[n]; };
template <class T, class... R> INLINE table<T, 1 + sizeof...(R)> table_of(T first, R... rest) {
  return {{first, rest...}};
}
template <class I, class T, int n, int... k> INLINE T choose_entry(const table<T, n>& t, I i, seq<k...>) {
  T y = t.at[0];  // selects, since registers have no address
  ((y = select(mask_of(i == k + 1), t.at[k + 1], y)), ...);
  return y;
}
template <class I, class T, int n> INLINE T lookup(const table<T, n>& t, I i) {
  if constexpr (is_scalar<I>) return t.at[(u64)i < n ? i : 0];
  else return choose_entry(t, i, upto<n - 1>{});
}
