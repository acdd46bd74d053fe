// One leaf: how the lanes of an element stand in memory, and how W elements of them come into registers and go back.
//
// The generated text says `from_end`: where fewer than W elements stand in a register, in its last lanes or in its
// first.
#pragma once
#include "events.h"
#include "driver.h"

// The number of its array, its dtype there, and which members of the state hold its lanes.
template <int number, class D, auto first, auto... others> struct leaf {
  typedef D dtype;
  typedef typename D::item item;
  static constexpr int index = number, lanes = 1 + sizeof...(others), step = lanes, bytes = lanes * (int)sizeof(item);
  static constexpr bool wide = sizeof(item) >= 4;
  static constexpr leaf_facts facts = {number, lanes, (int)sizeof(item), false, is_bfloat<D>};
  typedef upto<lanes> each;
  INLINE const item* input(const piece& p) { return (const item*)p.g->inputs[number].data + p.in[number]; }
  INLINE item* output(const piece& p) { return (item*)p.g->outputs[number].data + p.out[number]; }
  template <int k> static constexpr auto member = values_of<decltype(first), first, others...>::at[k];
  // Blocks of four lanes; the last overlaps the one before it.
  template <int quad> static constexpr int start = quad * 4 + 4 <= lanes ? quad * 4 : lanes - 4;

  template <class S> INLINE void load(const item* p, S& s) {
    typedef upto<(lanes + 3) / 4> blocks;
    if constexpr (lanes == 1) s.*first = D::load(p);
    else if constexpr (lanes == 2 && wide) load_pairs(p, s);
    else if constexpr (lanes >= 4 && wide) load_blocks(p, s, blocks{});
    else load_items(p, s, each{});
  }
  template <class S> INLINE void store(item* p, const S& s) {
    typedef upto<(lanes + 3) / 4> blocks;
    if constexpr (lanes == 1) store_bits(p, D::bits(s.*first));
    else if constexpr (lanes == 2 && wide) store_pairs(p, s);
    else if constexpr (lanes >= 4 && wide) store_blocks(p, s, blocks{});
    else store_items(p, s, each{});
  }
  template <class S> INLINE void stream(item* p, const S& s) {
    if constexpr (lanes == 1) stream_bits(p, D::bits(s.*first));
    else store(p, s);
  }
  // m elements, in the first lanes or in the last.
  template <class S> INLINE void load_part(const item* p, int m, S& s) {
    if constexpr (lanes == 1) {
      item b[W];
      store_bits(b, load_few<from_end, decltype(D::bits(s.*first))>(p, m));
      s.*first = D::load(b);
    } else {
      item b[W * lanes] = {};
      __builtin_memcpy(b + (from_end ? (W - m) * lanes : 0), p, (unsigned)(m * lanes) * sizeof *b);
      load(b, s);
    }
  }
  template <class S> INLINE void store_part(item* p, int m, const S& s) {
    if constexpr (lanes == 1) store_few<from_end>(p, m, D::bits(s.*first));
    else {
      item b[W * lanes];
      store(b, s);
      __builtin_memcpy(p, b + (from_end ? (W - m) * lanes : 0), (unsigned)(m * lanes) * sizeof *b);
    }
  }

  template <class S> INLINE void load_pairs(const item* p, S& s) {
    const auto low = D::load(p), high = D::load(p + W);
    s.*member<0> = permute(low, high, evens()), s.*member<lanes - 1> = permute(low, high, odds());
  }
  template <class S> INLINE void store_pairs(item* p, const S& s) {
    const auto a = s.*member<0>, b = s.*member<lanes - 1>;
    store_bits(p, permute(a, b, zipped<0>())), store_bits(p + W, permute(a, b, zipped<1>()));
  }
  template <class S, int... quad> INLINE void load_blocks(const item* p, S& s, seq<quad...>) {
    (load_block<start<quad>>(p + start<quad>, s), ...);
  }
  template <int i, class S> INLINE void load_block(const item* p, S& s) {
    typedef decltype(D::load(p)) V;
    V &a = s.*member<i>, &b = s.*member<i + 1>, &c = s.*member<i + 2>, &d = s.*member<i + 3>;
    a = load_quads<V>(p, 4 * lanes), b = load_quads<V>(p + lanes, 4 * lanes);
    c = load_quads<V>(p + 2 * lanes, 4 * lanes), d = load_quads<V>(p + 3 * lanes, 4 * lanes);
    transpose(a, b, c, d);
  }
  template <class S, int... quad> INLINE void store_blocks(item* p, const S& s, seq<quad...>) {
    (store_block<start<quad>>(p + start<quad>, s, upto<W / 4>{}), ...);
  }
  template <int i, class S, int... group> INLINE void store_block(item* p, const S& s, seq<group...>) {
    auto a = s.*member<i>, b = s.*member<i + 1>, c = s.*member<i + 2>, d = s.*member<i + 3>;
    transpose(a, b, c, d);
    (store_group<group>(p + 4 * group * lanes, a, b, c, d), ...);
  }
  template <int group, class V> INLINE void store_group(item* p, V a, V b, V c, V d) {
    typedef seq<4 * group, 4 * group + 1, 4 * group + 2, 4 * group + 3> quad;
    store_bits(p, quad_from(a, quad{})), store_bits(p + lanes, quad_from(b, quad{}));
    store_bits(p + 2 * lanes, quad_from(c, quad{})), store_bits(p + 3 * lanes, quad_from(d, quad{}));
  }
  template <class S, int... k> INLINE void load_items(const item* p, S& s, seq<k...>) {
    item b[lanes][W];
    for (int i = 0; i < W; ++i)
      for (int j = 0; j < lanes; ++j) b[j][i] = p[i * lanes + j];
    ((s.*member<k> = D::load(b[k])), ...);
  }
  template <class S, int... k> INLINE void store_items(item* p, const S& s, seq<k...>) {
    item b[lanes][W];
    (store_bits(b[k], D::bits(s.*member<k>)), ...);
    for (int i = 0; i < W; ++i)
      for (int j = 0; j < lanes; ++j) p[i * lanes + j] = b[j][i];
  }

  // The same item in every lane.
  template <class S, int... k> INLINE void spread(const item* x, ms_int lane, S& s, seq<k...>) {
    ((s.*member<k> = everywhere_of(x[k * lane])), ...);
  }
  INLINE auto everywhere_of(item value) {
    item b[W];
    for (int i = 0; i < W; ++i) b[i] = value;
    return D::load(b);
  }
  template <class S, int... k> INLINE void load_alike(const item* x, S& s, seq<k...>) {
    if constexpr (sizeof(item) > 1) ((s.*member<k> = splat<decltype(D::load(x))>(D::get(x[k]))), ...);
    else spread(x, 1, s, each{});
  }
  // From rows, one a lane, `pitch` items apart.
  template <class S, int... k> INLINE void load_rows(const item* row, ms_int pitch, S& s, seq<k...>) {
    ((s.*member<k> = D::load(row + k * pitch)), ...);
  }
  template <class S, int... k> INLINE void arrange(S& s, i32v from, seq<k...>) {
    ((s.*member<k> = arrange_lanes(s.*member<k>, from)), ...);
  }
  // One element, in scalar code.
  template <class S, int... k> INLINE void get(const item* p, ms_int lane, S& s, seq<k...>) {
    ((s.*member<k> = D::get(p[k * lane])), ...);
  }
  template <class S, int... k> INLINE void put(item* p, const S& s, seq<k...>) { ((p[k] = D::put(s.*member<k>)), ...); }
};

// Real numbers as complex ones: the items are the real parts that L holds, and these lanes are zero.
template <class L, auto... imaginary> struct real : L {
  typedef typename L::item item;
  template <class S> INLINE void load(const item* p, S& s) { L::load(p, s), clear(s); }
  template <class S> INLINE void load_part(const item* p, int m, S& s) { L::load_part(p, m, s), clear(s); }
  template <class S, int... k> INLINE void get(const item* p, ms_int lane, S& s, seq<k...> each) {
    L::get(p, lane, s, each), clear(s);
  }
  template <class S> INLINE void clear(S& s) { ((s.*imaginary = __typeof__(s.*imaginary){}), ...); }
};

// A leaf of which all columns have the same element.
template <class L> struct alike : L {
  typedef typename L::item item;
  static constexpr int step = 0;
  static constexpr leaf_facts facts = {L::index, L::lanes, (int)sizeof(item), true, is_bfloat<typename L::dtype>};
  template <class S> INLINE void load(const item* p, S& s) { L::load_alike(p, s, typename L::each()); }
  template <class S> INLINE void load_part(const item* p, int, S& s) { load(p, s); }
};
