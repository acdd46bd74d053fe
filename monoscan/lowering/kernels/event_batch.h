// Leaves of W wide elements, each of another row: a vector for each lane, and how they get there.
#pragma once
#include "element_rows.h"
#include "driver.h"
#include "events.h"
#include "lane_sums.h"

// Where the items of W elements stand: each element begins `first` items from here, and its items are `lane` apart.
// Only so many are written. By reference: as an argument it would be read in vectors from what was stored in scalars.
template <class item> struct batch_items {
  item* at;
  const ms_int* first;
  ms_int lane, count;
  INLINE item* of(const batch_items& x, int element) { return x.at + x.first[element]; }
  // Whether elements of one item are side by side.
  bool abreast() const {
    ms_int apart = W - count;
    for (int l = 1; l < W; ++l) apart |= first[l] ^ (first[0] + l);
    return apart == 0;
  }
};

// Lanes of as many bytes as items come four at a time; all others one by one.
template <class D, class V>
constexpr bool by_fours = sizeof(typename D::item) >= 4 && sizeof(typename D::item) == sizeof(item_of<V>);

// Four items of every fourth element.
template <class V, class Items> INLINE V quads_of(const Items& from, int i, int element) {
  typedef quad<V> Q;
  const auto at = [&](int l) { return load_bits<Q>(Items::of(from, element + l) + i); };
  if constexpr (W == 4) return at(0);
  else if constexpr (W == 8) return join<V>(at(0), at(4), upto<4>());
  else {
    typedef typename vector_of<item_of<V>, 8>::type H;
    return join<V>(join<H>(at(0), at(4), upto<4>()), join<H>(at(8), at(12), upto<4>()), upto<8>());
  }
}
template <bool added, class V> INLINE void write_lane(V* to, V v) {
  if constexpr (added) *to = *to + v;
  else *to = v;
}
template <bool added, class D, class V>
NOINLINE void take_lanes(V* to, int size, const batch_items<typename D::item>& from) {
  typedef batch_items<typename D::item> items;
  int i = 0;
  if (size == 1 && from.abreast()) return write_lane<added>(to, D::load(from.at + from.first[0]));
  if constexpr (by_fours<D, V>)
    for (; from.lane == 1 && i + 4 <= size; i += 4) {
      V a = quads_of<V>(from, i, 0), b = quads_of<V>(from, i, 1);
      V c = quads_of<V>(from, i, 2), d = quads_of<V>(from, i, 3);
      transpose(a, b, c, d);
      write_lane<added>(to + i, a), write_lane<added>(to + i + 1, b);
      write_lane<added>(to + i + 2, c), write_lane<added>(to + i + 3, d);
    }
  for (; i < size; ++i) {
    typename D::item b[W];
    for (int l = 0; l < W; ++l) b[l] = items::of(from, l)[i * from.lane];
    write_lane<added>(to + i, D::load(b));
  }
}

template <class V, class Items, int start, int... l>
INLINE void give_quad(const V* x, const Items& to, int i, seq<l...>) {
  typedef seq<start, start + 1, start + 2, start + 3> lanes;
  ((start + l < to.count ? store_bits(Items::of(to, start + l) + i, quad_from(x[l], lanes())) : void()), ...);
}
template <class V, class Items, int... group>
INLINE void give_quads(const V* x, const Items& to, int i, seq<group...>) {
  (give_quad<V, Items, 4 * group>(x, to, i, upto<4>()), ...);
}
template <class D, class V> NOINLINE void give_lanes(const V* from, int size, const batch_items<typename D::item>& to) {
  typedef batch_items<typename D::item> items;
  int i = 0;
  if (size == 1 && to.abreast()) return store_bits(to.at + to.first[0], D::bits(from[0]));
  if constexpr (by_fours<D, V>)
    for (; i + 4 <= size; i += 4) {
      V x[] = {from[i], from[i + 1], from[i + 2], from[i + 3]};
      transpose(x[0], x[1], x[2], x[3]);
      give_quads(x, to, i, upto<W / 4>());
    }
  for (; i < size; ++i) {
    typename D::item b[W];
    store_bits(b, D::bits(from[i]));
    for (int l = 0; l < to.count; ++l) items::of(to, l)[i] = b[l];
  }
}

// Sums over the elements of W vectors and fewer, added to the items of one element.
template <int n, class V> INLINE void give_lane_sums(const V* from, int count, item_of<V>* to) {
  V v[n];
  for (int i = 0; i < n; ++i) v[i] = first_lanes(from[i], count);
  const V sums = lane_sums<n>(v);
  if constexpr (n == W) store_bits(to, load_bits<V>(to) + sums);
  else {
    item_of<V> b[W];
    store_bits(b, sums);
    for (int i = 0; i < n; ++i) to[i] += b[i];
  }
}
template <class V> NOINLINE void give_sums(const V* from, int size, int count, item_of<V>* to) {
  int i = 0;
  for (; i + W <= size; i += W) give_lane_sums<W>(from + i, count, to + i);
  for (; i < size; ++i) give_lane_sums<1>(from + i, count, to + i);
}

