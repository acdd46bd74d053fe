// Leaves of wide elements: where the array of each stands in the memory of the operation, and how it gets there.
#pragma once
#include "cells.h"
#include "driver.h"

// One leaf: the number of its array, its dtype there, and its place in the memory of the operation: `rows` rows of
// `columns` lanes.
template <int array, class D, class V, int rows, int columns, int pitch, int offset> struct event {
  typedef typename D::item item;
  static constexpr int number = array, whole = columns / W * W, rest = columns - whole;
  INLINE void take(u8* memory, const u8* from, ms_int lane) { read<false>(memory, from, lane); }
  template <bool added> INLINE void read(u8* memory, const u8* from, ms_int lane) {
    const item* p = (const item*)from;
    item_of<V>* to = array_at<V>(memory, offset);
    for (int i = 0; i < rows; ++i, p += columns * lane, to += pitch) {
      item b[whole + W];
      const item* row = p;
      if (lane != 1) {
        for (int j = 0; j < columns; ++j) b[j] = p[j * lane];
        row = b;
      }
      for (int j = 0; j < whole; j += W) write<added>(to + j, D::load(row + j));
      if constexpr (rest > 0) write<added>(to + whole, load_rest(row + whole));
    }
  }
  template <bool added> INLINE void write(item_of<V>* to, V v) {
    if constexpr (added) put<V>(to, load_bits<V>(to) + v);
    else put<V>(to, v);
  }
  INLINE V load_rest(const item* p) {
    if constexpr (sizeof(item) >= 4 && sizeof(item) == sizeof(item_of<V>)) return load_few<false, V>(p, rest);
    else {
      item b[W] = {};
      __builtin_memcpy(b, p, rest * sizeof(item));
      return D::load(b);
    }
  }
  INLINE void give(u8* memory, u8* to) {
    item* p = (item*)to;
    const item_of<V>* from = array_at<V>(memory, offset);
    for (int i = 0; i < rows; ++i, p += columns, from += pitch) {
      for (int j = 0; j < whole; j += W) store_bits(p + j, D::bits(load_bits<V>(from + j)));
      if constexpr (rest > 0) {
        item b[W];
        store_bits(b, D::bits(load_bits<V>(from + whole)));
        copy_few<W / 2>(p + whole, b, rest);
      }
    }
  }
  INLINE const u8* input(const ms_array& a, ms_int first, ms_int t, ms_int j) {
    return (const u8*)((const item*)a.data + first + t * a.axis + j * a.inner);
  }
};

template <class... E> struct event_list {
  INLINE void take(const piece& p, ms_int t, ms_int j, u8* memory) {
    (E::take(memory, E::input(p.g->inputs[E::number], p.in[E::number], t, j), p.g->inputs[E::number].lane), ...);
  }
  INLINE void add(const piece& p, ms_int t, ms_int j, u8* memory) {
    (E::template read<true>(memory, E::input(p.g->inputs[E::number], p.in[E::number], t, j),
                            p.g->inputs[E::number].lane),
     ...);
  }
  INLINE void give(const piece& p, ms_int t, ms_int j, u8* memory) {
    (E::give(memory, (u8*)E::input(p.g->outputs[E::number], p.out[E::number], t, j)), ...);
  }
  INLINE void take_init(const piece& p, ms_int j, u8* memory) {
    (E::take(memory, E::input(p.g->inits[E::number], p.init[E::number], 0, j), p.g->inits[E::number].lane), ...);
  }
  INLINE void give_carry(const piece& p, ms_int j, u8* memory) {
    (E::give(memory, (u8*)E::input(p.g->carries[E::number], p.carry_out[E::number], 0, j)), ...);
  }
};
