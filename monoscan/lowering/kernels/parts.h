// Rows of carries of two parts of a row, joined.
#pragma once
#include "guard.h"

// Of W columns: which came out bad, and what they hold instead.
INLINE i32v mend_carries(const piece& p, ms_int j, const state& l, const state& r, state& y, const u8* instead) {
  const i32v wrong = (whole_watch ? spoilt(l, y) | bad(r) : spoilt(l, y)) & (iota < (i32)least(W, p.g->inner - j));
  if (instead) {
    state z;
    registers::get_carry<true>(instead, p.pitch, j, z);
    y = registers::choose(wrong, z, y);
  }
  return wrong;
}
// Of an action there are no parts: what would stand on the right is no state.
template <class Right>
INLINE bool join([[maybe_unused]] const piece& p, [[maybe_unused]] const u8* left, [[maybe_unused]] const u8* right,
                 [[maybe_unused]] const u8* instead) {
  bool wrong = false;
  if constexpr (!action) {
    captures k;
    elements e = {};
    if constexpr (packs_captures) pack_captures(p, e.c);
    for (ms_int j = 0; j < p.g->inner; j += W) {
      state l;
      Right r;
      registers::get_carry<true>(left, p.pitch, j, l), registers::get_carry<true>(right, p.pitch, j, r);
      load_captures(p, e, j, k);
      state y = combine(l, r, k);
      if constexpr (guarded) wrong |= any(mend_carries(p, j, l, r, y, instead));
      registers::put_carry<true>(p.carry, p.pitch, j, y);
    }
  }
  return wrong;
}
bool combine_carries(const piece& p, const u8* left, const u8* right, const u8* instead) {
  return join<element>(p, left, right, instead);
}
