// What stands around a scan along a row: elements are prepared of what is read, and results presented of states, each
// position by itself. Neither elements nor states are in memory.
//
// The generated text says `prepares` and `presents`, and `calls_around`: that both are so long that they are called.
#pragma once
#include "guard.h"

// In registers.
template <class O = operation, class X> INLINE element prepared(const X& x, [[maybe_unused]] const captures& k) {
  if constexpr (prepares) return O::prepare(x, k);
  else return x;
}
template <class O = operation, class S, class X>
INLINE auto presented(const S& y, [[maybe_unused]] const X& x, [[maybe_unused]] const captures& k) {
  if constexpr (presents) return O::present(y, x, k);
  else return y;
}

template <class O, class S> INLINE void prepare_here(const elements& e, ms_int at, S& x, const captures& k) {
  typename O::input given;
  in::load(e, at, given);
  x = O::prepare(given, k);
}
template <class O, class S> NOINLINE void prepare_called(const elements& e, ms_int at, S& x, const captures& k) {
  prepare_here<O>(e, at, x, k);
}
template <class O, class S> NOINLINE void prepare_part(const elements& e, ms_int at, int m, S& x, const captures& k) {
  typename O::input given;
  in::load_part(e, at, m, given);
  x = O::prepare(given, k);
}
// The elements of W steps, and of `m` of them.
template <class O = operation, class S>
INLINE void take(const elements& e, ms_int at, S& x, [[maybe_unused]] const captures& k) {
  if constexpr (!prepares) in::load(e, at, x);
  else if constexpr (!calls_around) prepare_here<O>(e, at, x, k);
  else {
    S y;  // what has an address is not held in registers
    prepare_called<O>(e, at, y, k);
    x = y;
  }
}
template <class O = operation, class S>
INLINE void take_part(const elements& e, ms_int at, int m, S& x, [[maybe_unused]] const captures& k) {
  if constexpr (prepares) prepare_part<O>(e, at, m, x, k);
  else in::load_part(e, at, m, x);
}

template <class O, class S> INLINE auto output_of(const elements& e, ms_int at, const S& y, const captures& k) {
  typename O::input given;
  in::load(e, at, given);
  return O::present(y, given, k);
}
template <class O, class S>
NOINLINE void present_called(const elements& e, const results& r, ms_int at, const S& y, const captures& k) {
  out::store(r, at, output_of<O>(e, at, y, k));
}
template <class O, class S>
NOINLINE void present_part(const elements& e, const results& r, ms_int at, int m, const S& y, const captures& k) {
  typename O::input given;
  in::load_part(e, at, m, given);
  out::store_part(r, at, m, O::present(y, given, k));
}
// The results of W steps, of `m` of them, and of some registers past the caches.
template <class O = operation, class S>
INLINE void give([[maybe_unused]] const elements& e, const results& r, ms_int at, const S& y,
                 [[maybe_unused]] const captures& k) {
  if constexpr (!presents) out::store(r, at, y);
  else if constexpr (!calls_around) out::store(r, at, output_of<O>(e, at, y, k));
  else {
    const S own = y;
    present_called<O>(e, r, at, own, k);
  }
}
template <class O = operation, class S>
INLINE void give_part([[maybe_unused]] const elements& e, const results& r, ms_int at, int m, const S& y,
                      [[maybe_unused]] const captures& k) {
  if constexpr (presents) present_part<O>(e, r, at, m, y, k);
  else out::store_part(r, at, m, y);
}
template <class O = operation, class S, int... i>
INLINE void give_past([[maybe_unused]] const elements& e, const results& r, ms_int at, const S* y,
                      [[maybe_unused]] const captures& k, seq<i...> registers) {
  if constexpr (presents) {
    const typename O::output shown[] = {output_of<O>(e, at + i * W, y[i], k)...};
    out::stream(r, at, shown, registers);
  } else {
    out::stream(r, at, y, registers);
  }
}
