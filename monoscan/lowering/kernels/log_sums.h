// Sums of products in log space: out[i][j] = log sum_k exp(a[i][k] + b[k][j]).
//
// A row of a is shifted by its greatest term and a column of b likewise, so that there is one exponential an entry, a
// plain sum of products, and one logarithm. What underflows in a sum of n terms is below n 2^-126, so a sum of at
// least n 2^-102 is right to rounding. Where one is not (most entries are -inf, or one is NaN or inf), that row is
// done again with the greatest of its own terms in front, which is always right, and costs an exponential a term.
#pragma once
#include "cells.h"
#include "maths.h"

template <class V> INLINE V larger(V a, V b) { return a > b ? a : b; }
// What to shift by: nothing, where all terms are -inf.
template <class V> INLINE V shift_by(V greatest) { return greatest == -infinity<item_of<V>>() ? V{} : greatest; }

template <int n> struct turn_rule {
  static constexpr int at(int lane) { return (lane + n) % W; }
};
template <int n, class V> INLINE V greatest_lane(V x) {
  if constexpr (n >= E) return x;
  else return greatest_lane<2 * n>(larger(x, permute(x, x, pattern<turn_rule<n>>())));
}

template <class V, int columns, int terms, class A, class B>
NOINLINE void log_sums_by_terms(const A& a, const B& b, cell<V>* out, int i, int j, as_signed<V> wanted) {
  V most = a.get(i, j, 0, columns - j) + b.get(i, j, 0, columns - j), sum = {};
  for (int k = 1; k < terms; ++k) most = maximum(most, a.get(i, j, k, columns - j) + b.get(i, j, k, columns - j));
  const V shift = shift_by(most);
  for (int k = 0; k < terms; ++k) sum = sum + exp(a.get(i, j, k, columns - j) + b.get(i, j, k, columns - j) - shift);
  const V found = shift + log(sum);
  put(out + j, wanted ? (most == infinity<item_of<V>>() ? most : found) : load_bits<V>(out + j));
}

// The exponentials of a row of a, shifted; what is not there is nothing.
template <class V, int terms, class A> INLINE cell<V> exp_row(const A& a, int i, cell<V>* to) {
  V most = splat<V>(-infinity<item_of<V>>());
  for (int k = 0; k < terms; k += E) {
    const V x = get<V, A::terms>(a.at + i * A::rows + k * A::terms, terms - k);
    put(to + k, first_lanes<V>(terms - k) ? x : splat<V>(-infinity<item_of<V>>()));
    most = larger(load_bits<V>(to + k), most);
  }
  const V shift = shift_by(greatest_lane<1>(most));
  for (int k = 0; k < terms; k += E) put(to + k, exp(load_bits<V>(to + k) - shift));
  if constexpr (E == 1) return shift;
  else return shift[0];
}
template <class V, int columns, int terms, class B> INLINE V exp_columns(const B& b, int j, cell<V>* to, int pitch) {
  V most = b.get(0, j, 0, columns - j);
  for (int k = 1; k < terms; ++k) most = larger(b.get(0, j, k, columns - j), most);
  const V shift = shift_by(most);
  for (int k = 0; k < terms; ++k) put(to + k * pitch, exp(b.get(0, j, k, columns - j) - shift));
  return shift;
}

struct plain_sums {
  static constexpr bool brackets = true;
  template <class V> INLINE V plus(V a, V b) { return a + b; }
  template <class V> INLINE V times(V a, V b) { return a * b; }
};
constexpr int up_to_whole(int lanes) { return (lanes + E - 1) / E * E; }

// The logarithm of some sums, or the exact form where that is not certain.
template <class V, int columns, int terms, class A, class B>
INLINE void give_log(const A& a, const B& b, V sum, cell<V> shift, V shifted, cell<V>* out, int i, int j) {
  typedef item_of<V> item;
  constexpr item least_sum = terms * (sizeof(item) == 4 ? (item)0x1p-102 : (item)0x1p-960);
  put(out + j, shift + (shifted + log(sum)));
  const as_signed<V> unsure = ~(sum >= least_sum) & first_lanes<V>(columns - j);
  if (__builtin_expect(any(unsure), 0)) log_sums_by_terms<V, columns, terms>(a, b, out, i, j, unsure);
}
template <class V, int rows, int columns, int terms, class A, class B>
INLINE void log_sums_shifted(const A& a, const B& b, cell<V>* out, int pitch) {
  constexpr int wide = up_to_whole(terms);
  alignas(64) cell<V> left[rows * wide], right[terms * E], sums[rows * E];
  cell<V> shift[rows];
  for (int i = 0; i < rows; ++i) shift[i] = exp_row<V, terms>(a, i, left + i * wide);
  for (int j = 0; j < columns; j += E) {
    const V shifted = exp_columns<V, columns, terms>(b, j, right, E);
    sums_of_products<plain_sums, rows, E, terms>(operand<V, wide, 0, 1>{left}, operand<V, 0, 1, E>{right}, sums, E);
    for (int i = 0; i < rows; ++i)
      give_log<V, columns, terms>(a, b, load_bits<V>(sums + i * E), shift[i], shifted, out + i * pitch, i, j);
  }
}

// Of a factor that is the same at every step: the exponentials of its columns, shifted, and the shifts.
template <int columns, int terms, class B>
INLINE void log_factor(const B& b, cell<typename B::value>* to, cell<typename B::value>* shifts) {
  for (int j = 0; j < columns; j += E)
    put(shifts + j, exp_columns<typename B::value, columns, terms>(b, j, to + j, up_to_whole(columns)));
}
template <int rows, int columns, int terms, class A, class B>
NOINLINE void log_sums_of_factor(const A& a, const B& b, const cell<typename A::value>* factor,
                                 const cell<typename A::value>* shifts, cell<typename A::value>* out, int pitch) {
  typedef typename A::value V;
  constexpr int deep = up_to_whole(terms), wide = up_to_whole(columns);
  alignas(64) cell<V> left[rows * deep], sums[rows * wide];
  cell<V> shift[rows];
  for (int i = 0; i < rows; ++i) shift[i] = exp_row<V, terms>(a, i, left + i * deep);
  sums_of_products<plain_sums, rows, wide, terms>(operand<V, deep, 0, 1>{left}, operand<V, 0, 1, wide>{factor}, sums,
                                                  wide);
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; j += E)
      give_log<V, columns, terms>(a, b, load_bits<V>(sums + i * wide + j), shift[i], load_bits<V>(shifts + j),
                                  out + i * pitch, i, j);
}

// `shifted`: a does not depend on the column, and b not on the row.
template <bool shifted, int rows, int columns, int terms, class A, class B>
NOINLINE void log_sums(const A& a, const B& b, cell<typename A::value>* out, int pitch) {
  typedef typename A::value V;
  if constexpr (shifted) log_sums_shifted<V, rows, columns, terms>(a, b, out, pitch);
  else
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; j += E)
        log_sums_by_terms<V, columns, terms>(a, b, out + i * pitch, i, j, ~as_signed<V>{});
}
