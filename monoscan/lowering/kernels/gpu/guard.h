// What is not ordinary among states: NaN, and infinities that no element need hold.
//
// Partial folds may overflow where the fold in order does not. A tile in which that shows is done again in order, by
// one thread, from what truly comes before it; a chunk or a tile whose seed shows it begins at an earlier one. Values
// alone decide that, so that bits do not depend on timing. The generated text gives, where anything can go wrong,
//   GUARDED(each)    each(member, bad if high, bad if low, bad for ever): lanes to look at
// and before this header stands one with `load` and `store`, of one element.
#pragma once
#include "gpu/folds.h"
#include "gpu/memory.h"

namespace ms {

#ifdef GUARDED
enum { guarded = 1 };
#else
enum { guarded = 0 };
#define GUARDED(each)
#endif

enum { finishes = (int)want_results | (int)guarded };  // whether anything asks for results

INLINE bool is_bad(f32 x, bool high, bool low) {
  const f32 most = 3.40282346638528859812e38f;
  return x != x || (high && x > most) || (low && x < -most);
}
#define IS_BAD(member, high, low, lasting) || is_bad(x.value.member, high, low)
INLINE bool bad(prefix x) { return x.has && (false GUARDED(IS_BAD)); }
// Bad, and not because what came before was so for ever.
#define IS_SPOILT(member, high, low, lasting) \
  || (is_bad(x.member, high, low) && !(lasting && before.has && is_bad(before.value.member, high, low)))
INLINE bool spoilt(prefix before, state x) { return false GUARDED(IS_SPOILT); }
INLINE bool any_spoilt(prefix before, LOCAL const state* x, i32 count) {
  bool found = false;
  UNROLL for (i32 v = 0; v < run; ++v) if (v < count) found = found || spoilt(before, x[v]);
  return found;
}

// Whether one of neighbouring lanes says so; all of them learn of it.
INLINE bool any_of(bool mine, u32 lane, u32 lanes) {
  i32 found = mine;
  UNROLL for (u32 distance = 1; distance < lanes; distance *= 2) found |= shuffle(found, lane ^ distance);
  return found != 0;
}
// Whether a thread of the group says so; they take turns at the places of their answers.
INLINE bool group_says(bool mine, totals shared, u32 turn, position here) {
  mine = any_of(mine, here.lane, width);
#ifdef VOTES
  if (here.lane == 0) shared.votes[turn + here.wave] = mine;
  BARRIER();
  for (u32 wave = 0; wave < waves; ++wave) mine = mine || shared.votes[turn + wave] != 0;
#endif
  return mine;
}

// The elements from `i` to `end` one by one: their results where they are shown, and what comes behind them.
template <class A> INLINE prefix in_order(A a, places at, i32 n, i32 i, i32 end, bool shown, prefix carry, captures k) {
  for (; i < end; ++i) {
    const state x = load(a, at, n, i, k);
    if (shown && !inclusive) store(a, at, n, i, or_identity(carry), k);
    carry = append(carry, x, k);
    if (shown && inclusive) store(a, at, n, i, carry.value, k);
  }
  return carry;
}

// A chunk's seed is made of partial folds: where it came out bad, the walk begins at a chunk whose seed did not.
#define IS_LOST(member, high, low, lasting) \
  &&(!is_bad(seed.value.member, high, low) || (lasting && carry.has && is_bad(carry.value.member, high, low)))
// Whether a seed is bad because what comes before is, for ever: there is no need to walk on then.
INLINE bool is_lost(prefix carry, prefix seed) { return true GUARDED(IS_LOST); }

}  // namespace ms
