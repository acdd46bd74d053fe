// Terms folded as they are computed: a few parts of them side by side, each in order, for one waits for itself at every
// term. `body(k)` is term k, a struct with `plus` of two.
#pragma once
#include "vector.h"

// Up to so many terms are written out; of one part, which is one where terms take long to compute or to add, fewer.
constexpr int WRITTEN_TERMS = 32, WRITTEN_IN_ONE_PART = 8;

template <class T, int first, int last> INLINE T in_halves(const T* sum) {
  if constexpr (last - first == 1) return sum[first];
  else return T::plus(in_halves<T, first, (first + last) / 2>(sum), in_halves<T, (first + last) / 2, last>(sum));
}
// The next term of each part, if there are so many.
template <int count, int k, class T, class Body, int... part>
INLINE void fold_next(const Body& body, T* sum, seq<part...>) {
  ((k + part < count ? void(sum[part] = T::plus(sum[part], body(k + part))) : void()), ...);
}
template <int count, int parts, class T, class Body, int... round>
INLINE void fold_written(const Body& body, T* sum, seq<round...>) {
  (fold_next<count, (round + 1) * parts>(body, sum, upto<parts>()), ...);
}
template <int count, class T, class Body, int... part> INLINE T fold_parts(const Body& body, seq<part...>) {
  constexpr int parts = sizeof...(part), whole = count / parts * parts;
  T sum[] = {body(part)...};
  if constexpr (count <= (parts == 1 ? WRITTEN_IN_ONE_PART : WRITTEN_TERMS))
    fold_written<count, parts>(body, sum, upto<(count - 1) / parts>());
  else {
    for (int k = parts; k < whole; k += parts) ((sum[part] = T::plus(sum[part], body(k + part))), ...);
    fold_next<count, whole>(body, sum, upto<parts>());
  }
  return in_halves<T, 0, parts>(sum);
}
template <int count, int parts, class T, class Body> INLINE T fold_terms(const Body& body) {
  return fold_parts<count, T>(body, upto<parts>());
}
