// The dtypes of arrays: the item in memory, and how W of them, or one, come into registers and go back.
#pragma once
#include "stored.h"

// Several values of one type, as template arguments.
template <class T, T... all> struct values_of {
  static constexpr T at[sizeof...(all)] = {all...};
};

// Held as it is stored.
template <class Item, class Vector> struct plain {
  typedef Item item;
  static constexpr bool as_stored = true;
  INLINE Vector load(const void* p) { return load_bits<Vector>(p); }
  INLINE Vector bits(Vector x) { return x; }
  INLINE Item get(Item x) { return x; }
  INLINE Item put(Item x) { return x; }
};
struct float32 : plain<f32, f32v> {};
struct float64 : plain<f64, f64v> {};
struct int32 : plain<i32, i32v> {};
struct uint32 : plain<u32, u32v> {};
struct int64 : plain<i64, i64v> {};
struct uint64 : plain<u64, u64v> {};

// Held in 32 bits.
template <class Item, class Stored, class Held, class Vector> struct widened {
  typedef Item item;
  static constexpr bool as_stored = false;
  INLINE Vector load(const void* p) { return widen<Vector>(load_bits<Stored>(p)); }
  INLINE Stored bits(Vector x) { return narrow<Stored>(x); }
  INLINE Held get(Item x) { return x; }
  INLINE Item put(Held x) { return (Item)x; }
};
#if MS_NARROW == 1
struct int8 : plain<i8, i8v> {};
struct uint8 : plain<u8, u8v> {};
#else
struct int8 : widened<i8, i8v, i32, i32v> {};
struct uint8 : widened<u8, u8v, u32, u32v> {};
#endif
#if MS_NARROW == 2
struct int16 : plain<i16, i16v> {};
struct uint16 : plain<u16, u16v> {};
#else
struct int16 : widened<i16, i16v, i32, i32v> {};
struct uint16 : widened<u16, u16v, u32, u32v> {};
#endif

struct boolean {
  typedef u8 item;
  static constexpr bool as_stored = false;
#if MS_NARROW == 1
  INLINE maskv load(const void* p) { return load_bits<u8v>(p) != 0; }
  INLINE u8v bits(maskv x) { return bit_cast<u8v>(x & 1); }
#else
  INLINE maskv load(const void* p) { return widen<maskv>(load_bits<u8v>(p)) != 0; }
  INLINE u8v bits(maskv x) { return narrow<u8v>(x & 1); }
#endif
  INLINE bool get(u8 x) { return x != 0; }
  INLINE u8 put(bool x) { return x; }
};
// The numbers that an operator holds, given at launch: other numbers need no other kernel. Every member gets one.
template <auto... member> struct numbers {
  static constexpr int entry_bytes = 8;
  template <class S> INLINE void read([[maybe_unused]] const ms_launch* g, [[maybe_unused]] S& s) {
    [[maybe_unused]] const u8* at = (const u8*)g->numbers;
    ((take(s.*member, at), at += entry_bytes), ...);
  }
  template <class V> INLINE void take(V& to, const u8* at) { to = splat<V>(*(const item_of<V>*)at); }
};

struct float16 {
  typedef u16 item;
  static constexpr bool as_stored = false;
  INLINE f32v load(const void* p) { return from_half(load_bits<u16v>(p)); }
  INLINE u16v bits(f32v x) { return to_half(x); }
  INLINE f32 get(u16 x) { return from_half(x); }
  INLINE u16 put(f32 x) { return to_half(x); }
};
template <class D> constexpr bool is_bfloat = false;
struct bfloat16 {
  typedef u16 item;
  static constexpr bool as_stored = false;
  INLINE f32v load(const void* p) { return from_bfloat(load_bits<u16v>(p)); }
  INLINE u16v bits(f32v x) { return to_bfloat(x); }
  INLINE f32 get(u16 x) { return from_bfloat(x); }
  INLINE u16 put(f32 x) { return to_bfloat(x); }
};
template <> constexpr bool is_bfloat<bfloat16> = true;
