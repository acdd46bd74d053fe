// Which array of one list holds the lanes of an array of another.
#pragma once
#include "leaf.h"

template <class A, class B> constexpr bool same_lanes() {
  constexpr auto a = A::template member<0>;
  constexpr auto b = B::template member<0>;
  if constexpr (__is_same(decltype(a), decltype(b))) return a == b;
  else return false;
}
template <class A, template <class...> class List, class... B> constexpr int holder_of(List<B...>) {
  int found = -1;
  ((same_lanes<A, B>() ? found = B::index : 0), ...);
  return found;
}
template <class Holders, class... A> struct holders {
  static constexpr int at[] = {holder_of<A>(Holders())..., -1};
};
// The number of the one for each of a list.
template <template <class...> class List, class... A, class Holders>
constexpr const int* holders_of(List<A...>, Holders) {
  return holders<Holders, A...>::at;
}
template <class List> struct facts_of;
template <template <class...> class List, class... A> struct facts_of<List<A...>> {
  static constexpr leaf_facts at[] = {
      {A::index, A::lanes, (int)sizeof(typename A::item), false, is_bfloat<typename A::dtype>}..., {}};
  static constexpr leaf_list list = {at, sizeof...(A), 0};
};
