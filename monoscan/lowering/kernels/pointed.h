// Lists of leaves, and a leaf of which all columns have the same element: read where its lanes are used, so that they
// are operands in memory.
#pragma once
#include "leaf.h"

template <class... L> struct arrays {};

template <class D> struct shared_lanes {
  const typename D::item* first;
  ms_int step;
  typename D::item operator[](int k) const { return first[k * step]; }
};
template <int number, class D, auto where, int count> struct pointed {
  typedef typename D::item item;
  static constexpr int index = number, lanes = count;
  static constexpr auto member = where;
};
template <class L> constexpr bool is_pointed = false;
template <int number, class D, auto where, int count>
constexpr bool is_pointed<pointed<number, D, where, count>> = true;
template <class L> constexpr bool is_alike = is_pointed<L>;
template <class L> constexpr bool is_alike<alike<L>> = true;
