// The names that differ between GPUs, for the machine of fibres.
#pragma once
#include "machine.h"

namespace ms {

typedef float f32;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;

#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL
#define LOCAL
#define SHARED(T, name, count) shim::shared_array<T> name(__LINE__, count)
#define SHARED_POINTER(T) shim::shared_array<T>
#define BARRIER() shim::barrier(__LINE__)

// ------------------------------------------------------------------ bits
template <class To, class From> INLINE To bit_cast(From x) {
  To y;
  __builtin_memcpy(&y, &x, sizeof y);
  return y;
}

// ------------------------------------------------------------------ floats
template <class F> INLINE F infinity() { return __builtin_inff(); }
template <class F> INLINE F not_a_number() { return __builtin_nanf(""); }
INLINE f32 fused(f32 a, f32 b, f32 c) { return __builtin_fmaf(a, b, c); }
INLINE f32 square_root(f32 x) { return __builtin_sqrtf(x); }
INLINE f32 floor(f32 x) { return __builtin_floorf(x); }
INLINE f32 ceil(f32 x) { return __builtin_ceilf(x); }
INLINE f32 round(f32 x) { return __builtin_rintf(x); }

// ------------------------------------------------------------------ functions
INLINE f32 log2(f32 x) { return __builtin_log2f(x); }
INLINE f32 log10(f32 x) { return __builtin_log10f(x); }
INLINE f32 sin(f32 x) { return __builtin_sinf(x); }
INLINE f32 cos(f32 x) { return __builtin_cosf(x); }
INLINE f32 tan(f32 x) { return __builtin_tanf(x); }
INLINE f32 arcsin(f32 x) { return __builtin_asinf(x); }
INLINE f32 arccos(f32 x) { return __builtin_acosf(x); }
INLINE f32 arctan(f32 x) { return __builtin_atanf(x); }
INLINE f32 sinh(f32 x) { return __builtin_sinhf(x); }
INLINE f32 cosh(f32 x) { return __builtin_coshf(x); }
INLINE f32 erf(f32 x) { return __builtin_erff(x); }
INLINE f32 power(f32 x, f32 y) { return __builtin_powf(x, y); }
INLINE f32 arctan2(f32 x, f32 y) { return __builtin_atan2f(x, y); }
INLINE f32 truncated_rest(f32 x, f32 y) { return __builtin_fmodf(x, y); }

// ------------------------------------------------------------------ halves, which memory holds as bits
typedef _Float16 half;
typedef u16 half_item;
typedef u16 bfloat_item;
typedef bool bool_item;
INLINE f32 from_half(u16 x) { return (f32)bit_cast<half>(x); }
INLINE u16 to_half(f32 x) { return bit_cast<u16>((half)x); }
INLINE f32 from_bfloat(u16 x) { return bit_cast<f32>((u32)x << 16); }
INLINE u16 to_bfloat(f32 x) {
  const u32 bits = bit_cast<u32>(x);
  return (u16)(x == x ? (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 : (bits >> 16) | 0x40);
}

// ------------------------------------------------------------------ waves
enum { UP_BY = 100, FROM_LANE = 200, DOWN_BY = 300 };
template <class T> INLINE T exchanged(T v, u32 lane, i32 which) {
  u64 bits = 0;
  __builtin_memcpy(&bits, &v, sizeof v);
  bits = shim::exchange(bits, lane, which);
  __builtin_memcpy(&v, &bits, sizeof v);
  return v;
}
template <class T> INLINE T shuffle_up(T v, u32 distance) {
  const u32 lane = shim::thread() % shim::width;
  return exchanged(v, lane >= distance ? lane - distance : lane, UP_BY + (i32)distance);
}
template <class T> INLINE T shuffle_down(T v, u32 distance) {
  const u32 lane = shim::thread() % shim::width;
  return exchanged(v, lane + distance < shim::width ? lane + distance : lane, DOWN_BY + (i32)distance);
}
template <class T> INLINE T shuffle(T v, u32 lane) { return exchanged(v, lane, FROM_LANE); }

// ------------------------------------------------------------------ between groups
#define PAUSE() shim::pause()
#define CONVERGE()
typedef shim::flags flags_of;
INLINE u32 take(flags_of f, u32 i) { return f.take(i); }
INLINE void release(flags_of f, u32 i) { f.release(i); }
INLINE bool acquired(flags_of f, u32 i) { return f.acquired(i); }
template <class T> INLINE void publish(shim::output<T> p, i64 i, T x) {
  p[i] = x;
  shim::note_publish(p.items + i);
}
template <class T> INLINE T collect(shim::output<T> p, i64 i) {
  if (i < 0 || i >= p.count) shim::fault("read out of bounds");
  shim::note_collect(p.items + i);
  return p.items[i];
}

// ------------------------------------------------------------------ four items at once
template <class T> struct quad { T x, y, z, w; };
template <class T> INLINE bool quads_at(shim::input<T> p, i64 i) { return (u64)(p.items + i) % (4 * sizeof(T)) == 0; }
template <class T> INLINE bool quads_at(shim::output<T> p, i64 i) { return (u64)(p.items + i) % (4 * sizeof(T)) == 0; }
template <class T> INLINE void aligned(T p, i64 i) {
  if (!quads_at(p, i)) shim::fault("four items at once, not aligned");
}
template <class T> INLINE quad<T> read_quad(shim::input<T> p, i64 i) {
  aligned(p, i);
  return {p[i], p[i + 1], p[i + 2], p[i + 3]};
}
template <class T> INLINE void write_quad(shim::output<T> p, i64 i, T x, T y, T z, T w) {
  aligned(p, i);
  p[i] = x, p[i + 1] = y, p[i + 2] = z, p[i + 3] = w;
}

}  // namespace ms
