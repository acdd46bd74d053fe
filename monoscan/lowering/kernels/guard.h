// What is not ordinary among states: NaN, and infinities that no element need hold.
//
// A loop that cuts time combines partial folds, which may overflow where the fold in order does not. It looks for that,
// and does in order what came out bad. `guarded` says whether anything can go wrong, `whole_watch` whether what a
// right operand holds spoils the whole.
#pragma once
#include "state.h"

template <class V> INLINE V multiply_add(V a, V b, V c) {
#if __has_builtin(__builtin_elementwise_fma)
  return __builtin_elementwise_fma(a, b, c);
#elif defined(__FMA__)
  if constexpr (sizeof a == 32 && sizeof a[0] == 4) return __builtin_ia32_vfmaddps256(a, b, c);
  if constexpr (sizeof a == 32 && sizeof a[0] == 8) return __builtin_ia32_vfmaddpd256(a, b, c);
#if defined(__AVX512F__)
  if constexpr (sizeof a == 64 && sizeof a[0] == 4)
    return __builtin_ia32_vfmaddps512_mask(a, b, c, (unsigned short)-1, 4);
  if constexpr (sizeof a == 64 && sizeof a[0] == 8)
    return __builtin_ia32_vfmaddpd512_mask(a, b, c, (unsigned char)-1, 4);
#endif
#endif
  return a * b + c;
}

// Bad: NaN, or an infinity that is not ordinary.
template <int flags, class V> INLINE as_signed<V> is_bad(V x) {
  constexpr item_of<V> most = sizeof(item_of<V>) == 4 ? (item_of<V>)0x1.fffffep127 : (item_of<V>)0x1.fffffffffffffp1023;
  if constexpr ((flags & HIGH) && (flags & LOW)) return (as_signed<V>)(x - x != 0);
  else if constexpr ((flags & HIGH) != 0) return (as_signed<V>)~(x <= most);
  else if constexpr ((flags & LOW) != 0) return (as_signed<V>)~(x >= -most);
  else return (as_signed<V>)(x != x);
}
template <class L, int which, class S> INLINE i32v bad_lane(const S& s) {
  if constexpr ((L::flags & WATCHED) && (L::flags & which))
    return __builtin_convertvector(is_bad<L::flags>(s.*L::member), i32v);
  else return i32v{};
}
// Spoilt: bad, and not because it was so before for ever.
template <class L, int which> INLINE i32v spoilt_lane(const state& before, const state& s) {
  const i32v now = bad_lane<L, which>(s);
  if constexpr ((L::flags & LASTING) != 0) return now & ~bad_lane<L, which>(before);
  else return now;
}
template <int which, class S, class... L> INLINE i32v bad_lanes(const S& s, lanes<L...>) {
  return (i32v{} | ... | bad_lane<L, which>(s));
}
template <int which, class... L> INLINE i32v spoilt_lanes(const state& before, const state& s, lanes<L...>) {
  return (i32v{} | ... | spoilt_lane<L, which>(before, s));
}
INLINE i32v bad(const state& s) { return bad_lanes<CARRIED>(s, registers()); }
INLINE i32v spoilt(const state& before, const state& s) { return spoilt_lanes<CARRIED>(before, s, registers()); }
INLINE i32v spoilt_results(const state& before, const state& s) { return spoilt_lanes<RESULT>(before, s, registers()); }

// A test that holds if any of some states is bad, and hardly ever else: a sum tells of all its terms. Products of two
// by two, added up, are half as many operations, and nothing makes them finite again.
struct suspicion {
  f32v sum32;
  f64v sum64;
  i32v bad32;
  i64v bad64;
};
template <class L, int n, class V, int... i> INLINE V sum_of(const state (&s)[n], V total, seq<i...>) {
  ((total = multiply_add(s[2 * i].*L::member, s[2 * i + 1].*L::member, total)), ...);
  if constexpr (n % 2 == 1) total = total + s[n - 1].*L::member;
  return total;
}
template <class L, int n, int... i> INLINE auto bad_of(const state (&s)[n], seq<i...>) {
  return (is_bad<L::flags>(s[i].*L::member) | ...);
}
// Which of the four a lane adds to.
template <class L>
constexpr int kind_of = (L::flags & WATCHED ? 1 : 0)
                        << ((L::flags & HIGH) && (L::flags & LOW) ? 0 : 2) << (L::size == 8 ? 1 : 0);
template <class L, int which, int n> INLINE void suspect_lane(suspicion& all, const state (&s)[n]) {
  if constexpr ((L::flags & which) != 0) {
    if constexpr (kind_of<L> == 1) all.sum32 = sum_of<L>(s, all.sum32, upto<n / 2>());
    if constexpr (kind_of<L> == 2) all.sum64 = sum_of<L>(s, all.sum64, upto<n / 2>());
    if constexpr (kind_of<L> == 4) all.bad32 |= bad_of<L>(s, upto<n>());
    if constexpr (kind_of<L> == 8) all.bad64 |= bad_of<L>(s, upto<n>());
  }
}
template <int which, int n, class... L> INLINE void suspect(suspicion& all, const state (&s)[n], lanes<L...>) {
  (suspect_lane<L, which>(all, s), ...);
}
template <class V> INLINE bool sum_not_finite(V x) {
#if defined(__AVX512DQ__)  // one instruction: quiet NaN, infinities, signalling NaN
  if constexpr (sizeof(V) == 64 && sizeof(x[0]) == 4)
    return __builtin_ia32_fpclassps512_mask(x, 0x99, (unsigned short)-1);
  if constexpr (sizeof(V) == 64 && sizeof(x[0]) == 8)
    return __builtin_ia32_fpclasspd512_mask(x, 0x99, (unsigned char)-1);
#endif
  if constexpr (sizeof(V) == 64) {  // the sum of both halves tells as well, and is quicker to test
    typedef typename vector_of<item_of<V>, W / 2>::type half;
    const halves_of<half> h = bit_cast<halves_of<half>>(x);
    const half y = h.low + h.high;
    return any(y - y != 0);
  } else {
    return any(x - x != 0);
  }
}
template <class... L> INLINE bool raised(const suspicion& all, lanes<L...>) {
  constexpr int kinds = (0 | ... | kind_of<L>);
  bool found = false;
  if constexpr ((kinds & 1) != 0) found = found | sum_not_finite(all.sum32);
  if constexpr ((kinds & 2) != 0) found = found | sum_not_finite(all.sum64);
  if constexpr ((kinds & 4) != 0) found = found | any(all.bad32);
  if constexpr ((kinds & 8) != 0) found = found | any(all.bad64);
  return __builtin_expect(found, 0);
}
template <int n, int m> INLINE bool suspicious(const state (&results)[n], const state (&carries)[m]) {
  suspicion all = {};
  suspect<RESULT>(all, results, registers());
  suspect<CARRIED>(all, carries, registers());
  return raised(all, registers());
}
template <int m> INLINE bool suspicious(const state (&carries)[m]) {
  suspicion all = {};
  suspect<CARRIED>(all, carries, registers());
  return raised(all, registers());
}
