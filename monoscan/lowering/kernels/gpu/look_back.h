// A scan along few long rows that are contiguous in memory, in one pass: a group takes the next tile and looks back at
// what the tiles before it have left.
//
// A tile leaves its own fold; an anchor, which is every 32nd tile of a row, the fold of all that comes up to its end.
// What comes before a tile is folded from the last anchor on, in a tree that depends on the tile's number alone, so
// that bits do not depend on timing. Tiles are handed out by tickets: all that a group waits for has begun.
//
// Source: Merrill and Garland, "Single-pass Parallel Prefix Scan with Decoupled Look-back" (NVIDIA, 2016); anchors as
// in CUB's scans that are the same from run to run.
#pragma once
#include "gpu/rows.h"

namespace ms {

// The places of what comes before a tile, and of what the last anchor left. From one anchor to the next there are
// `anchors` tiles, and a lane looks at each.
enum { of_before = 2 * waves, of_anchor };

// A tile's place among flags of all rows is `id`, among those of its own row `i`.
#define PUBLISH(array, dtype, lanes, lane, member) \
  publish(a.array, item(at.array, i, lanes, lane), dtype::put(x.member));
template <class A, class F> INLINE void leave_behind(A a, F flags, places at, u32 id, i32 i, state x) {
  PUBLISHED(PUBLISH)
  release(flags, id);
}
#define COLLECT(array, dtype, lanes, lane, member) \
  x.member = dtype::get(collect(a.array, item(at.array, i, lanes, lane)));
// What comes before a tile that is not the first, in the first lane of the wave that asks; what the anchor left is
// shared.
template <class A, class F>
INLINE state looked_back(A a, F flags, places at, u32 id, i32 number, u32 lane, totals shared, captures k) {
  const u32 last = (u32)(number - 1) % anchors;  // the lane that looks at the anchor
  state x;
  if (lane <= last) {
    const i32 i = number - 1 - (i32)lane;
    while (!acquired(flags, id - 1 - lane)) PAUSE();
    PUBLISHED(COLLECT)
  }
  if (guarded && lane == last) put(shared, of_anchor, x);
  CONVERGE();
  UNROLL for (u32 distance = 1; distance < anchors; distance *= 2) {
    const state earlier = down(x, distance);
    if (lane + distance <= last) x = operation::combine(earlier, x, k);
  }
  return x;
}

template <class A, class P, class F>
INLINE void look_back(A a, P sizes, F flags, SHARED_POINTER(u32) ticket, totals shared, position here) {
  const u32 tiles = (u32)sizes[size_groups], chunks = (u32)sizes[size_chunks];
  if (here.number == 0) ticket[0] = take(flags, tiles);
  BARRIER();
  const u32 id = ticket[0];
  if (id >= tiles) return;
  const i32 n = (i32)sizes[size_n];
  const chunk c = chunk_of(sizes, id % chunks);
  const places at = find(sizes, id / chunks, 0);
  const captures k = load_captures(a, sizes, at);
  const bool aligned = in_quads(a, at, reverse ? n : 0), quads = aligned && c.begin + tile <= c.end;
  wave_steps w;
  load_steps(a, at, n, c.end, c.begin, quads, here, k, &w);
  fold_steps(c.end, c.begin, here, k, &w);
  if (here.lane == 0) put(shared, here.wave, w.total);
  BARRIER();
  prefix own = nothing(), all = nothing();
  UNROLL for (i32 wave = 0; wave < waves; ++wave) if (c.begin + wave * wave_elements < c.end) {
    if (wave == (i32)here.wave) own = all;
    all = append(all, get(shared, (u32)wave), k);
  }
  const bool anchor = c.number % anchors == 0;
  prefix before = start(a, at, c);
  bool left = !anchor;  // known to the first thread
  if (here.wave == 0) {
    if (here.lane == 0 && !anchor) leave_behind(a, flags, at, id, c.number, all.value);
    if (c.number > 0) before = just(looked_back(a, flags, at, id, c.number, here.lane, shared, k));
    const prefix behind = append(before, all.value, k);
    left = left || !(bad(before) || bad(behind));
    if (here.lane == 0 && anchor && left) leave_behind(a, flags, at, id, c.number, behind.value);
    if (here.lane == 0 && c.number > 0) put(shared, of_before, before.value);
  }
  bool walks = false;
  if (c.number > 0) {
    BARRIER();
    before = just(get(shared, of_before));
    walks = guarded && spoilt(just(get(shared, of_anchor)), before.value);
  }
  prefix behind = append(before, all.value, k);
  if (walks) {  // from the anchor on
    behind = just(get(shared, of_anchor));
    u32 turn = waves;
    const i32 begin = ((c.number - 1) / anchors * anchors + 1) * tile;
    for (i32 first = begin; first < c.end; first += tile, turn ^= waves)
      behind = one_tile(a, at, n, c.end, first, aligned && first + tile <= c.end, first == c.begin, behind, shared,
                        turn, here, k);
  } else {
    behind = finish_tile(a, at, n, c.end, c.begin, quads, true, before, chain(before, own, k), behind, shared, waves,
                         here, k, &w);
  }
  if (here.number == 0 && !left) leave_behind(a, flags, at, id, c.number, behind.value);
  if (here.number == 0) leave(a, at, c, behind.value);
}

}  // namespace ms
