// Exponentials and logarithms of float64: the series of exp and of the inverse hyperbolic tangent on reduced intervals,
// one text for scalars and vectors, which give the same bits.
#pragma once

INLINE f64 fused(f64 a, f64 b, f64 c) {
#if defined(__FP_FAST_FMA) || defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}
INLINE f64v fused(f64v a, f64v b, f64v c) {
#if __has_builtin(__builtin_elementwise_fma)
  return __builtin_elementwise_fma(a, b, c);
#elif defined(__FMA__) && MS_WIDTH == 4
  return __builtin_ia32_vfmaddpd256(a, b, c);
#elif defined(__AVX512F__) && MS_WIDTH == 8
  return __builtin_ia32_vfmaddpd512_mask(a, b, c, (unsigned char)-1, 4);
#else
  for (int i = 0; i < W; ++i) a[i] = fused(a[i], b[i], c[i]);
  return a;
#endif
}

static constexpr double TO_INTEGER = 0x1.8p52;  // adding it rounds to an integer, which stands in the lowest bits
static constexpr double LOG_2_HIGH = 0x1.62e42fefap-1, LOG_2_LOW = 0x1.cf79abc9e3b3ap-40;  // the first: 33 bits

template <class F> INLINE as_signed<F> integer_of(F x) {
  return bit_cast<as_signed<F>>(x + TO_INTEGER) - bit_cast<as_signed<F>>(F{} + TO_INTEGER);
}
template <class F> INLINE F number_of(as_signed<F> n) {
  return bit_cast<F>(n + bit_cast<as_signed<F>>(F{} + TO_INTEGER)) - TO_INTEGER;
}
// The coefficients from the highest power down.
template <class F, class... C> INLINE F series(F x, double highest, C... others) {
  F p = F{} + highest;
  ((p = fused(p, x, F{} + others)), ...);
  return p;
}
template <class F> INLINE F power_of_two(as_signed<F> n) { return bit_cast<F>((n + 1023) << 52); }

template <class F> INLINE F exp_of_double(F x) {
  const F zero = F{};
  F y = x < -746.0 ? zero - 746.0 : x;
  y = y > 710.0 ? zero + 710.0 : y;
  y = x != x ? zero : y;
  const F n = (y * 0x1.71547652b82fep+0 + TO_INTEGER) - TO_INTEGER;
  const F r = fused(n, zero - LOG_2_LOW, fused(n, zero - LOG_2_HIGH, y));
  const F p = series(r, 1 / 6227020800.0, 1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0, 1 / 362880.0, 1 / 40320.0,
                     1 / 5040.0, 1 / 720.0, 1 / 120.0, 1 / 24.0, 1 / 6.0, 1 / 2.0);  // from r^13 / 13! down
  const F e = fused(p, r * r, r) + 1.0;
  // Times 2^n in two steps: neither factor overflows, and a subnormal result is rounded once.
  const F half = (n * 0.5 + TO_INTEGER) - TO_INTEGER;
  const F scaled = e * power_of_two<F>(integer_of(half)) * power_of_two<F>(integer_of(n - half));
  return x != x ? x : scaled;
}
// log(2^k (1 + f)), 1 + f between the square roots of 1/2 and 2: with s = f / (2 + f) the series of 2 artanh(s).
template <class F> INLINE F log_of_double(F f, F k) {
  const F zero = F{}, s = f / (f + 2.0), z = s * s, half_square = f * f * 0.5;
  const F p = series(z, 2 / 23.0, 2 / 21.0, 2 / 19.0, 2 / 17.0, 2 / 15.0, 2 / 13.0, 2 / 11.0, 2 / 9.0, 2 / 7.0, 2 / 5.0,
                     2 / 3.0);
  // log(1 + f) is f - f^2 / 2 + s (f^2 / 2 + the series from its second term on)
  const F rest = s * fused(p, z, half_square);
  return fused(k, zero + LOG_2_HIGH, f - (half_square - fused(k, zero + LOG_2_LOW, rest)));
}
// The exponent k of x = 2^k m with m between the square roots of 1/2 and 2.
template <class F> INLINE as_signed<F> exponent_of_double(F x) {
  return (bit_cast<as_signed<F>>(x) - 0x3fe6a09e667f3bcd) >> 52;
}
template <class F> INLINE F log_of_one_plus(F u, F lost, F scaled_by) {
  const as_signed<F> k = exponent_of_double(u);
  const F m = bit_cast<F>(bit_cast<as_signed<F>>(u) - (k << 52));
  const as_signed<F> most = k < 1022 ? k : k - k + 1022;
  return log_of_double((m - 1.0) + lost * power_of_two<F>(-most), number_of<F>(k) - scaled_by);
}
template <class F> INLINE F log_double(F x) {
  const F zero = F{};
  F r = log_of_one_plus(x < 0x1p-1022 ? x * 0x1p54 : x, zero, x < 0x1p-1022 ? zero + 54.0 : zero);
  r = x == 0.0 ? zero - infinity<f64>() : r;
  r = x < 0.0 ? zero + not_a_number<f64>() : r;
  return x < infinity<f64>() ? r : x;  // also NaN
}
template <class F> INLINE F log1p_double(F x) {
  const F zero = F{}, u = x + 1.0;
  const F lost = x < 1.0 ? x - (u - 1.0) : 1.0 - (u - x);  // what rounding 1 + x dropped
  F r = log_of_one_plus(u, lost, zero);
  r = (x < 0.0 ? -x : x) < 1e-19 ? x : r;
  r = x == -1.0 ? zero - infinity<f64>() : r;
  r = x < -1.0 ? zero + not_a_number<f64>() : r;
  return x < infinity<f64>() ? r : x;
}
template <class F> INLINE F sigmoid_double(F x) {
  const F e = exp_of_double(x < 0.0 ? x : -x);
  return (x < 0.0 ? e : F{} + 1.0) / (e + 1.0);
}
template <class F> INLINE F logaddexp_double(F a, F b) {
  const F high = maximum(a, b), low = minimum(a, b);
  const F r = high + log1p_double(exp_of_double(low - high));
  return low == -infinity<f64>() ? high : high == infinity<f64>() ? high : r;
}
