// Tiles of columns: some rows of them, copied where they do not lie as the loop wants them.
#pragma once
#include "driver.h"

// A tile of the buffer holds `count` rows as they lie in memory, `pitch` bytes apart.
struct tile_of_rows {
  ms_int at, count, columns, pitch;
  u8* b;
};
// Items of four bytes that lie beside each other along the scan axis are transposed four by four: short rows hold few
// blocks of eight by eight, which took 1.2 to 2 times as long up to 20 steps.
typedef u32 four_items __attribute__((vector_size(16)));
#if __has_builtin(__builtin_shufflevector)
#define MS_FOUR(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MS_FOUR(a, b, ...) __builtin_shuffle(a, b, four_items{__VA_ARGS__})
#endif
INLINE four_items take_four(const u8* from) {
  four_items x;
  __builtin_memcpy(&x, from, 16);
  return x;
}
INLINE void copy_fours(const u8* from, ms_int from_step, u8* to, ms_int to_step) {
  const four_items a = take_four(from), b = take_four(from + from_step);
  const four_items c = take_four(from + 2 * from_step), d = take_four(from + 3 * from_step);
  const four_items ab = MS_FOUR(a, b, 0, 4, 1, 5), AB = MS_FOUR(a, b, 2, 6, 3, 7);
  const four_items cd = MS_FOUR(c, d, 0, 4, 1, 5), CD = MS_FOUR(c, d, 2, 6, 3, 7);
  const four_items w = MS_FOUR(ab, cd, 0, 1, 4, 5), x = MS_FOUR(ab, cd, 2, 3, 6, 7);
  const four_items y = MS_FOUR(AB, CD, 0, 1, 4, 5), z = MS_FOUR(AB, CD, 2, 3, 6, 7);
  __builtin_memcpy(to, &w, 16), __builtin_memcpy(to + to_step, &x, 16);
  __builtin_memcpy(to + 2 * to_step, &y, 16), __builtin_memcpy(to + 3 * to_step, &z, 16);
}
// `columns` by `rows` items, four at least of both; the last blocks overlap those before them.
static void transpose_all(const u8* from, ms_int from_step, u8* to, ms_int to_step, ms_int columns, ms_int rows) {
  for (ms_int c = 0; c < columns; c += 4) {
    const ms_int column = least(c, columns - 4);
    const u8* const x = from + column * from_step;
    u8* const y = to + column * 4;
    ms_int r = 0;
    for (; r + 4 <= rows; r += 4) copy_fours(x + r * 4, from_step, y + r * to_step, to_step);
    if (r < rows) copy_fours(x + (rows - 4) * 4, from_step, y + (rows - 4) * to_step, to_step);
  }
}
static bool lies_in_fours(const ms_array& a, const leaf_facts& f, const tile_of_rows& t) {
  return f.bytes() == 4 && a.axis == 1 && t.count >= 4 && t.columns >= 4;
}
static void take_tile(const leaf_facts& f, const ms_array& a, const u8* x, const tile_of_rows& t) {
  if (lies_in_fours(a, f, t)) return transpose_all(x, a.inner * 4, t.b, t.pitch, t.columns, t.count);
  for (ms_int r = 0; r < t.count; ++r)
    gather(f, t.b + r * t.pitch, x + r * a.axis * f.size, a.inner, a.lane, t.columns);
}
static void give_tile(const leaf_facts& f, const ms_array& a, u8* y, const tile_of_rows& t) {
  if (lies_in_fours(a, f, t)) return transpose_all(t.b, t.pitch, y, a.inner * 4, t.count, t.columns);
  for (ms_int r = 0; r < t.count; ++r) scatter(f, y + r * a.axis * f.size, a.inner, t.b + r * t.pitch, t.columns);
}
static u8* first_of(const tile_of_rows& t) { return t.b + (facts.reverse ? (t.count - 1) * t.pitch : 0); }

void tile_at(const piece& p, ms_int t, ms_int count, ms_int room, const strip_of_rows& w) {
  const ms_int width = padded_to(p.g->inner, facts.width), down = facts.reverse ? -1 : 1;
  tile_of_rows b = {facts.reverse ? p.g->n - t - count : t, count, p.c1 - p.c0, 0,
                    p.buffer + width * facts.captured.bytes};
  for (int i = 0; i < facts.in.count; ++i, b.b += room * b.pitch) {
    const leaf_facts& f = facts.in.at[i];
    const ms_array& a = p.g->inputs[f.index];
    const u8* const x = input_of(p, f) + p.c0 * a.inner * f.size;
    const bool ready = lies_in_columns(a, f);
    b.pitch = width * f.bytes();
    w.x[f.index] = ready ? x + (facts.reverse ? p.g->n - 1 - t : t) * a.axis * f.size : first_of(b);
    w.x_step[f.index] = down * (ready ? a.axis * f.size : b.pitch);
    if (!ready) take_tile(f, a, x + b.at * a.axis * f.size, b);
  }
  for (int i = 0; i < facts.out.count; ++i, b.b += room * b.pitch) {
    const leaf_facts& f = facts.out.at[i];
    const ms_array& a = p.g->outputs[i];
    const bool ready = lies_in_columns(a, f);
    b.pitch = width * f.bytes();
    w.y[i] = ready ? output_of(p, f) + ((facts.reverse ? p.g->n - 1 - t : t) * a.axis + p.c0 * a.inner) * f.size
                   : first_of(b);
    w.y_step[i] = down * (ready ? a.axis * f.size : b.pitch);
  }
}
void unpack_tile(const piece& p, ms_int t, ms_int count, u8* const* y, const ms_int* y_step) {
  tile_of_rows b = {facts.reverse ? p.g->n - t - count : t, count, p.c1 - p.c0, 0, nullptr};
  for (int i = 0; i < facts.out.count; ++i) {
    const leaf_facts& f = facts.out.at[i];
    const ms_array& a = p.g->outputs[i];
    if (lies_in_columns(a, f)) continue;
    b.pitch = facts.reverse ? -y_step[i] : y_step[i];
    b.b = y[i] - (facts.reverse ? (count - 1) * b.pitch : 0);
    give_tile(f, a, output_of(p, f) + (b.at * a.axis + p.c0 * a.inner) * f.size, b);
  }
}
