// Leaves of several items an element, as matrices have: W elements in memory, a register for each item.
#pragma once
#include "dtypes.h"
#include "patterns.h"

// Quads of items: what four lanes of one element make.
template <class V> using quad = typename vector_of<item_of<V>, 4>::type;

// Pairs of items, taken apart and put together.
struct evens_rule {
  static constexpr int at(int lane) { return 2 * lane; }
};
struct odds_rule {
  static constexpr int at(int lane) { return 2 * lane + 1; }
};
template <int half> struct zipped_rule {
  static constexpr int at(int lane) { return half * W / 2 + lane / 2 + lane % 2 * W; }
};
typedef pattern<evens_rule> evens;
typedef pattern<odds_rule> odds;
template <int half> using zipped = pattern<zipped_rule<half>>;

template <int... I, class V> INLINE quad<V> quad_from(V v, seq<I...>) {
#if __has_builtin(__builtin_shufflevector)
  return __builtin_shufflevector(v, v, I...);
#else
  return quad<V>{v[I]...};
#endif
}
template <class V, class Half, int... I> INLINE V join(Half a, Half b, seq<I...>) {
#if __has_builtin(__builtin_shufflevector)
  return __builtin_shufflevector(a, b, I..., (I + (int)sizeof...(I))...);
#else
  return V{a[I]..., b[I]...};
#endif
}
// Four items from each of W / 4 places `step` apart.
template <class V> INLINE V load_quads(const item_of<V>* p, ms_int step) {
  typedef quad<V> Q;
  if constexpr (W == 4) return load_bits<V>(p);
  else if constexpr (W == 8) return join<V>(load_bits<Q>(p), load_bits<Q>(p + step), upto<4>{});
  else {
    typedef typename vector_of<item_of<V>, 8>::type H;
    return join<V>(join<H>(load_bits<Q>(p), load_bits<Q>(p + step), upto<4>{}),
                   join<H>(load_bits<Q>(p + 2 * step), load_bits<Q>(p + 3 * step), upto<4>{}), upto<8>{});
  }
}
