// The operations of a combine on a GPU: those of ../ops.h for one value at a time, in C++14 without references.
//
// A prelude gives the types and INLINE, UNROLL, LOCAL, bit_cast, fused, square_root, floor, ceil and round.
#pragma once

namespace ms {

// The family of values that an operator computes with.
struct scalars {
  typedef ms::f32 f32;
  typedef ms::i32 i32;
  typedef ms::u32 u32;
  typedef ms::i64 i64;
  typedef ms::u64 u64;
  typedef bool mask;
  INLINE mask truth(bool b) { return b; }
};

// The integers of the same width, without and with a sign.
template <class T> struct kin;
template <> struct kin<f32> {
  typedef u32 as_unsigned;
  typedef i32 as_signed;
};
template <> struct kin<i32> : kin<f32> {};
template <> struct kin<u32> : kin<f32> {};
template <> struct kin<i64> {
  typedef u64 as_unsigned;
  typedef i64 as_signed;
};
template <> struct kin<u64> : kin<i64> {};
template <class T> using as_unsigned = typename kin<T>::as_unsigned;
template <class T> using as_signed = typename kin<T>::as_signed;
template <class T> INLINE bool has_sign() { return (T)-1 < (T)0; }

template <class T, class X> INLINE T splat(X x) { return (T)x; }
template <class T> INLINE T select(bool m, T a, T b) { return m ? a : b; }

// ------------------------------------------------------------------ bools
INLINE bool mask_of(bool b) { return b; }
INLINE bool flip(bool b) { return !b; }
INLINE i32 number(bool b) { return b ? 1 : 0; }

// ------------------------------------------------------------------ conversions
template <class To, class From> INLINE To cast(From x) { return (To)x; }
// A float is cut towards zero; what the integer does not hold, and NaN, become its lowest value.
template <class I> INLINE I lowest() { return (I)((as_unsigned<I>)1 << (8 * sizeof(I) - 1)); }
template <class I> INLINE I truncated_signed(f32 x) {
  const f32 edge = sizeof(I) == 4 ? 2147483648.0f : 9223372036854775808.0f;
  return x >= -edge && x < edge ? (I)x : lowest<I>();
}
template <class I> INLINE I truncated(f32 x) {
  if (has_sign<I>()) return truncated_signed<I>(x);
  const f32 edge = 9223372036854775808.0f;  // 64 bits
  const I low = (I)truncated_signed<as_signed<I>>(x >= edge ? x - edge : x);
  return x >= edge ? low ^ lowest<I>() : low;
}
// Integers of 8 and 16 bits, brought back into their width.
INLINE i32 as_i8(i32 x) { return (i8)x; }
INLINE i32 as_i16(i32 x) { return (i16)x; }
INLINE u32 as_u8(u32 x) { return x & 255; }
INLINE u32 as_u16(u32 x) { return x & 65535; }

// ------------------------------------------------------------------ integers, which wrap
template <class I> INLINE I add(I a, I b) { return (I)((as_unsigned<I>)a + (as_unsigned<I>)b); }
template <class I> INLINE I subtract(I a, I b) { return (I)((as_unsigned<I>)a - (as_unsigned<I>)b); }
template <class I> INLINE I multiply(I a, I b) { return (I)((as_unsigned<I>)a * (as_unsigned<I>)b); }
template <class I> INLINE I negate(I a) { return (I)(0 - (as_unsigned<I>)a); }
// Counts are taken modulo the width.
template <class I> INLINE I bits_of(I b) { return b & (I)(8 * sizeof(I) - 1); }
template <class I> INLINE I shift_left(I a, I b) { return (I)((as_unsigned<I>)a << bits_of(b)); }
template <class I> INLINE I shift_right(I a, I b) { return a >> bits_of(b); }
template <class I> INLINE I lesser(I a, I b) { return a < b ? a : b; }
template <class I> INLINE I greater(I a, I b) { return a > b ? a : b; }
// Division rounds down, as in Python; by zero the quotient is 0 and the rest the dividend.
template <class I> INLINE I floor_divide(I a, I b) {
  if (b == 0) return 0;
  if (has_sign<I>() && b == (I)-1) return negate(a);
  const I q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
template <class I> INLINE I remainder(I a, I b) {
  if (b == 0) return a;
  if (has_sign<I>() && b == (I)-1) return 0;
  const I r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
template <class I> INLINE I power(I base, I exponent) {
  if (exponent < 0) return 0;
  as_unsigned<I> result = 1, square = (as_unsigned<I>)base;
  for (as_unsigned<I> rest = (as_unsigned<I>)exponent; rest; rest >>= 1, square *= square)
    if (rest & 1) result *= square;
  return (I)result;
}

// ------------------------------------------------------------------ numbers
template <class T> INLINE T sign(T x) { return x > 0 ? (T)1 : x < 0 ? (T)-1 : (T)0; }
template <class I> INLINE I absolute(I x) { return x < 0 ? negate(x) : x; }
INLINE f32 absolute(f32 x) { return bit_cast<f32>(bit_cast<i32>(x) & 0x7fffffff); }
// NaN if either is.
INLINE f32 minimum(f32 a, f32 b) { return a != a ? a : (a < b ? a : b); }
INLINE f32 maximum(f32 a, f32 b) { return a != a ? a : (a > b ? a : b); }

// ------------------------------------------------------------------ tables
// The entry at an index; outside of the table, the first. Selects, since registers have no address.
template <class T, int n> struct table { T at[n]; };
template <class T, class... R> INLINE table<T, 1 + sizeof...(R)> table_of(T first, R... rest) {
  return {{first, rest...}};
}
template <class I, class T, int n> INLINE T lookup(table<T, n> t, I i) {
  T y = t.at[0];
  UNROLL for (int k = 1; k < n; ++k) y = i == (I)k ? t.at[k] : y;
  return y;
}

}  // namespace ms
