// Functions of floats: exponentials and logarithms as polynomials, and the rest by libm, lane by lane.
//
// Explicit fused multiply-adds here and nowhere else: these functions promise ulps (docs/accuracy.md), the rest of a
// kernel promises the bits of the plain operations.
#pragma once
#include "ops.h"
#include "subnormals.h"

INLINE f32 fused(f32 a, f32 b, f32 c) {
#if defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
INLINE f32v fused(f32v a, f32v b, f32v c) {
#if __has_builtin(__builtin_elementwise_fma)
  return __builtin_elementwise_fma(a, b, c);
#elif defined(__FMA__) && MS_WIDTH == 4
  return __builtin_ia32_vfmaddps(a, b, c);
#elif defined(__FMA__) && MS_WIDTH == 8
  return __builtin_ia32_vfmaddps256(a, b, c);
#elif defined(__AVX512F__) && MS_WIDTH == 16
  return __builtin_ia32_vfmaddps512_mask(a, b, c, (unsigned short)-1, 4);
#elif defined(__FP_FAST_FMAF)
  for (int i = 0; i < W; ++i) a[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return a;
#else
  return a * b + c;
#endif
}

#include "polynomials.h"

// ------------------------------------------------------------------ libm
#define MS_LIBM_1(name, builtin)                               \
  INLINE f32 name(f32 x) { return __builtin_##builtin##f(x); } \
  INLINE f64 name(f64 x) { return __builtin_##builtin(x); }    \
  MS_OF_ONE(f32v, name)                                        \
  MS_OF_ONE(f64v, name)
MS_LIBM_1(log2, log2)
MS_LIBM_1(log10, log10)
MS_LIBM_1(erf, erf)
MS_LIBM_1(sin, sin)
MS_LIBM_1(cos, cos)
MS_LIBM_1(tan, tan)
MS_LIBM_1(arcsin, asin)
MS_LIBM_1(arccos, acos)
MS_LIBM_1(arctan, atan)
MS_LIBM_1(sinh, sinh)
MS_LIBM_1(cosh, cosh)
#define MS_LIBM_2(name, builtin)                                         \
  INLINE f32 name(f32 x, f32 y) { return __builtin_##builtin##f(x, y); } \
  INLINE f64 name(f64 x, f64 y) { return __builtin_##builtin(x, y); }    \
  MS_OF_TWO(f32v, name)                                                  \
  MS_OF_TWO(f64v, name)
MS_LIBM_2(power, pow)
MS_LIBM_2(arctan2, atan2)

// The rest of a division that rounds down.
#define MS_REMAINDER(F, suffix)                      \
  INLINE F remainder(F x, F y) {                     \
    const F r = __builtin_remainder##suffix(x, y);   \
    return r != 0 && (r < 0) != (y < 0) ? r + y : r; \
  }                                                  \
  MS_OF_TWO(F##v, remainder)
MS_REMAINDER(f32, f)
MS_REMAINDER(f64, )

#define MS_LIBM_DOUBLE(name)                             \
  INLINE f64 name(f64 x) { return __builtin_##name(x); } \
  MS_OF_ONE(f64v, name)
MS_LIBM_DOUBLE(expm1)
MS_LIBM_DOUBLE(tanh)

#include "doubles.h"

#define MS_DOUBLE(F)                                  \
  INLINE F exp(F x) { return exp_of_double(x); }      \
  INLINE F log(F x) { return log_double(x); }         \
  INLINE F log1p(F x) { return log1p_double(x); }     \
  INLINE F sigmoid(F x) { return sigmoid_double(x); } \
  INLINE F logaddexp(F a, F b) { return logaddexp_double(a, b); }
MS_DOUBLE(f64)
MS_DOUBLE(f64v)

// As a function that is called: where a program has many, a compiler takes seconds to write them out.
template <class F> NOINLINE F called_logaddexp(F a, F b) { return logaddexp(a, b); }
