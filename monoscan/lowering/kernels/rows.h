// inner == 1: rows go block by block, and what is left at the end register by register.
//
// The generated text says `paired`: two blocks side by side, for light combines of few lanes.
#pragma once
#include "blocks.h"

// ------------------------------------------------------------------ lines
// Up to W elements.
INLINE void step(const elements& e, const results& r, ms_int at, int m, bool seeded, state& held, const captures& k,
                 bool scanned) {
  state x;
  m == W ? take(e, at, x, k) : take_part(e, at, m, x, k);
  const state given = x;
  scan_lanes(x, k);
  const state y = seeded ? combine_here<true>(held, x, k) : x;
  state all[1] = {y}, carry[1] = {registers::spread(y, reverse ? W - m : m - 1)};
  if constexpr (!inclusive)
    all[0] = registers::shuffle(start_of(seeded, held), registers::shuffle(y, y, rotate<steps, 1>()), keep<steps, 1>());
  if constexpr (guarded)
    if (suspicious(all, carry)) {
      const state before = held, own = given;  // copies, since what has an address is not held in registers
      state n = carry[0], c = before, o = all[0];
      bool found = false;
      again(own, m, seeded, before, c, &o, k, found);
      carry[0] = any(spoilt(before, n)) ? c : n, all[0] = o;
    }
  if (scanned) m == W ? give(e, r, at, all[0], k) : give_part(e, r, at, m, all[0], k);
  held = carry[0];
}
// What is left of a line.
NOINLINE void rest(const elements& e, const results& r, ms_int i, ms_int n, bool seeded, state& last, const captures& k,
                   bool scanned) {
  for (ms_int m; i < n; i += m, seeded = true) {
    m = least(W, n - i);
    step(e, r, reverse ? n - i - m : i, (int)m, seeded, last, k, scanned);
  }
}
// Whole blocks from `i` to `end`.
NOINLINE void fold_blocks(const elements& given, ms_int i, ms_int end, ms_int n, bool seeded, state& last,
                          const captures& k) {
  const elements e = given;  // copies have no address: no store can change them, and they stay in registers
  const ms_int size = fold_length * W;
  state carry = last;
  for (; i < end; i += size, seeded = true) fold_block(e, reverse ? n - i - size : i, seeded, carry, k);
  last = carry;
}
NOINLINE void fold_line(const elements& e, ms_int n, bool seeded, state& last, const captures& k) {
  const ms_int size = fold_length * W, whole = n / size * size;
  // What is bad stays bad or has no say, so that a look once in a while is enough.
  const ms_int look = guarded ? 16 * size : whole;
  ms_int i = 0;
  for (ms_int end; i < whole; i = end, seeded = true) {
    end = least(whole, i + look);
    const state before = last;
    fold_blocks(e, i, end, n, seeded, last, k);
    if constexpr (guarded) {
      const state carry[1] = {last};
      if (suspicious(carry)) mend(e, reverse ? n - end : i, (int)((end - i) / W), seeded, before, last, nullptr, k);
    }
  }
  rest(e, {}, i, n, seeded, last, k, false);
}
// Blocks, or pairs of them, from `i` on; up to where all came out well. A loop with a call in it holds no constants in
// registers: this one stops, and is called again.
NOINLINE ms_int blocks(const elements& given, const results& wanted, ms_int i, ms_int n, bool seeded, state& last,
                       const captures& k, bool past, state* kept) {
  const elements e = given;
  const results r = wanted;
  const ms_int size = length * W;
  state carry = last;
  if constexpr (paired) {
    for (int done = 2; done == 2 && i + 2 * size <= n; i += done * size)
      done = pair(e, r, reverse ? n - i - 2 * size : i, carry, k, past);
  } else {
    for (; i + size <= n; i += size, seeded = true)
      if (!block(e, r, reverse ? n - i - size : i, seeded, carry, k, past, kept)) break;
  }
  registers::keep(last, carry);
  return i;
}
NOINLINE void scan_line(const elements& e, const results& r, ms_int n, bool seeded, state& last, const captures& k,
                        bool past) {
  const ms_int size = length * W;
  ms_int i = 0;
  if constexpr (paired) {
    if (!seeded && size <= n) whole_block(e, r, reverse ? n - size : 0, false, last, k, past), i = size, seeded = true;
    for (; seeded; i += size) {
      i = blocks(e, r, i, n, true, last, k, past, nullptr);
      if (i + size > n) break;
      whole_block(e, r, reverse ? n - i - size : i, true, last, k, past);
    }
  } else {
    state kept[length + 1];
    for (;; i += size) {
      i = blocks(e, r, i, n, seeded, last, k, past, kept), seeded = seeded || i > 0;
      if (i + size > n) break;
      mend_block(e, r, reverse ? n - i - size : i, seeded, last, kept, k), seeded = true;
    }
  }
  rest(e, r, i, n, seeded, last, k, true);
}

// ------------------------------------------------------------------ pieces
// The loop over a row sees consecutive elements only. A leaf with other strides makes the row go through small tiles,
// copied in and out where they must be. A captured array is constant along a row; a carry is the same in every lane.
static constexpr ms_int TILE = 512;
ms_int buffer_bytes(const ms_launch*) { return TILE * (in::bytes + out::bytes); }
bool fits(const ms_launch* g) { return g->inner == 1; }

void span(const piece& p, bool scanned) {
  captures k;
  captured_arrays::spread(p, k);
  state carry = {};
  if (p.seeded) registers::get_carry<true>(p.carry, p.pitch, 0, carry), carry = registers::spread(carry, 0);
  const bool in_place = rows_lie_ready(p.g);
  const ms_int tile = in_place ? p.t1 - p.t0 : TILE;
  for (ms_int t = p.t0; t < p.t1; t += tile) {
    const ms_int count = least(tile, p.t1 - t), at = reverse ? p.g->n - t - count : t;
    elements e = {};
    results r = {};
    rows_at(p, at, count, TILE, e.x, r.y);
    const bool seeded = p.seeded || t > p.t0;
    if (want_results && scanned)
      scan_line(e, r, count, seeded, carry, k, p.stream && in_place && at_cache_lines(r.y, reverse ? count : 0));
    else fold_line(e, count, seeded, carry, k);
    if (scanned && !in_place) unpack_rows(p, at, count, r.y);
  }
  registers::put_carry<true>(p.carry, p.pitch, 0, carry);
  if (p.stream) stream_fence();
}

INLINE void load_captures(const piece& p, const elements&, ms_int, captures& k) { captured_arrays::spread(p, k); }
#include "parts.h"
#include "launch.h"
