// The elements and the results of a scan, as they stand in memory.
//
// The generated text gives
//   READS(each), WRITES(each)    each(array, dtype, lanes of the leaf, lane, member)
#pragma once
#include "gpu/memory.h"

namespace ms {

// The element at a place in fold order, and the result there.
INLINE i32 in_memory(i32 n, i32 i) { return reverse ? n - 1 - i : i; }
template <class A> INLINE element load(A a, places at, i32 n, i32 place, captures) {
  const i32 i = in_memory(n, place);
  element x;
  READS(READ)
  return x;
}
template <class A> INLINE void store(A a, places at, i32 n, i32 place, state x, captures) {
  const i32 i = in_memory(n, place);
  WRITES(WRITE)
}

}  // namespace ms
