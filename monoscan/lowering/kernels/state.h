// The state in registers: what moves its lanes about, and rows of carries, where it waits between pieces.
//
// The generated text gives `operation`, the operator on vectors, `element`, what stands on its right, and `registers`,
// a list of the lanes of its state. It says `action`, whether states are no elements, and then `begins`, whether the
// first element begins one.
#pragma once
#include "memory.h"

typedef operation::state state;
typedef operation::captures captures;

COMBINE state combine(const state& l, const element& r, const captures& k) { return operation::combine(l, r, k); }

// The state that a first element makes: of a scan the element itself. An action of a given state asks for none.
template <class O, class X>
INLINE typename O::state first_of([[maybe_unused]] const X& x, [[maybe_unused]] const captures& k) {
  if constexpr (begins) return O::begin(x, k);
  else if constexpr (!action) return x;
  else return typename O::state();
}
INLINE state first(const element& x, const captures& k) { return first_of<operation>(x, k); }

// What an exclusive scan without an init starts from.
template <class K> INLINE typename K::state identity_of() {
  if constexpr (has_identity) return K::identity();
  else return typename K::state();
}
INLINE state identity() { return identity_of<operation>(); }

// What is said of a lane. Others than the carried ones only partial folds need. What is watched may come out bad: NaN,
// or the infinity of that sign; `lasting`: it stays so for ever.
enum { CARRIED = 1, RESULT = 2, WATCHED = 4, HIGH = 8, LOW = 16, LASTING = 32 };

// One lane: its member of the state, its dtype in rows of carries, and where it stands there, in bytes for each
// column.  `output` is the array of
// results that holds the lane as well, or -1.
template <int place, class D, auto which, int column_bytes, int output_of, int about> struct lane {
  typedef D dtype;
  typedef typename D::item item;
  static constexpr auto member = which;
  static constexpr int number = place, offset = column_bytes, output = output_of, flags = about;
  static constexpr bool carried = flags & CARRIED;
  static constexpr ms_int size = sizeof(item);
};

template <class V> INLINE V choose_lanes(i32v m, V a, V b) {
  if constexpr (sizeof(V) == sizeof(m)) return m ? a : b;
  else return __builtin_convertvector(m, as_signed<V>) ? a : b;
}
template <class V> INLINE V lane_everywhere(V x, int lane) { return splat<V>(x[lane]); }

template <class... L> struct lanes {
  static constexpr int count = sizeof...(L), bytes = (0 + ... + (int)sizeof(typename L::item));
  template <int... I> BULK state shuffle(const state& a, const state& b, seq<I...>) {
    return {MS_PERMUTE(__typeof__(a.*L::member), a.*L::member, b.*L::member, I...)...};
  }
  BULK void transpose(state& a, state& b, state& c, state& d) {
    (::transpose(a.*L::member, b.*L::member, c.*L::member, d.*L::member), ...);
  }
  // `a` where the mask holds, else `b`.
  INLINE state choose(i32v m, const state& a, const state& b) {
    return {choose_lanes(m, a.*L::member, b.*L::member)...};
  }
  INLINE state spread(const state& a, int lane) { return {lane_everywhere(a.*L::member, lane)...}; }

  // A row of carries has `pitch` columns.
  template <bool whole> INLINE void get_carry(const u8* row, ms_int pitch, ms_int j, state& s) {
    (get_lane<whole, L>(row + pitch * L::offset + j * L::size, s), ...);
  }
  template <bool whole, class L1> INLINE void get_lane(const u8* at, state& s) {
    if constexpr (whole || L1::carried) s.*L1::member = L1::dtype::load(at);
  }
  template <bool whole> INLINE void put_carry(u8* row, ms_int pitch, ms_int j, const state& s) {
    (put_lane<whole, L>(row + pitch * L::offset + j * L::size, s), ...);
  }
  template <bool whole, class L1> INLINE void put_lane(u8* at, const state& s) {
    if constexpr (whole || L1::carried) store_bits(at, L1::dtype::bits(s.*L1::member));
  }
  // One column, in scalar code.
  INLINE void get_one(const piece& p, ms_int j, state& s) { ((s.*L::member = L::dtype::get(place<L>(p, j))), ...); }
  INLINE void put_one(const piece& p, ms_int j, const state& s) {
    ((place<L>(p, j) = L::dtype::put(s.*L::member)), ...);
  }
  template <class L1> INLINE typename L1::item& place(const piece& p, ms_int j) {
    return ((typename L1::item*)(p.carry + p.pitch * L1::offset))[j];
  }
  // The carried lanes alone: the others need not be computed.
  INLINE void keep(state& to, const state& from) { (keep_lane<L>(to, from), ...); }
  template <class L1> INLINE void keep_lane(state& to, const state& from) {
    if constexpr (L1::carried) to.*L1::member = from.*L1::member;
  }
};
