// The elements and the results of an aggregator: what `prepare` makes of inputs as they are loaded, and what `present`
// makes of states as they are stored. Neither elements nor states are in memory.
//
// The generated text gives
//   READS, READS_AGAIN, WRITES(each)
//                       each(array, dtype, lanes of the leaf, lane, member): the inputs that elements are made of,
//                       those that are read for outputs, and these
//   PRESENTS            there are outputs
#pragma once
#include "gpu/memory.h"

namespace ms {

// The place in memory of a position in fold order.
INLINE i32 in_memory(i32 n, i32 place) { return reverse ? n - 1 - place : place; }
template <class A> INLINE state load(A a, places at, i32 n, i32 place, captures k) {
  const i32 i = in_memory(n, place);
  operation::operands x;
  READS(READ)
  return operation::prepare(x, k);
}
#ifdef PRESENTS
template <class A> INLINE operation::operands read_again(A a, places at, i32 i) {
  operation::operands x;
  READS_AGAIN(READ)
  return x;
}
template <class A> INLINE void store(A a, places at, i32 n, i32 place, state s, captures k) {
  const i32 i = in_memory(n, place);
  const operation::presented x = operation::present(s, read_again(a, at, i), k);
  WRITES(WRITE)
}
#else
template <class A> INLINE void store(A, places, i32, i32, state, captures) {}
#endif

}  // namespace ms
