// Exponentials and logarithms of float32 as polynomials: one text for scalars, for vectors and for GPUs, which give the
// same bits wherever there is a fused multiply-add. They are weighted minimax fits on the reduced interval.
#pragma once

template <class F, class B> INLINE F of_bits(B x) { return bit_cast<F>(x); }
template <class F> INLINE as_signed<F> to_bits(F x) { return bit_cast<as_signed<F>>(x); }
template <class F> INLINE F magnitude(F x) { return of_bits<F>(to_bits(x) & 0x7fffffff); }

// x = n log 2 + r with r in half a log 2 either way; log 2 in two parts, so that n times the first is exact.
// Yields a sum in whose lowest bits n stands.
template <class F> INLINE F reduce_to_sum(F x, LOCAL F& r) {
  const F zero = F{}, shift = zero + 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const F sum = fused(x, zero + 1.44269502f, shift), n = sum - shift;
  r = fused(n, zero - 0.693359375f, x);
  r = fused(n, zero + 2.12194440e-4f, r);
  return sum;
}
template <class F> INLINE as_signed<F> reduce(F x, LOCAL F& r) {
  return cast<as_signed<F>>(reduce_to_sum(x, r) - 12582912.0f);
}
// Times 2^n in two steps: neither factor overflows, and a subnormal result is rounded once.
template <class F, class B> INLINE F scale(F x, B n) {
  const B first = n >> 1;
  return x * of_bits<F>((first + 127) << 23) * of_bits<F>((n - first + 127) << 23);
}
template <class F> INLINE F exp_reduced(F r) {
  F p = F{} + 0.0013813144760206342f;
  p = fused(p, r, F{} + 0.008369418792426586f);
  p = fused(p, r, F{} + 0.04166845604777336f);
  p = fused(p, r, F{} + 0.16666515171527863f);
  p = fused(p, r, F{} + 0.4999999403953552f);
  return fused(p, r * r, r) + 1.0f;
}
#ifdef MS_FLUSHES
template <class F> INLINE F exp(F x) {  // n added to the exponent: right where the result is normal, and chosen there
  typedef as_unsigned<F> U;
  const F zero = F{};
  F r;
  const F sum = reduce_to_sum(x, r), p = exp_reduced(r);
  const F e = of_bits<F>((U)to_bits(p) + ((U)to_bits(sum) << 23));
  return x > 88.7228317f ? zero + __builtin_inff() : x > -87.3365448f ? e : greater(zero, x);  // 0, or NaN
}
#else
template <class F> INLINE F exp(F x) {
  const F zero = F{};
  F y = x < -104.0f ? zero - 104.0f : x;
  y = y > 89.0f ? zero + 89.0f : y;
  y = x != x ? zero : y;
  F r;
  const auto n = reduce(y, r);
  const F e = scale(exp_reduced(r), n);
  return x != x ? x : e;
}
#endif
template <class F> INLINE F expm1(F x) {
  const F zero = F{};
  F y = x < -20.0f ? zero - 20.0f : x;
  y = y > 89.0f ? zero + 89.0f : y;
  y = x != x ? zero : y;
  F r;
  const auto n = reduce(y, r);
  F p = zero + 0.0013882395578548312f;
  p = fused(p, r, zero + 0.008367180824279785f);
  p = fused(p, r, zero + 0.04166722297668457f);
  p = fused(p, r, zero + 0.16666539013385773f);
  p = fused(p, r, zero + 0.4999999701976776f);
  p = fused(p, r * r, r);
  const F back = of_bits<F>((127 - (n < 100 ? n : n - n + 100)) << 23);  // 2^-n; beyond 2^-100 it is lost anyway
  const F e = scale(p + (1.0f - back), n);
  return x != x || x == 0.0f ? x : e;
}
// log(2^k (1 + f)), 1 + f between the square roots of 1/2 and 2.
template <class F> INLINE F log_of(F f, F k) {
  const F zero = F{};
  F p = zero - 0.0764610543847084f;
  p = fused(p, f, zero + 0.12779121100902557f);
  p = fused(p, f, zero - 0.13164187967777252f);
  p = fused(p, f, zero + 0.14199694991111755f);
  p = fused(p, f, zero - 0.16622765362262726f);
  p = fused(p, f, zero + 0.2000129222869873f);
  p = fused(p, f, zero - 0.25000837445259094f);
  p = fused(p, f, zero + 0.3333333134651184f);
  const F square = f * f;
  p = p * f * square;
  p = fused(k, zero - 2.12194440e-4f, p);
  p = fused(square, zero - 0.5f, p);
  return fused(k, zero + 0.693359375f, f + p);
}
// The exponent k of x = 2^k m with m between the square roots of 1/2 and 2.
template <class F> INLINE as_signed<F> exponent(F x) { return (to_bits(x) - 0x3f3504f3) >> 23; }
template <class F> INLINE F log(F x) {
  const F zero = F{};
  const F y = x < 1.17549435e-38f ? x * 8388608.0f : x;
  const auto k = exponent(y);
  const F m = of_bits<F>(to_bits(y) - (k << 23));
  F r = log_of(m - 1.0f, cast<F>(k) - (x < 1.17549435e-38f ? zero + 23.0f : zero));
  r = x == 0.0f ? zero - infinity<f32>() : r;
  r = x < 0.0f ? zero + not_a_number<f32>() : r;
  return x < infinity<f32>() ? r : x;  // also NaN
}
template <class F> INLINE F log1p(F x) {
  const F zero = F{};
  const F u = 1.0f + x;
  const auto k = exponent(u);
  const F m = of_bits<F>(to_bits(u) - (k << 23));
  const F lost = x < 1.0f ? x - (u - 1.0f) : 1.0f - (u - x);  // what rounding 1 + x dropped
  const auto most = k < 126 ? k : k - k + 126;
  F r = log_of((m - 1.0f) + lost * of_bits<F>((127 - most) << 23), cast<F>(k));
  r = magnitude(x) < 1e-10f ? x : r;
  r = x == -1.0f ? zero - infinity<f32>() : r;
  r = x < -1.0f ? zero + not_a_number<f32>() : r;
  return x < infinity<f32>() ? r : x;
}
template <class F> INLINE F sigmoid(F x) {
  const F e = exp(-magnitude(x));
  return (x < 0.0f ? e : F{} + 1.0f) / (1.0f + e);
}
template <class F> INLINE F tanh(F x) {
  const F a = magnitude(x), e = expm1(2.0f * (a > 10.0f ? F{} + 10.0f : a));
  const F t = e / (e + 2.0f);
  return of_bits<F>(to_bits(t) | (to_bits(x) & (to_bits(x) ^ to_bits(a))));
}
template <class F> INLINE F logaddexp(F a, F b) {
  const F high = maximum(a, b), low = minimum(a, b);
  const F r = high + log1p(exp(low - high));
  return low == -infinity<f32>() ? high : high == infinity<f32>() ? high : r;
}
