// The names that differ between GPUs, for Metal: compiled behind MLX's own utilities, as C++14.
#pragma once
#pragma METAL fp contract(off)

namespace ms {

typedef float f32;
typedef char i8;
typedef short i16;
typedef int i32;
typedef long i64;
typedef uchar u8;
typedef ushort u16;
typedef uint u32;
typedef ulong u64;

#define INLINE static inline __attribute__((always_inline, unused))
#define UNROLL _Pragma("clang loop unroll(full)")
#define LOCAL thread
#define SHARED(T, name, count) threadgroup T name[count]
#define SHARED_POINTER(T) threadgroup T*
#define BARRIER() threadgroup_barrier(mem_flags::mem_threadgroup)

// ------------------------------------------------------------------ bits
template <class To, class From> INLINE To bit_cast(From x) { return as_type<To>(x); }

// ------------------------------------------------------------------ floats
template <class F> INLINE F infinity() { return as_type<f32>(0x7f800000u); }
template <class F> INLINE F not_a_number() { return as_type<f32>(0x7fc00000u); }
INLINE f32 fused(f32 a, f32 b, f32 c) { return metal::fma(a, b, c); }
INLINE f32 square_root(f32 x) { return metal::precise::sqrt(x); }
INLINE f32 floor(f32 x) { return metal::floor(x); }
INLINE f32 ceil(f32 x) { return metal::ceil(x); }
INLINE f32 round(f32 x) { return metal::rint(x); }

// ------------------------------------------------------------------ functions
INLINE f32 log2(f32 x) { return metal::precise::log2(x); }
INLINE f32 log10(f32 x) { return metal::precise::log10(x); }
INLINE f32 sin(f32 x) { return metal::precise::sin(x); }
INLINE f32 cos(f32 x) { return metal::precise::cos(x); }
INLINE f32 tan(f32 x) { return metal::precise::tan(x); }
INLINE f32 arcsin(f32 x) { return metal::precise::asin(x); }
INLINE f32 arccos(f32 x) { return metal::precise::acos(x); }
INLINE f32 arctan(f32 x) { return metal::precise::atan(x); }
INLINE f32 sinh(f32 x) { return metal::precise::sinh(x); }
INLINE f32 cosh(f32 x) { return metal::precise::cosh(x); }
INLINE f32 power(f32 x, f32 y) { return metal::precise::pow(x, y); }
INLINE f32 arctan2(f32 x, f32 y) { return metal::precise::atan2(x, y); }
INLINE f32 truncated_rest(f32 x, f32 y) { return metal::fmod(x, y); }

// ------------------------------------------------------------------ halves
typedef float16_t half_item;
typedef bfloat16_t bfloat_item;
typedef bool bool_item;
INLINE f32 from_half(half_item x) { return (f32)x; }
INLINE half_item to_half(f32 x) { return (half_item)x; }
INLINE f32 from_bfloat(bfloat_item x) { return (f32)x; }
INLINE bfloat_item to_bfloat(f32 x) { return (bfloat_item)x; }

// ------------------------------------------------------------------ waves
#define MS_SHUFFLES(T, to, back)                                                                        \
  INLINE T shuffle_up(T v, u32 distance) { return back(simd_shuffle_up(to(v), (ushort)distance)); }     \
  INLINE T shuffle_down(T v, u32 distance) { return back(simd_shuffle_down(to(v), (ushort)distance)); } \
  INLINE T shuffle(T v, u32 lane) { return back(simd_shuffle(to(v), (ushort)lane)); }
MS_SHUFFLES(f32, , )
MS_SHUFFLES(i32, , )
MS_SHUFFLES(u32, , )
MS_SHUFFLES(i64, as_type<uint2>, as_type<i64>)
MS_SHUFFLES(u64, as_type<uint2>, as_type<u64>)
MS_SHUFFLES(bool, (i32), (bool))

// ------------------------------------------------------------------ four items, which the compiler may read at once
template <class T> struct quad { T x, y, z, w; };
template <class X> INLINE bool quads_at(X, i64) { return true; }
template <class T> INLINE quad<T> read_quad(const device T* p, i64 i) { return {p[i], p[i + 1], p[i + 2], p[i + 3]}; }
template <class T> INLINE quad<T> read_quad(const constant T* p, i64 i) { return {p[i], p[i + 1], p[i + 2], p[i + 3]}; }
template <class T> INLINE void write_quad(device T* p, i64 i, T x, T y, T z, T w) {
  p[i] = x, p[i + 1] = y, p[i + 2] = z, p[i + 3] = w;
}

}  // namespace ms
