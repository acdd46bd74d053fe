// Runs of neighbouring elements of a row, one after the other or four items at once.
//
// The generated text gives, where a run is made of quads,
//   READ_QUADS, WRITE_QUADS      each(array, dtype, lanes, number, element, member, ... four times)
//   QUAD_ARRAYS                  each(array, lanes)
// and before this header stands one with `load` and `store`, of one element.
#pragma once
#include "gpu/memory.h"

namespace ms {

#ifdef READ_QUADS
#define READ_QUAD(array, dtype, lanes, number, e0, m0, e1, m1, e2, m2, e3, m3)    \
  {                                                                               \
    const auto q = read_quad(a.array, (at.array.start + i) * lanes + 4 * number); \
    x[e0].m0 = dtype::get(q.x), x[e1].m1 = dtype::get(q.y);                       \
    x[e2].m2 = dtype::get(q.z), x[e3].m3 = dtype::get(q.w);                       \
  }
#define WRITE_QUAD(array, dtype, lanes, number, e0, m0, e1, m1, e2, m2, e3, m3)                              \
  write_quad(a.array, (at.array.start + i) * lanes + 4 * number, dtype::put(x[e0].m0), dtype::put(x[e1].m1), \
             dtype::put(x[e2].m2), dtype::put(x[e3].m3));
#define IN_QUADS(array, lanes) &&quads_at(a.array, (at.array.start + i) * lanes)
// Whether a run's items lie so that four of them are one access; all runs of a row do if one does.
template <class A> INLINE bool in_quads(A a, places at, i32 i) { return true QUAD_ARRAYS(IN_QUADS); }
template <class A> INLINE void read_run(A a, places at, i32 i, LOCAL state* x) { READ_QUADS(READ_QUAD) }
template <class A> INLINE void write_run(A a, places at, i32 i, LOCAL const state* x) { WRITE_QUADS(WRITE_QUAD) }
#else
template <class A> INLINE bool in_quads(A, places, i32) { return false; }
template <class A> INLINE void read_run(A, places, i32, LOCAL state*) {}
template <class A> INLINE void write_run(A, places, i32, LOCAL const state*) {}
#endif
INLINE void turn(LOCAL state* x) {
  UNROLL for (i32 v = 0; v < run / 2; ++v) {
    const state y = x[v];
    x[v] = x[run - 1 - v];
    x[run - 1 - v] = y;
  }
}
// The run that begins at an element in fold order, of which `count` elements exist.
template <class A>
INLINE void load_run(A a, places at, i32 n, i32 i, i32 count, bool quads, captures k, LOCAL state* x) {
  if (quads) {
    read_run(a, at, reverse ? n - run - i : i, x);
    if (reverse) turn(x);
  } else {
    UNROLL for (i32 v = 0; v < run; ++v) if (v < count) x[v] = load(a, at, n, i + v, k);
  }
}
template <class A>
INLINE void store_run(A a, places at, i32 n, i32 i, i32 count, bool quads, captures k, LOCAL state* x) {
  if (quads) {
    if (reverse) turn(x);
    write_run(a, at, reverse ? n - run - i : i, x);
  } else {
    UNROLL for (i32 v = 0; v < run; ++v) if (v < count) store(a, at, n, i + v, x[v], k);
  }
}

}  // namespace ms
