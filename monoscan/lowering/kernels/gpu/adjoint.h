// The elements and the results of an adjoint: a scan of maps g -> J g + w, from the last step of another scan back.
//
// The element at place i belongs to step t = n - 1 - i of the other scan: J holds the derivatives of step t + 1 by its
// left operand, w the cotangents of what step t yields. The result g gives, by step t once more, the cotangents of its
// element and of what it captures. The last step has no J, and the first, where no state is before it, hands its
// cotangents to its element. The generated text gives, besides those of memory.h,
//   RIGHTS, LEFTS, BEFORE, WEIGHTS, ENDS, GRADIENTS, STARTS, LATE(each)
//                       each(array, dtype, lanes of the leaf, lane, member): what steps read of elements and of states,
//                       of the state before the first, the cotangents of results and of the carry, and what is written
//   reverse, late, shifted, seeded
//                       the other scan goes from the last element to the first; its results stand one step late;
//                       states stand where they are made; there is a state before the first step
#pragma once
#include "gpu/memory.h"

namespace ms {

typedef operation::operands operands;
typedef operation::pulled pulled;

// The place in memory of a step of the other scan.
INLINE i32 in_memory(i32 n, i32 t) { return reverse ? n - 1 - t : t; }

template <class A> INLINE operands read_rights(A a, places at, i32 i, operands x) {
  RIGHTS(READ)
  return x;
}
template <class A> INLINE operands read_lefts(A a, places at, i32 i, operands x) {
  LEFTS(READ)
  return x;
}
// What step t reads.
template <class A> INLINE operands operands_of(A a, places at, i32 n, i32 t) {
  operands x = read_rights(a, at, in_memory(n, t), operands());
  if (t >= shifted) return read_lefts(a, at, in_memory(n, t - shifted), x);
#ifdef BEFORE
  const i32 i = 0;
  BEFORE(READ)
#endif
  return x;
}

template <class A> INLINE state load(A a, places at, i32 n, i32 place, captures k) {
  const i32 t = n - 1 - place;
  state x = state();
  if (t + late < n) {
    const i32 i = in_memory(n, t + late);
    WEIGHTS(READ)
  }
  if (t + 1 < n) return operation::moved(operands_of(a, at, n, t + 1), x, k);
#define ADD(array, dtype, lanes, lane, member) x.member += dtype::get(a.array[item(at.array, i, lanes, lane)]);
  const i32 i = 0;
  ENDS(ADD)
  return x;
}

template <class A> INLINE void store(A a, places at, i32 n, i32 place, state g, captures k) {
  const i32 t = n - 1 - place, i = in_memory(n, t);
  const bool steps = t > 0 || seeded;
  pulled x;
  if (steps) x = operation::step(operands_of(a, at, n, t), g, k);
  else x = operation::start(g);
  GRADIENTS(WRITE)
#ifdef STARTS
  if (t == 0) {
    if (late) {
      LATE(ADD)
    }
    const i32 i = 0;
    STARTS(WRITE)
  }
#endif
}

}  // namespace ms
