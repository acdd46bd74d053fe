// The arrays of an adjoint: what the generated text lists.
#pragma once
#include "dtypes.h"

// The lanes of one array: its number in its list, where its pointers stand among all, its dtype, and the members that
// hold its lanes.
template <int array, int first_pointer, class D, auto first, auto... others> struct lanes_of {
  typedef typename D::item item;
  typedef D dtype;
  static constexpr int number = array, index = array, place = first_pointer, lanes = 1 + sizeof...(others);
  typedef upto<lanes> each;
  template <int k> static constexpr auto member = values_of<decltype(first), first, others...>::at[k];
};
template <class... A> struct arrays {};
