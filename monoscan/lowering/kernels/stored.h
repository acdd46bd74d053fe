// Items of 8 and 16 bits as they are stored, and held in 32 bits or more.
//
// GCC takes such vectors apart, down to single items where sizes differ more than twice: here are the instructions by
// name. Measured with vectors of 16: rows of int8 are 5 times as fast, columns 15 times.
#pragma once
#include "vector.h"

#if !defined(__clang__) && MS_WIDTH == 16 && defined(__AVX512BW__) && defined(__AVX512VL__)
#define MS_AVX512 1
static constexpr unsigned short ALL = 0xffff;
typedef char bytes __attribute__((vector_size(16)));
#elif !defined(__clang__) && MS_WIDTH == 8
#if defined(__AVX2__)
#define MS_AVX2 1
#endif
#if defined(__F16C__)
#define MS_F16C 1
#endif
#endif

// Held in 32 bits.
#if MS_AVX512
INLINE i32v in_words(i8v x) { return __builtin_ia32_pmovsxbd512_mask(bit_cast<bytes>(x), i32v{}, ALL); }
INLINE i32v in_words(u8v x) { return __builtin_ia32_pmovzxbd512_mask(bit_cast<bytes>(x), i32v{}, ALL); }
INLINE i32v in_words(i16v x) { return __builtin_ia32_pmovsxwd512_mask(x, i32v{}, ALL); }
INLINE i32v in_words(u16v x) { return __builtin_ia32_pmovzxwd512_mask(bit_cast<i16v>(x), i32v{}, ALL); }
INLINE bytes in_bytes(i32v x) { return __builtin_ia32_pmovdb512_mask(x, bytes{}, ALL); }
INLINE i16v in_halves(i32v x) { return __builtin_ia32_pmovdw512_mask(x, i16v{}, ALL); }
#elif MS_AVX2
typedef char all_bytes __attribute__((vector_size(32)));
// Each byte to the top of its word; the instruction that widens bytes GCC 12 fails to merge with a select.
template <class V> INLINE all_bytes tops_of_words(V x) {
  const u64 all = bit_cast<u64>(x);
  typedef u64 copies __attribute__((vector_size(32)));
  const all_bytes tops = {-1, -1, -1, 0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, 3,
                          -1, -1, -1, 4, -1, -1, -1, 5, -1, -1, -1, 6, -1, -1, -1, 7};
  return __builtin_ia32_pshufb256(bit_cast<all_bytes>(copies{all, all, all, all}), tops);
}
INLINE i32v in_words(i8v x) { return bit_cast<i32v>(tops_of_words(x)) >> 24; }
INLINE i32v in_words(u8v x) { return bit_cast<i32v>(bit_cast<u32v>(tops_of_words(x)) >> 24); }
INLINE i32v in_words(i16v x) { return __builtin_ia32_pmovsxwd256(x); }
INLINE i32v in_words(u16v x) { return __builtin_ia32_pmovzxwd256(bit_cast<i16v>(x)); }
INLINE u64 in_bytes(i32v x) {
  const all_bytes every_fourth = {0, 4, 8, 12, 16, 20, 24, 28};
  return bit_cast<halves_of<halves_of<u64> > >(__builtin_shuffle(bit_cast<all_bytes>(x), every_fourth)).low.low;
}
INLINE i16v in_halves(i32v x) {
  typedef short all_halves __attribute__((vector_size(32)));
  const all_halves every_second = {0, 2, 4, 6, 8, 10, 12, 14};
  return bit_cast<halves_of<i16v> >(__builtin_shuffle(bit_cast<all_halves>(x), every_second)).low;
}
#else
template <class V> INLINE i32v in_words(V x) { return __builtin_convertvector(x, i32v); }
INLINE i8v in_bytes(i32v x) { return __builtin_convertvector(x, i8v); }
INLINE i16v in_halves(i32v x) { return __builtin_convertvector(x, i16v); }
#endif

template <class To, class From> INLINE To widen(From x) {
  if constexpr (sizeof(To) == sizeof(i32v)) return bit_cast<To>(in_words(x));
  else return __builtin_convertvector(in_words(x), To);
}
template <class To, class From> INLINE To narrow(From x) {
  if constexpr (sizeof(From) != sizeof(i32v)) return narrow<To>(__builtin_convertvector(x, i32v));
  else if constexpr (sizeof(To) == W) return bit_cast<To>(in_bytes(bit_cast<i32v>(x)));
  else return bit_cast<To>(in_halves(bit_cast<i32v>(x)));
}

INLINE f32v from_half(u16v x) {
#if MS_AVX512
  return bit_cast<f32v>(__builtin_ia32_vcvtph2ps512_mask(bit_cast<i16v>(x), f32v{}, ALL, 4));
#elif MS_F16C
  return bit_cast<f32v>(__builtin_ia32_vcvtph2ps256(bit_cast<i16v>(x)));
#else
  const u32v h = widen<u32v>(x);
  const u32v magnitude = (h & 0x7fff) << 13;
  const u32v finite = bit_cast<u32v>(bit_cast<f32v>(magnitude) * splat<f32v>(0x1p112f));  // subnormals too
  return bit_cast<f32v>(((h & 0x8000) << 16) | ((h & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000u : finite));
#endif
}
INLINE u16v to_half(f32v x) {
#if MS_AVX512
  return bit_cast<u16v>(__builtin_ia32_vcvtps2ph512_mask(x, 0, i16v{}, ALL));
#elif MS_F16C
  return bit_cast<u16v>(__builtin_ia32_vcvtps2ph256(x, 0));
#else
  const u32v bits = bit_cast<u32v>(x), magnitude = bits & 0x7fffffffu;
  const u32v normal = (magnitude - 0x38000000u + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  const u32v subnormal =
      bit_cast<u32v>(bit_cast<f32v>(magnitude) + splat<f32v>(0.5f)) - 0x3f000000u;  // rounds at 2^-24
  u32v half = magnitude < 0x38800000u ? subnormal : normal;
  half = magnitude >= 0x477ff000u ? splat<u32v>(0x7c00u) : half;
  half = magnitude > 0x7f800000u ? (0x7e00u | ((bits >> 13) & 0x3ff)) : half;
  return narrow<u16v>(half | ((bits >> 16) & 0x8000));
#endif
}
INLINE f32v from_bfloat(u16v x) { return bit_cast<f32v>(widen<u32v>(x) << 16); }
INLINE u16v to_bfloat(f32v x) {
  const u32v bits = bit_cast<u32v>(x);
  const u32v rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return narrow<u16v>(x == x ? rounded : (bits >> 16) | 0x40);
}
