// All that a loop reads and writes: the leaves of elements and results, and captured arrays.
//
// The generated text says `arity`, how many leaves an element has, and `captured`, how many arrays besides combine
// reads.
#pragma once
#include "leaf.h"

// Pointers to what a loop reads and writes: elements one after the other, and rows of captured arrays.
struct elements {
  const u8* x[arity];
  const u8* c[captured + 1];
};
struct results {
  u8* y[outputs + 1];
};

INLINE ms_int padded(ms_int items) { return padded_to(items, W); }

INLINE ms_int along(const ms_array& a, ms_int at, ms_int j) { return at * a.axis + j * a.inner; }

// All leaves that a loop reads, or writes; element i of each.
template <class... L> struct leaves {
  static constexpr int count = sizeof...(L), bytes = (0 + ... + L::bytes);
  static constexpr leaf_facts facts[] = {L::facts..., {}};
  template <class S> BULK void load(const elements& e, ms_int i, S& s) {
    (L::load((const typename L::item*)e.x[L::index] + i * L::step, s), ...);
  }
  template <class S> BULK void load_part(const elements& e, ms_int i, int m, S& s) {
    (L::load_part((const typename L::item*)e.x[L::index] + i * L::step, m, s), ...);
  }
  template <class S> BULK void store([[maybe_unused]] const results& r, [[maybe_unused]] ms_int i, const S& s) {
    (L::store((typename L::item*)r.y[L::index] + i * L::lanes, s), ...);
  }
  template <class S>
  BULK void store_part([[maybe_unused]] const results& r, [[maybe_unused]] ms_int i, [[maybe_unused]] int m,
                       const S& s) {
    (L::store_part((typename L::item*)r.y[L::index] + i * L::lanes, m, s), ...);
  }
  // From one step to the next: bytes for each leaf, and pointers moved by them.
  INLINE void strides([[maybe_unused]] const ms_array* a, [[maybe_unused]] ms_int steps, [[maybe_unused]] ms_int* by) {
    ((by[L::index] = a[L::index].axis * steps * (int)sizeof(typename L::item)), ...);
  }
  template <class P> INLINE void move([[maybe_unused]] P* at, [[maybe_unused]] const ms_int* by) {
    ((at[L::index] += by[L::index]), ...);
  }
  // One element, in scalar code.
  template <class S>
  INLINE void read([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int at, [[maybe_unused]] ms_int j, S& s) {
    (L::get(L::input(p) + along(p.g->inputs[L::index], at, j), p.g->inputs[L::index].lane, s, typename L::each()), ...);
  }
  template <class S>
  INLINE void write([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int at, [[maybe_unused]] ms_int j,
                    const S& s) {
    (L::put(L::output(p) + along(p.g->outputs[L::index], at, j), s, typename L::each()), ...);
  }
  template <class L1, class S, int... part> INLINE void stream_leaf(typename L1::item* p, const S* s, seq<part...>) {
    (L1::stream(p + part * W * L1::lanes, s[part]), ...);
  }
  template <class S, int... part>
  INLINE void stream([[maybe_unused]] const results& r, [[maybe_unused]] ms_int i, [[maybe_unused]] const S* s,
                     [[maybe_unused]] seq<part...> parts) {
    (stream_leaf<L>((typename L::item*)r.y[L::index] + i * L::lanes, s, parts), ...);
  }
};

// What follows from captured arrays alone, where the generated text says so: it is found as soon as these are read.
template <class S> INLINE auto find_once(S& k, int) -> decltype(S::once(k)) { S::once(k); }
template <class S> INLINE void find_once(S&, ms_int) {}

// What combine reads beside its operands, constant along a row: numbers and captured arrays.
template <class Numbers, class... L> struct constants {
  static constexpr int count = sizeof...(L), bytes = (0 + ... + L::bytes);
  static constexpr leaf_facts facts[] = {L::facts..., {}};
  // Of one row, in every lane.
  template <class S> INLINE void spread([[maybe_unused]] const piece& p, [[maybe_unused]] S& k) {
    Numbers::read(p.g, k);
    (L::spread(L::input(p), p.g->inputs[L::index].lane, k, typename L::each()), ...);
    find_once(k, 0);
  }
  template <class S> INLINE void arrange([[maybe_unused]] S& k, [[maybe_unused]] i32v from) {
    (L::arrange(k, from, typename L::each()), ...);
    find_once(k, 0);
  }
  // Of one column, in scalar code.
  template <class S>
  INLINE void get([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int j, [[maybe_unused]] S& k) {
    Numbers::read(p.g, k);
    (L::get(L::input(p) + along(p.g->inputs[L::index], 0, j), p.g->inputs[L::index].lane, k, typename L::each()), ...);
    find_once(k, 0);
  }
  // Of W columns from the i-th on, packed in rows `pitch` items apart.
  template <bool finds = true, class S>
  INLINE void load([[maybe_unused]] const piece& p, [[maybe_unused]] const elements& e, [[maybe_unused]] ms_int i,
                   [[maybe_unused]] ms_int pitch, [[maybe_unused]] S& k) {
    Numbers::read(p.g, k);
    (L::load_rows((const typename L::item*)e.c[L::index - arity] + i, pitch, k, typename L::each()), ...);
    if constexpr (finds) find_once(k, 0);
  }
};

// Rows of what was found once, for a loop that reads it at every step; they stand one behind the other.
template <class... L> struct held_rows {
  static constexpr int count = sizeof...(L), bytes = (0 + ... + L::bytes);
  template <class S>
  INLINE void load([[maybe_unused]] const u8* b, [[maybe_unused]] ms_int i, [[maybe_unused]] ms_int pitch, S& k) {
    ((L::load_rows((const typename L::item*)b + i, pitch, k, typename L::each()), b += pitch * L::bytes), ...);
  }
  template <class S>
  INLINE void store([[maybe_unused]] u8* b, [[maybe_unused]] ms_int i, [[maybe_unused]] ms_int pitch, const S& k) {
    ((store_bits((typename L::item*)b + i, L::dtype::bits(k.*L::template member<0>)), b += pitch * L::bytes), ...);
  }
};
