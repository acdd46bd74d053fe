// A leaf of one wide element: its lanes in vectors, row by row, and how it gets there.
#pragma once
#include "element_rows.h"
#include "driver.h"

// One leaf: the number of its array, its dtype there, and its place in the memory of the operation: `rows` rows of
// `columns` lanes.
template <int array, class D, class V, int rows, int columns, int pitch, int offset> struct event {
  typedef typename D::item item;
  typedef element_items<item> items;
  static constexpr int number = array, whole = columns / W * W, rest = columns - whole;
  static constexpr int lanes = rows * columns, place = offset;
  static constexpr bool bfloat = is_bfloat<D>;
  INLINE bool fits(const ms_launch*) { return true; }
  // Of column j at step t.
  INLINE items find(const ms_array& a, const ms_int* first, ms_int t, ms_int j, const piece&) {
    return {(item*)a.data + first[number] + t * a.axis + j * a.inner, a.lane};
  }
  template <bool written> INLINE void fetch(items x) { fetch_element<written, item, rows * columns>(x.at); }
  template <bool added> INLINE void take(u8* memory, items from) {
    element_rows<D, V, rows, columns, pitch>::template take<added>(array_at<V>(memory, offset), from);
  }
  INLINE void give(u8* memory, items to) {
    item* p = to.at;
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
  // Added to what other rows have put there.
  INLINE void give_sum(const u8* memory, items to, bool) {
    item* p = to.at;
    const item_of<V>* from = array_at<V>((u8*)memory, offset);
    for (int i = 0; i < rows; ++i, p += columns, from += pitch) {
      for (int j = 0; j < whole; j += W) store_bits(p + j, load_bits<V>(p + j) + load_bits<V>(from + j));
      for (int j = whole; j < columns; ++j) p[j] += from[j];
    }
  }
};

// One row of elements after the other.
static constexpr int rows_of_block = 1;
template <class Row> INLINE void each_row(const piece& p, Row row) {
  for (ms_int j = p.c0; j < p.c1; ++j) row(j);
}
template <class Row> INLINE void each_block(const piece& p, ms_int*, Row row) {
  for (ms_int j = p.c0; j < p.c1; ++j) row(p, j);
}
INLINE ms_int table_bytes(int) { return 0; }
INLINE void schedule_events(const ms_launch* g, struct ms_schedule* s) { schedule_rows(g, s); }
INLINE void run_events(const ms_launch* g, ms_int task) { run_rows(g, task); }
