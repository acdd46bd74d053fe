// Lanes of states and of gradients, as kernels of windows move them about.
#pragma once
#include "state.h"

// Lanes of a state that are the same in all folds of as many elements: scalars, 8 bytes each in memory.
template <auto... member> struct alone {
  static constexpr ms_int bytes = 8 * sizeof...(member);
  INLINE void put([[maybe_unused]] u8* at, [[maybe_unused]] const state& s) {
    ((__builtin_memcpy(at, &(s.*member), sizeof(s.*member)), at += 8), ...);
  }
  INLINE void get([[maybe_unused]] const u8* at, [[maybe_unused]] state& s) {
    ((__builtin_memcpy(&(s.*member), at, sizeof(s.*member)), at += 8), ...);
  }
  INLINE void take([[maybe_unused]] state& to, [[maybe_unused]] const state& from) {
    ((to.*member = from.*member), ...);
  }
};

template <class... L> INLINE void take_lanes(state& to, const state& from, lanes<L...>) {
  ((to.*L::member = from.*L::member), ...);
}

// The lanes of a gradient.
template <auto... member> struct summed {
  template <class S> INLINE void add(S& to, const S& x) { ((to.*member = to.*member + x.*member), ...); }
  template <class S> INLINE void set(S& to, const S& x) { ((to.*member = x.*member), ...); }
};
