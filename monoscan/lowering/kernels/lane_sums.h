// Sums over the lanes of vectors, many at once: a tree of shuffles and additions, three instructions a vector.
#pragma once
#include "patterns.h"

// The first m lanes, and zeros.
template <class V> INLINE V first_lanes(V v, int m) {
  if constexpr (sizeof(V) / W == 4) return bit_cast<V>(bit_cast<i32v>(v) & (iota < m));
  else return bit_cast<V>(bit_cast<i64v>(v) & (wide_iota < (i64)m));
}

// Blocks of h lanes: of each pair of them, in one vector and in another, the first, and the second.
template <int h> struct first_blocks {
  static constexpr int at(int lane) { return lane / h % 2 * W + lane / h / 2 * 2 * h + lane % h; }
};
template <int h> struct second_blocks {
  static constexpr int at(int lane) { return first_blocks<h>::at(lane) + h; }
};
template <int h> struct other_block {
  static constexpr int at(int lane) { return lane ^ h; }
};
template <int h, class V> INLINE V add_blocks(V a, V b) {
  return permute(a, b, pattern<first_blocks<h>>()) + permute(a, b, pattern<second_blocks<h>>());
}
template <int h, class V> INLINE V fold_blocks(V a) {
  if constexpr (h == 0) return a;
  else return a + permute(a, a, pattern<other_block<h>>());
}
// Folds each of n vectors until n lanes of it are left, then two to one: lane l of the end is the sum of the l-th.
template <int n, int h, class V> INLINE V sums_from(V* v) {
  if constexpr (h == 0) return v[0];
  else {
    constexpr int left = h >= n ? n : h;
#pragma GCC unroll 16
    for (int i = 0; i < left; ++i) {
      if constexpr (h >= n) v[i] = fold_blocks<h>(v[i]);
      else v[i] = add_blocks<h>(v[i], v[i + h]);
    }
    return sums_from<n, h / 2>(v);
  }
}
// The sums of n vectors, a power of two up to W. They are used up.
template <int n, class V> INLINE V lane_sums(V* v) { return sums_from<n, W / 2>(v); }

constexpr int power_from(int n) {
  int p = 1;
  while (p < n) p *= 2;
  return p;
}
