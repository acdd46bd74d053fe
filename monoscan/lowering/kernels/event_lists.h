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
