// All leaves of wide elements that a loop reads, or writes; `event`, one of them, is that of `event_lanes.h` or of
// `event_batch.h`.
#pragma once
#include "driver.h"

template <class... Leaf> struct event_list {
  // Whether all that rows side by side should share is shared.
  INLINE bool fit([[maybe_unused]] const ms_launch* g) { return (Leaf::fits(g) && ...); }
  INLINE void take([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int t, [[maybe_unused]] ms_int j,
                   [[maybe_unused]] u8* memory) {
    (Leaf::template take<false>(memory, Leaf::find(p.g->inputs[Leaf::number], p.in, t, j, p)), ...);
  }
  INLINE void add([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int t, [[maybe_unused]] ms_int j,
                  [[maybe_unused]] u8* memory) {
    (Leaf::template take<true>(memory, Leaf::find(p.g->inputs[Leaf::number], p.in, t, j, p)), ...);
  }
  INLINE void give([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int t, [[maybe_unused]] ms_int j,
                   [[maybe_unused]] u8* memory) {
    (Leaf::give(memory, Leaf::find(p.g->outputs[Leaf::number], p.out, t, j, p)), ...);
  }
  // Added to what is there, and to what other rows have put there.
  INLINE void give_sum([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int t, [[maybe_unused]] ms_int j,
                       [[maybe_unused]] const u8* memory) {
    (Leaf::give_sum(memory, Leaf::find(p.g->outputs[Leaf::number], p.out, t, j, p),
                    p.g->outputs[Leaf::number].inner == 0),
     ...);
  }
  // What is needed some steps later: rows lie far apart where there are many.
  template <bool written>
  INLINE void fetch([[maybe_unused]] const piece& p, [[maybe_unused]] const ms_array* arrays,
                    [[maybe_unused]] const ms_int* first, [[maybe_unused]] ms_int t, [[maybe_unused]] ms_int j) {
    (Leaf::template fetch<written>(Leaf::find(arrays[Leaf::number], first, t, j, p)), ...);
  }
  INLINE void take_init([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int j, [[maybe_unused]] u8* memory) {
    (Leaf::template take<false>(memory, Leaf::find(p.g->inits[Leaf::number], p.init, 0, j, p)), ...);
  }
  INLINE void give_carry([[maybe_unused]] const piece& p, [[maybe_unused]] ms_int j, [[maybe_unused]] u8* memory) {
    (Leaf::give(memory, Leaf::find(p.g->carries[Leaf::number], p.carry_out, 0, j, p)), ...);
  }
};

// The arrays of a state in the memory of what walks ahead, and where what walks back reads them; -1: nowhere.
template <int from, int size, int to> struct kept_array {
  static constexpr int bytes = size;
  INLINE void note(const u8* memory, u8* at) { __builtin_memcpy(at, memory + from, size); }
  INLINE void resume(u8* memory, const u8* at) { __builtin_memcpy(memory + from, at, size); }
  INLINE void show([[maybe_unused]] u8* memory, [[maybe_unused]] const u8* at) {
    if constexpr (to >= 0) __builtin_memcpy(memory + to, at, size);
  }
};
template <class... Array> struct kept_arrays {
  static constexpr ms_int bytes = (0 + ... + Array::bytes);
  INLINE void note(const u8* memory, u8* at) { ((Array::note(memory, at), at += Array::bytes), ...); }
  INLINE void resume(u8* memory, const u8* at) { ((Array::resume(memory, at), at += Array::bytes), ...); }
  INLINE void show(u8* memory, const u8* at) { ((Array::show(memory, at), at += Array::bytes), ...); }
};

// What the driver knows of them.
template <class List> struct event_facts;
template <class... Leaf> struct event_facts<event_list<Leaf...>> {
  static constexpr leaf_facts at[] = {
      {Leaf::number, Leaf::lanes, (int)sizeof(typename Leaf::item), false, Leaf::bfloat}..., {}};
  static constexpr leaf_list list = {at, sizeof...(Leaf), 0};
  static constexpr carry_facts carried[] = {{Leaf::number, Leaf::lanes, (int)sizeof(typename Leaf::item), 0}..., {}};
};
// Which one of a list, by its number or its place there, stands where a leaf does; -1: none.
template <bool by_number, class Leaf, class... Held> constexpr int same_place(event_list<Held...>) {
  int found = -1, i = 0;
  ((Held::place == Leaf::place ? found = by_number ? Held::number : i : 0, ++i), ...);
  return found;
}
template <class Held, class... Leaf> struct same_places {
  static constexpr int at[] = {same_place<true, Leaf>(Held())..., -1};
};
// The number of that one for each of a list.
template <class Held, class... Leaf> constexpr const int* numbers_among(event_list<Leaf...>, Held) {
  return same_places<Held, Leaf...>::at;
}
