// Numbers: what every kernel is made of, on any machine.
#pragma once
#include "contract.h"

typedef float f32;
typedef double f64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;

#define INLINE static inline __attribute__((always_inline, unused))
#define LOCAL  // memory of a thread, which some GPUs name
#define NOINLINE static __attribute__((noinline, unused))

// The numbers 0 to n - 1 as a type: for what happens in every lane, leaf or register.
template <int... I> struct seq {};
#if __has_builtin(__make_integer_seq)
template <class T, T... I> struct counted { typedef seq<I...> type; };
template <int n> using upto = typename __make_integer_seq<counted, int, n>::type;
#else
template <int n> using upto = seq<__integer_pack(n)...>;
#endif

INLINE ms_int least(ms_int a, ms_int b) { return a < b ? a : b; }

template <class To, class From> INLINE To bit_cast(From x) {
  To y;
  __builtin_memcpy(&y, &x, sizeof y);
  return y;
}

template <class F> INLINE constexpr F infinity() { return (F)__builtin_inff(); }
template <class F> INLINE constexpr F not_a_number() { return (F)__builtin_nanf(""); }

// What belongs to a type of values: its integers of the same width, its item, and whether it is a float.
template <class T> struct kin;
#define MS_KIN(T, I, U, F, Item, floats)     \
  template <> struct kin<T> {                \
    typedef I as_signed;                     \
    typedef U as_unsigned;                   \
    typedef Item item;                       \
    static constexpr bool floating = floats; \
  };
MS_KIN(f32, i32, u32, f32, f32, true)
MS_KIN(f64, i64, u64, f64, f64, true)
MS_KIN(i32, i32, u32, f32, i32, false)
MS_KIN(u32, i32, u32, f32, u32, false)
MS_KIN(i64, i64, u64, f64, i64, false)
MS_KIN(u64, i64, u64, f64, u64, false)
template <class T> using as_signed = typename kin<T>::as_signed;
template <class T> using as_unsigned = typename kin<T>::as_unsigned;
template <class T> using item_of = typename kin<T>::item;

// The family of values that an operator computes with, one at a time. Integers of 8 and 16 bits are
// held in 32, and brought back into their width where an operation may leave it.
struct scalars {
  typedef ::f32 f32;
  typedef ::f64 f64;
  typedef ::i32 i32;
  typedef ::u32 u32;
  typedef ::i64 i64;
  typedef ::u64 u64;
  typedef bool mask;
  INLINE mask truth(bool b) { return b; }
};

// Halves are computed with in 32 bits, and rounded to nearest, ties to even.
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