// One leaf: the number of its array, its dtype there, and its place in the memory of the operation: `rows` rows of
// `columns` vectors.
template <int array, class D, class V, int rows, int columns, int pitch, int offset> struct event {
  typedef typename D::item item;
  typedef batch_items<item> items;
  static constexpr int number = array, lanes = rows * columns, place = offset;
  static constexpr bool bfloat = is_bfloat<D>;
  static_assert(pitch == columns, "vectors without gaps");
  INLINE bool fits(const ms_launch*) { return true; }
  INLINE items find(const ms_array& a, const ms_int* first, ms_int t, ms_int, const piece& p) {
    return {(item*)a.data + t * a.axis, first + number * W, a.lane, p.c1};
  }
  // Elements of a few items lie beside each other, and one step far from the next; longer ones are walked in a row.
  template <bool written> INLINE void fetch(const items& x) {
    if constexpr (rows * columns * sizeof(item) < 64) {
      __builtin_prefetch(items::of(x, 0), written);
      __builtin_prefetch(items::of(x, W - 1), written);
    }
  }
  template <bool added> INLINE void take(u8* memory, const items& from) {
    take_lanes<added, D>(array_at<V>(memory, offset), rows * columns, from);
  }
  INLINE void give(u8* memory, const items& to) { give_lanes<D>(array_at<V>(memory, offset), rows * columns, to); }
  // Added to what other rows have put there: to items of each element, or to those that all of them are `alike`.
  INLINE void give_sum(const u8* memory, const items& to, bool alike) {
    const V* const from = array_at<V>((u8*)memory, offset);
    if (alike) return give_sums<V>(from, rows * columns, to.count, to.at + to.first[0]);
    for (int i = 0; i < rows * columns; ++i)
      for (int l = 0; l < to.count; ++l) items::of(to, l)[i] += from[i][l];
  }
};

// The same of a leaf that is one and the same in W rows: an element in rows of lanes, each of which is spread as it is
// read.
template <int array, class D, class V, int rows, int columns, int pitch, int offset> struct shared_event {
  typedef typename D::item item;
  typedef element_items<item> items;
  static constexpr int number = array, lanes = rows * columns, place = offset;
  static constexpr bool bfloat = is_bfloat<D>;
  INLINE bool fits(const ms_launch* g) { return g->inputs[array].inner == 0 && g->inner % W == 0; }
  INLINE items find(const ms_array& a, const ms_int* first, ms_int t, ms_int, const piece&) {
    return {(item*)a.data + first[number * W] + t * a.axis, a.lane};
  }
  template <bool written> INLINE void fetch(items x) { fetch_element<written, item, rows * columns>(x.at); }
  template <bool added> INLINE void take(u8* memory, items from) {
    element_rows<D, V, rows, columns, pitch>::template take<added>(items_at<V>(memory, offset), from);
  }
};

// W rows of elements at once.
static constexpr int rows_of_block = W;
template <class Row> INLINE void each_row(const piece&, Row row) { row(0); }
// The columns of a piece, for which there is no table yet. Behind the last one there are none: they read what it reads.
INLINE ms_int table_bytes(int arrays) { return arrays * W * (int)sizeof(ms_int); }
static void note_columns(const ms_int*& first, const ms_array* a, int count, const piece& p, ms_int j, ms_int*& table) {
  for (int i = 0; i < count; ++i)
    for (int l = 0; l < W; ++l) table[i * W + l] = first[i] + (a ? least(j + l, p.c1 - 1) * a[i].inner : 0);
  first = table, table += count * W;
}
template <class Row> INLINE void each_block(const piece& p, ms_int* table, Row row) {
  for (ms_int j = p.c0; j < p.c1; j += W) {
    piece q = p;
    ms_int* free = table;
    note_columns(q.in, p.g->inputs, facts.inputs, p, j, free),
        note_columns(q.out, p.g->outputs, facts.outputs, p, j, free);
    note_columns(q.init, p.g->has_init ? p.g->inits : nullptr, facts.inits, p, j, free);
    note_columns(q.carry_out, p.g->want_carry ? p.g->carries : nullptr, facts.carries, p, j, free);
    q.c1 = least(W, p.c1 - j);
    row(q, 0);
  }
}
INLINE void schedule_events(const ms_launch* g, struct ms_schedule* s) { schedule_batches(g, s); }
INLINE void run_events(const ms_launch* g, ms_int task) { run_batches(g, task); }
