// Vectors of W lanes, by the extensions that GCC and Clang share, and what moves them.
//
// The generated text defines MS_WIDTH, and MS_MASK: the integer of a mask's lanes, 0 or -1, as wide as the
// narrowest value of the program, so that most selects need no conversion. Where it says MS_NARROW, integers of so many
// bytes are held as they are stored, in lanes of 1 or 2 bytes: arithmetic wraps there by itself.
#pragma once
#include "past_caches.h"

static constexpr int W = MS_WIDTH;

#define MS_VECTOR(T) typedef T T##v __attribute__((vector_size(sizeof(T) * MS_WIDTH)));
MS_VECTOR(f32)
MS_VECTOR(f64)
MS_VECTOR(i8)
MS_VECTOR(u8)
MS_VECTOR(i16)
MS_VECTOR(u16)
MS_VECTOR(i32)
MS_VECTOR(u32)
MS_VECTOR(i64)
MS_VECTOR(u64)
MS_KIN(f32v, i32v, u32v, f32v, f32, true)
MS_KIN(f64v, i64v, u64v, f64v, f64, true)
MS_KIN(i32v, i32v, u32v, f32v, i32, false)
MS_KIN(u32v, i32v, u32v, f32v, u32, false)
MS_KIN(i64v, i64v, u64v, f64v, i64, false)
MS_KIN(u64v, i64v, u64v, f64v, u64, false)
#ifndef MS_NARROW
#define MS_NARROW 0
#endif
#if MS_NARROW == 1
MS_KIN(i8v, i8v, u8v, f32v, i8, false)
MS_KIN(u8v, i8v, u8v, f32v, u8, false)
#elif MS_NARROW == 2
MS_KIN(i16v, i16v, u16v, f32v, i16, false)
MS_KIN(u16v, i16v, u16v, f32v, u16, false)
#endif
// n items, where that is not W.
template <class T, int n> struct vector_of { typedef T type __attribute__((vector_size(n * sizeof(T)))); };
#define MS_JOIN(a, b) a##b
#define MS_LANES_OF(T) MS_JOIN(T, v)
typedef MS_LANES_OF(MS_MASK) maskv;

// The family of values that an operator computes with, W at a time.
struct vectors {
  typedef f32v f32;
  typedef f64v f64;
#if MS_NARROW == 1
  typedef i8v i32;
  typedef u8v u32;
#elif MS_NARROW == 2
  typedef i16v i32;
  typedef u16v u32;
#else
  typedef i32v i32;
  typedef u32v u32;
#endif
  typedef i64v i64;
  typedef u64v u64;
  typedef maskv mask;
  INLINE mask truth(bool b) { return b ? ~mask{} : mask{}; }
};

template <class V> INLINE V load_bits(const void* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

#if MS_WIDTH == 4
#define MS_LANES(x) x, x, x, x
#define MS_NUMBERS 0, 1, 2, 3
#elif MS_WIDTH == 8
#define MS_LANES(x) x, x, x, x, x, x, x, x
#define MS_NUMBERS 0, 1, 2, 3, 4, 5, 6, 7
#elif MS_WIDTH == 16
#define MS_LANES(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
#define MS_NUMBERS 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#else
#define MS_16_FROM(i) \
  i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, i + 7, i + 8, i + 9, i + 10, i + 11, i + 12, i + 13, i + 14, i + 15
#define MS_16(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
#if MS_WIDTH == 32
#define MS_LANES(x) MS_16(x), MS_16(x)
#define MS_NUMBERS MS_16_FROM(0), MS_16_FROM(16)
#elif MS_WIDTH == 64
#define MS_LANES(x) MS_16(x), MS_16(x), MS_16(x), MS_16(x)
#define MS_NUMBERS MS_16_FROM(0), MS_16_FROM(16), MS_16_FROM(32), MS_16_FROM(48)
#else
#error "MS_WIDTH is 4, 8, 16, 32 or 64"
#endif
#endif
static constexpr i32v iota = {MS_NUMBERS};
static constexpr i64v wide_iota = {MS_NUMBERS};

// The same in every lane.
template <class V> INLINE V splat(item_of<V> x) {
  if constexpr (sizeof(V) == sizeof x) return x;
  else return V{MS_LANES(x)};
}

// Lane i is lane I[i] of a and b, one after the other.
#if __has_builtin(__builtin_shufflevector)
#define MS_PERMUTE(V, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MS_PERMUTE(V, a, b, ...) __builtin_shuffle(a, b, as_signed<V>{__VA_ARGS__})
#endif
template <class V, int... I> INLINE V permute(V a, V b, seq<I...>) { return MS_PERMUTE(V, a, b, I...); }

// Whether any lane of a mask holds.
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
  struct words {
    u64 at[sizeof m / 8];
  };
  const words w = bit_cast<words>(m);
  u64 all = 0;
  for (u64 word : w.at) all |= word;
  return all != 0;
}

