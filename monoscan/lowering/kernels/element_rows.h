// The lanes of one leaf of one wide element as rows in memory, and how they get there.
#pragma once
#include "cells.h"

// Where the items of an element stand: `lane` apart.
template <class item> struct element_items {
  item* at;
  ms_int lane;
};

template <bool written, class item, int size> INLINE void fetch_element(const item* at) {
  for (int i = 0; i < size * (int)sizeof(item); i += 64) __builtin_prefetch((const u8*)at + i, written);
}

// `rows` rows of `columns` lanes, `pitch` apart.
template <class D, class V, int rows, int columns, int pitch> struct element_rows {
  typedef typename D::item item;
  static constexpr int whole = columns / W * W, rest = columns - whole;
  template <bool added> INLINE void take(item_of<V>* to, element_items<item> from) {
    const item* p = from.at;
    for (int i = 0; i < rows; ++i, p += columns * from.lane, to += pitch) {
      item b[whole + W];
      const item* row = p;
      if (from.lane != 1) {
        for (int j = 0; j < columns; ++j) b[j] = p[j * from.lane];
        row = b;
      }
      for (int j = 0; j < whole; j += W) write<added>(to + j, D::load(row + j));
      if constexpr (rest > 0) write<added>(to + whole, load_rest(row + whole));
    }
  }
  template <bool added> INLINE void write(item_of<V>* to, V v) {
    if constexpr (added) store_bits(to, load_bits<V>(to) + v);
    else store_bits(to, v);
  }
  INLINE V load_rest(const item* p) {
    if constexpr (sizeof(item) >= 4 && sizeof(item) == sizeof(item_of<V>)) return load_few<false, V>(p, rest);
    else {
      item b[W] = {};
      __builtin_memcpy(b, p, rest * sizeof(item));
      return D::load(b);
    }
  }
};
