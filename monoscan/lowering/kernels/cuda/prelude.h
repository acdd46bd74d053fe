// The names that differ between GPUs, for CUDA: compiled by NVRTC, which brings no header, with --fmad=false; or by
// MLX, without, behind a header that defines UNFUSED and f32.
#pragma once

namespace ms {

#ifndef UNFUSED
typedef float f32;
#endif
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;

#define INLINE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define LOCAL
#define SHARED(T, name, count) __shared__ T name[count]
#define SHARED_POINTER(T) T*
#define BARRIER() __syncthreads()

// ------------------------------------------------------------------ bits
template <class To, class From> INLINE To bit_cast(From x) {
  union {
    From from;
    To to;
  } bits;
  bits.from = x;
  return bits.to;
}

// ------------------------------------------------------------------ floats
template <class F> INLINE F infinity() { return __int_as_float(0x7f800000); }
template <class F> INLINE F not_a_number() { return __int_as_float(0x7fc00000); }
INLINE f32 fused(f32 a, f32 b, f32 c) { return __fmaf_rn(a, b, c); }
INLINE f32 square_root(f32 x) { return __fsqrt_rn(x); }
INLINE f32 floor(f32 x) { return ::floorf(x); }
INLINE f32 ceil(f32 x) { return ::ceilf(x); }
INLINE f32 round(f32 x) { return ::rintf(x); }

// ------------------------------------------------------------------ functions
INLINE f32 log2(f32 x) { return ::log2f(x); }
INLINE f32 log10(f32 x) { return ::log10f(x); }
INLINE f32 sin(f32 x) { return ::sinf(x); }
INLINE f32 cos(f32 x) { return ::cosf(x); }
INLINE f32 tan(f32 x) { return ::tanf(x); }
INLINE f32 arcsin(f32 x) { return ::asinf(x); }
INLINE f32 arccos(f32 x) { return ::acosf(x); }
INLINE f32 arctan(f32 x) { return ::atanf(x); }
INLINE f32 sinh(f32 x) { return ::sinhf(x); }
INLINE f32 cosh(f32 x) { return ::coshf(x); }
INLINE f32 erf(f32 x) { return ::erff(x); }
INLINE f32 power(f32 x, f32 y) { return ::powf(x, y); }
INLINE f32 arctan2(f32 x, f32 y) { return ::atan2f(x, y); }
INLINE f32 truncated_rest(f32 x, f32 y) { return ::fmodf(x, y); }

// ------------------------------------------------------------------ halves, which memory holds as bits
typedef u16 half_item;
typedef u16 bfloat_item;
typedef bool bool_item;
INLINE f32 from_half(u16 x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}
INLINE u16 to_half(f32 x) {
  u16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"((float)x));
  return y;
}
INLINE f32 from_bfloat(u16 x) { return __uint_as_float((u32)x << 16); }
INLINE u16 to_bfloat(f32 x) {
  u16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"((float)x));
  return y;
}

// ------------------------------------------------------------------ waves
template <class T> INLINE T shuffle_up(T v, u32 distance) { return __shfl_up_sync(0xffffffffu, v, distance); }
template <class T> INLINE T shuffle(T v, u32 lane) { return __shfl_sync(0xffffffffu, v, (int)lane); }
template <class T> INLINE T shuffle_down(T v, u32 distance) { return __shfl_down_sync(0xffffffffu, v, distance); }
INLINE bool shuffle_up(bool v, u32 distance) { return shuffle_up((i32)v, distance) != 0; }
INLINE bool shuffle(bool v, u32 lane) { return shuffle((i32)v, lane) != 0; }
INLINE bool shuffle_down(bool v, u32 distance) { return shuffle_down((i32)v, distance) != 0; }

// ------------------------------------------------------------------ between groups
// What is published is read past the first cache, which no other group's writes reach; a flag that is acquired brings
// with it all that the thread that released it had written.
#define PAUSE() __nanosleep(40)
#define CONVERGE() __syncwarp()
INLINE u32 take(u32* flags, u32 i) { return atomicAdd(flags + i, 1u); }
INLINE void release(u32* flags, u32 i) {
  asm volatile("st.release.gpu.u32 [%0], %1;" ::"l"(flags + i), "r"(1u) : "memory");
}
INLINE bool acquired(const u32* flags, u32 i) {
  u32 set;
  asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(set) : "l"(flags + i) : "memory");
  return set != 0;
}
template <class T> INLINE void publish(T* p, i64 i, T x) { *(volatile T*)(p + i) = x; }
template <class T> INLINE T collect(T* p, i64 i) { return *(volatile T*)(p + i); }
#ifdef UNFUSED
INLINE void publish(f32* p, i64 i, f32 x) { *(volatile float*)(p + i) = x; }
INLINE f32 collect(f32* p, i64 i) { return *(volatile float*)(p + i); }
#endif

// ------------------------------------------------------------------ four items at once
template <class T> struct alignas(sizeof(T) < 4 ? 4 * sizeof(T) : 16) quad { T x, y, z, w; };
template <class T> INLINE bool quads_at(const T* p, i64 i) { return (u64)(p + i) % alignof(quad<T>) == 0; }
template <class T> INLINE quad<T> read_quad(const T* p, i64 i) { return *(const quad<T>*)(p + i); }
template <class T> INLINE void write_quad(T* p, i64 i, T x, T y, T z, T w) { *(quad<T>*)(p + i) = quad<T>{x, y, z, w}; }

}  // namespace ms