// By numbers that are computed.
template <class V> INLINE V arrange_lanes(V x, i32v from) {
#if defined(__clang__)
  V y = x;
  for (int i = 0; i < W; ++i) y[i] = x[from[i]];
  return y;
#else
  if constexpr (sizeof(x[0]) == 8) return __builtin_shuffle(x, __builtin_convertvector(from, i64v));
  else return __builtin_shuffle(x, from);
#endif
}

// The first m items of a vector, or the last; what lies beside them is not touched.
template <bool last, class V> INLINE auto few_lanes(int m) {
  if constexpr (sizeof(V) / W == 4) return last ? iota >= W - m : iota < m;
  else return bit_cast<i64v>(last ? wide_iota >= (i64)(W - m) : wide_iota < (i64)m);
}
#if defined(__AVX512BW__) && defined(__AVX512VL__) && !defined(__clang__)
#define MS_MASKED 1
// m is less than W.
template <bool last> INLINE u64 few_bits(int m) { return ((1ull << m) - 1) << (last ? W - m : 0); }
// By instructions for items of each size and registers of each width; false: there is none.
#define MS_MASKED_KIND(item, bytes, kind, Mask)                                                              \
  if constexpr (sizeof(V) == bytes && sizeof(V) / W == sizeof(item)) {                                       \
    typedef item B __attribute__((vector_size(bytes)));                                                      \
    if constexpr (loads) v = bit_cast<V>(__builtin_ia32_load##kind##_mask((const item*)p, B{}, (Mask)bits)); \
    else __builtin_ia32_store##kind##_mask((item*)p, bit_cast<B>(v), (Mask)bits);                            \
    return true;                                                                                             \
  }
template <bool loads, class V, class P> INLINE bool masked(P p, V& v, u64 bits) {
  MS_MASKED_KIND(f32, 64, ups512, unsigned short)
  MS_MASKED_KIND(f32, 32, ups256, unsigned char)
  MS_MASKED_KIND(f32, 16, ups128, unsigned char)
  MS_MASKED_KIND(f64, 64, upd512, unsigned char)
  MS_MASKED_KIND(f64, 32, upd256, unsigned char)
  MS_MASKED_KIND(short, 64, dquhi512, unsigned)
  MS_MASKED_KIND(short, 32, dquhi256, unsigned short)
  MS_MASKED_KIND(short, 16, dquhi128, unsigned char)
  MS_MASKED_KIND(char, 64, dquqi512, u64)
  MS_MASKED_KIND(char, 32, dquqi256, unsigned)
  MS_MASKED_KIND(char, 16, dquqi128, unsigned short)
  return false;
}
#undef MS_MASKED_KIND
#endif
template <bool last, class V, class T> INLINE V load_few(const T* p, int m) {
#if defined(__AVX__)
  typedef f32 f32x4 __attribute__((vector_size(16)));
  typedef f32 f32x8 __attribute__((vector_size(32)));
  typedef f64 f64x4 __attribute__((vector_size(32)));
  const T* const at = last ? p - (W - m) : p;
#if MS_MASKED
  V v;
  if (masked<true>(at, v, few_bits<last>(m))) return v;
#endif
  if constexpr (sizeof(V) == 32 && sizeof(T) == 4)
    return bit_cast<V>(__builtin_ia32_maskloadps256((const f32x8*)at, few_lanes<last, V>(m)));
  else if constexpr (sizeof(V) == 32 && sizeof(T) == 8)
    return bit_cast<V>(__builtin_ia32_maskloadpd256((const f64x4*)at, few_lanes<last, V>(m)));
  else if constexpr (sizeof(V) == 16 && sizeof(T) == 4)
    return bit_cast<V>(__builtin_ia32_maskloadps((const f32x4*)at, few_lanes<last, V>(m)));
#endif
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(T) == 4)
    return bit_cast<V>(__builtin_ia32_loadups512_mask((const f32*)(last ? p - (W - m) : p), bit_cast<f32v>(V{}),
                                                      (unsigned short)(last ? 0xffffu << (W - m) : (1u << m) - 1)));
#endif
  T b[W] = {};
  __builtin_memcpy(b + (last ? W - m : 0), p, (unsigned)m * sizeof(T));
  return load_bits<V>(b);
}
template <int size, class T> INLINE void copy_few(T* to, const T* from, int m) {
  if (m & size) __builtin_memcpy(to, from, size * sizeof(T)), to += size, from += size;
  if constexpr (size > 1) copy_few<size / 2>(to, from, m);
}
// In pieces where masked stores are slow, as those of AVX2 are on some machines.
template <bool last, class V, class T> INLINE void store_few(T* p, int m, V v) {
#if MS_MASKED
  if (masked<false>(last ? p - (W - m) : p, v, few_bits<last>(m))) return;
#endif
  T b[W];
  store_bits(b, v);
  copy_few<W / 2>(p, b + (last ? W - m : 0), m);
}
