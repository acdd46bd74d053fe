// Tiles of columns: some rows of them, copied where they do not lie as the loop wants them.
#pragma once
#include "copies.h"

// A tile of the buffer holds `count` rows as they lie in memory, `pitch` bytes apart.
struct tile_of_rows {
  ms_int at, count, columns, pitch;
  u8* b;
};
// Items that lie beside each other along the scan axis are transposed four by four, those of four bytes also four by as
// many as there are: short rows hold few blocks of eight by eight, which took 1.2 to 2 times as long up to 20 steps.
typedef u32 four_items __attribute__((vector_size(16)));
// Two to four items; by words, for a load of a vector would wait for what was stored in pieces.
typedef u64 two_words __attribute__((vector_size(16)));
template <int items> INLINE four_items take_items(const u8* from) {
  if constexpr (items == 4) return take_word<four_items>(from);
  else return (four_items)two_words{take_word<u64>(from), items == 3 ? take_word<u32>(from + 8) : 0};
}
template <int items> INLINE void put_items(u8* to, four_items x) {
  const u64 low = ((two_words)x)[0];
  __builtin_memcpy(to, items == 4 ? (const void*)&x : &low, items == 4 ? 16 : 8);
  const u32 third = x[2];
  if constexpr (items == 3) __builtin_memcpy(to + 8, &third, 4);
}
// `rows` of `items` items of four bytes become as many columns.
template <int rows, int items> struct words {
  static constexpr int wide = rows, high = items, size = 4;
  INLINE void copy(const u8* from, ms_int from_step, u8* to, ms_int to_step) {
    const four_items a = take_items<items>(from), b = take_items<items>(from + from_step);
    const four_items c = rows > 2 ? take_items<items>(from + 2 * from_step) : a;
    const four_items d = rows > 3 ? take_items<items>(from + 3 * from_step) : b;
    const four_items ab = MS_CHOOSE(a, b, 0, 4, 1, 5), AB = MS_CHOOSE(a, b, 2, 6, 3, 7);
    const four_items cd = MS_CHOOSE(c, d, 0, 4, 1, 5), CD = MS_CHOOSE(c, d, 2, 6, 3, 7);
    put_items<rows>(to, MS_CHOOSE(ab, cd, 0, 1, 4, 5)), put_items<rows>(to + to_step, MS_CHOOSE(ab, cd, 2, 3, 6, 7));
    if constexpr (items > 2) put_items<rows>(to + 2 * to_step, MS_CHOOSE(AB, CD, 0, 1, 4, 5));
    if constexpr (items > 3) put_items<rows>(to + 3 * to_step, MS_CHOOSE(AB, CD, 2, 3, 6, 7));
  }
};
// As many rows of one or two bytes as a register of 16 bytes has items, by halves that are interleaved again and again.
template <class T> struct squares {
  typedef T items __attribute__((vector_size(16)));
  static constexpr int size = sizeof(T), high = 16 / size, wide = high;
  INLINE items low(items a, items b) {
    if constexpr (size == 1) return MS_CHOOSE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    else return MS_CHOOSE(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  }
  INLINE items top(items a, items b) {
    if constexpr (size == 1) return MS_CHOOSE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    else return MS_CHOOSE(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  }
  template <int... i> INLINE void interleave(const items (&a)[high], items (&b)[high], seq<i...>) {
    ((b[2 * i] = low(a[i], a[i + high / 2]), b[2 * i + 1] = top(a[i], a[i + high / 2])), ...);
  }
  template <int... i> INLINE void copy_all(const u8* from, ms_int from_step, u8* to, ms_int to_step, seq<i...>) {
    items a[high] = {take_word<items>(from + i * from_step)...}, b[high];
    interleave(a, b, upto<high / 2>()), interleave(b, a, upto<high / 2>()), interleave(a, b, upto<high / 2>());
    if constexpr (size == 1) {
      interleave(b, a, upto<high / 2>());
      (__builtin_memcpy(to + i * to_step, &a[i], sizeof a[i]), ...);
    } else {
      (__builtin_memcpy(to + i * to_step, &b[i], sizeof b[i]), ...);
    }
  }
  INLINE void copy(const u8* from, ms_int from_step, u8* to, ms_int to_step) {
    copy_all(from, from_step, to, to_step, upto<high>());
  }
};
// Four rows of four items of any size.
template <class T> struct fours {
  typedef T four __attribute__((vector_size(4 * sizeof(T))));
  static constexpr int wide = 4, high = 4, size = sizeof(T);
  INLINE void copy(const u8* from, ms_int from_step, u8* to, ms_int to_step) {
    const four a = take_word<four>(from), b = take_word<four>(from + from_step);
    const four c = take_word<four>(from + 2 * from_step), d = take_word<four>(from + 3 * from_step);
    const four ab = MS_CHOOSE(a, b, 0, 4, 1, 5), AB = MS_CHOOSE(a, b, 2, 6, 3, 7);
    const four cd = MS_CHOOSE(c, d, 0, 4, 1, 5), CD = MS_CHOOSE(c, d, 2, 6, 3, 7);
    const four w = MS_CHOOSE(ab, cd, 0, 1, 4, 5), x = MS_CHOOSE(ab, cd, 2, 3, 6, 7);
    const four y = MS_CHOOSE(AB, CD, 0, 1, 4, 5), z = MS_CHOOSE(AB, CD, 2, 3, 6, 7);
    __builtin_memcpy(to, &w, sizeof w), __builtin_memcpy(to + to_step, &x, sizeof w);
    __builtin_memcpy(to + 2 * to_step, &y, sizeof w), __builtin_memcpy(to + 3 * to_step, &z, sizeof w);
  }
};
// `columns` by `rows` items, block by block; the last blocks overlap those before them.
template <class Block>
static void transpose_all(const u8* from, ms_int from_step, u8* to, ms_int to_step, ms_int columns, ms_int rows) {
  constexpr ms_int wide = Block::wide, high = Block::high, size = Block::size;
  for (ms_int c = 0; c < columns; c += wide) {
    const ms_int column = least(c, columns - wide);
    const u8* const x = from + column * from_step;
    u8* const y = to + column * size;
    ms_int r = 0;
    for (; r + high <= rows; r += high) Block::copy(x + r * size, from_step, y + r * to_step, to_step);
    if (r < rows) Block::copy(x + (rows - high) * size, from_step, y + (rows - high) * to_step, to_step);
  }
}
static bool lies_in_fours(const ms_array& a, const leaf_facts& f, const tile_of_rows& t) {
  return f.lanes == 1 && a.axis == 1 && t.count >= (f.size == 4 ? 2 : 4) && t.columns >= 4;
}
typedef void (*transposition)(const u8*, ms_int, u8*, ms_int, ms_int, ms_int);
// Of a tile of so many rows and columns, in or out.
static transposition transposition_of(int size, ms_int rows, ms_int columns, bool in) {
  const bool large = least(rows, columns) >= 16 / size;
  if (size == 1) return large ? transpose_all<squares<u8>> : transpose_all<fours<u8>>;
  if (size == 2) return large ? transpose_all<squares<u16>> : transpose_all<fours<u16>>;
  if (size == 8) return transpose_all<fours<u64>>;
  if (rows == 2) return in ? transpose_all<words<4, 2>> : transpose_all<words<2, 4>>;
  if (rows == 3) return in ? transpose_all<words<4, 3>> : transpose_all<words<3, 4>>;
  return transpose_all<words<4, 4>>;
}
// The steps of a column lie closer to one another than the columns do: then each line of memory is read once.
static ms_int distance(ms_int stride) { return stride < 0 ? -stride : stride; }
static bool lies_by_columns(const ms_array& a, const tile_of_rows& t) {
  return t.count > 1 && distance(a.axis) < distance(a.inner);
}
static void take_tile(const leaf_facts& f, const ms_array& a, const u8* x, const tile_of_rows& t) {
  if (lies_in_fours(a, f, t))
    return transposition_of(f.size, t.count, t.columns, true)(x, a.inner * f.size, t.b, t.pitch, t.columns, t.count);
  if (!lies_by_columns(a, t)) {
    for (ms_int r = 0; r < t.count; ++r)
      gather(f, t.b + r * t.pitch, x + r * a.axis * f.size, a.inner, a.lane, t.columns);
    return;
  }
  for (ms_int c = 0; c < t.columns; ++c)
    for (int k = 0; k < f.lanes; ++k)
      copy_items(f.size, t.b + (c * f.lanes + k) * f.size, t.pitch / f.size, x + (c * a.inner + k * a.lane) * f.size,
                 a.axis, t.count);
}
static void give_tile(const leaf_facts& f, const ms_array& a, u8* y, const tile_of_rows& t) {
  if (lies_in_fours(a, f, t))
    return transposition_of(f.size, t.count, t.columns, false)(t.b, t.pitch, y, a.inner * f.size, t.count, t.columns);
  for (ms_int r = 0; r < t.count; ++r) scatter(f, y + r * a.axis * f.size, a.inner, t.b + r * t.pitch, t.columns);
}
static u8* first_of(const tile_of_rows& t) { return t.b + (facts.reverse ? (t.count - 1) * t.pitch : 0); }

void tile_at(const piece& p, ms_int t, ms_int count, ms_int room, const strip_of_rows& w) {
  const ms_int width = padded_to(p.c1 - p.c0, facts.width), down = facts.reverse ? -1 : 1;
  tile_of_rows b = {facts.reverse ? p.g->n - t - count : t, count, p.c1 - p.c0, 0,
                    p.buffer + padded_to(p.g->inner, facts.width) * facts.captured.bytes};
  for (int i = 0; i < facts.in.count; ++i, b.b += room * b.pitch) {
    const leaf_facts& f = facts.in.at[i];
    const ms_array& a = p.g->inputs[f.index];
    const u8* const x = input_of(p, f) + p.c0 * a.inner * f.size;
    const bool ready = lies_in_columns(a, f);
    b.pitch = width * f.bytes();
    if (i >= w.leaves) continue;
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
