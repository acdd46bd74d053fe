// Rows side by side: a lot of them stands as the columns of a launch of its own, tile by tile in a buffer.
//
// An adjoint walks in order: where the scan axis is innermost, what a vector can hold is the same step of other rows.
#pragma once
#include "driver.h"

static constexpr ms_int BLOCK = 8;

struct lot {
  ms_launch g;           // what the loop sees
  const ms_launch* own;  // what there is
  ms_int* where;         // for each row where it begins in every array, and a last row of zeros
  u8** buffers;          // for every array
  ms_int rows, columns;
};
// Inputs, outputs, inits and carries, counted in this order.
static ms_int arrays_in_all() { return facts.inputs + facts.outputs + facts.inits + facts.carries; }

// ------------------------------------------------------------------ transposition
typedef u32 eight __attribute__((vector_size(32)));
#if __has_builtin(__builtin_shufflevector)
#define MS_PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MS_PICK(a, b, ...) __builtin_shuffle(a, b, eight{__VA_ARGS__})
#endif
// Pairs of what stands at one place of each half of two rows; of two pairs the first of each and the second, and the
// same of halves.
#define MS_ZIP_ITEMS(a, b, at) MS_PICK(a, b, at, 8 + at, 1 + at, 9 + at, 4 + at, 12 + at, 5 + at, 13 + at)
#define MS_ZIP_PAIRS(a, b, at) MS_PICK(a, b, at, 1 + at, 8 + at, 9 + at, 4 + at, 5 + at, 12 + at, 13 + at)
#define MS_ZIP_HALVES(a, b, at) MS_PICK(a, b, at, 1 + at, 2 + at, 3 + at, 8 + at, 9 + at, 10 + at, 11 + at)
INLINE eight load_eight(const u8* p) {
  eight x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}
INLINE void store_eight(u8* p, eight x) { __builtin_memcpy(p, &x, sizeof x); }
INLINE void transpose_halves(eight& a, eight& b, eight& c, eight& d) {
  const eight ab = MS_ZIP_ITEMS(a, b, 0), cd = MS_ZIP_ITEMS(c, d, 0);
  const eight AB = MS_ZIP_ITEMS(a, b, 2), CD = MS_ZIP_ITEMS(c, d, 2);
  a = MS_ZIP_PAIRS(ab, cd, 0), b = MS_ZIP_PAIRS(ab, cd, 2), c = MS_ZIP_PAIRS(AB, CD, 0), d = MS_ZIP_PAIRS(AB, CD, 2);
}
// Eight items of four bytes from each of as many rows.
INLINE void copy_block(u8* const* to, const u8* const* from, ms_int to_at, ms_int from_at) {
  eight a = load_eight(from[0] + from_at), b = load_eight(from[1] + from_at), c = load_eight(from[2] + from_at);
  eight d = load_eight(from[3] + from_at), e = load_eight(from[4] + from_at), f = load_eight(from[5] + from_at);
  eight g = load_eight(from[6] + from_at), h = load_eight(from[7] + from_at);
  transpose_halves(a, b, c, d), transpose_halves(e, f, g, h);
  store_eight(to[0] + to_at, MS_ZIP_HALVES(a, e, 0)), store_eight(to[4] + to_at, MS_ZIP_HALVES(a, e, 4));
  store_eight(to[1] + to_at, MS_ZIP_HALVES(b, f, 0)), store_eight(to[5] + to_at, MS_ZIP_HALVES(b, f, 4));
  store_eight(to[2] + to_at, MS_ZIP_HALVES(c, g, 0)), store_eight(to[6] + to_at, MS_ZIP_HALVES(c, g, 4));
  store_eight(to[3] + to_at, MS_ZIP_HALVES(d, h, 0)), store_eight(to[7] + to_at, MS_ZIP_HALVES(d, h, 4));
}
// Some steps of one array of all rows: where they stand, and where in the buffer, each lane with its columns.
struct strip {
  const lot& l;
  const leaf_facts& f;
  u8 *data, *buffer;
  ms_int axis, lane, count, number;

  u8* row(ms_int r) const { return data + l.where[r * arrays_in_all() + number] * f.size; }
  // One item after the other, `stride` items apart, from the r-th row on.
  void copy_items_of(ms_int r, ms_int end, ms_int from, ms_int stride, ms_int first, ms_int step, ms_int items,
                     bool in) const {
    for (; r < end; ++r) {
      u8 *const x = row(r) + from * f.size, *const b = buffer + (first * l.columns + r) * f.size;
      if (in) copy_items(f.size, b, step * l.columns, x, stride, items);
      else copy_items(f.size, x, stride, b, step * l.columns, items);
    }
  }
  // Rows whose items stand side by side, in blocks of eight by eight.
  ms_int copy_blocks(bool in) const {
    const ms_int rows = l.rows / BLOCK * BLOCK, all = count * f.lanes, whole = all / BLOCK * BLOCK;
    const ms_int pitch = l.columns * f.size;
    const ms_int next = (facts.reverse ? tile_steps : -tile_steps) * f.bytes();  // more rows than are foreseen
    for (ms_int r = 0; r < rows; r += BLOCK) {
      u8 *x[BLOCK], *b[BLOCK];
      for (int k = 0; k < BLOCK; ++k) x[k] = row(r + k), b[k] = buffer + k * pitch + r * f.size;
      for (ms_int i = 0; i < whole; i += BLOCK) {
        if (in) copy_block(b, x, i * pitch, i * f.size);
        else copy_block(x, b, i * f.size, i * pitch);
        for (int k = 0; in && k < BLOCK; ++k) __builtin_prefetch(x[k] + i * f.size + next);
      }
    }
    if (whole < all) copy_items_of(0, rows, whole, 1, whole, 1, all - whole, in);
    return rows;
  }
  void copy(bool in) const {
    const bool blocks = f.size == 4 && axis == f.lanes && (f.lanes == 1 || lane == 1);
    const ms_int done = blocks ? copy_blocks(in) : 0;
    for (int k = 0; k < f.lanes && done < l.rows; ++k)
      copy_items_of(done, l.rows, k * lane, axis, k, f.lanes, count, in);
  }
};

// ------------------------------------------------------------------ memory
// The lists of all arrays: their steps in a buffer, and the number of their first array among all.
template <class Each> static void each_list(Each each) {
  const adjoint_facts& a = *facts.adjoint;
  const int outputs = facts.inputs, inits = outputs + facts.outputs;
  each(a.rights, tile_steps, 0), each(a.lefts, tile_steps, 0), each(a.weights, tile_steps + 1, 0);
  each(a.captured, 1, 0), each(a.out, tile_steps, outputs), each(a.ends, 1, inits), each(a.before, 1, inits);
  each(a.ends, 1, inits + facts.inits);  // the carries
}
static ms_int lot_bytes(ms_int columns) {
  const ms_int arrays = arrays_in_all(), head = (ms_int)sizeof(lot) + arrays * (ms_int)sizeof(ms_array) + arrays * 8;
  ms_int bytes = lines_of(head + (columns + 1) * arrays * 8);
  each_list([&](const leaf_list& list, ms_int steps, int) {
    for (int i = 0; i < list.count; ++i) bytes += lines_of(columns * list.at[i].bytes() * steps);
  });
  return bytes;
}
static lot* lot_in(u8* memory, const ms_launch* g, ms_int columns) {
  const ms_int arrays = arrays_in_all();
  lot* const l = (lot*)memory;
  ms_array* const own = (ms_array*)(l + 1);
  l->g = *g, l->own = g, l->columns = l->g.inner = columns;
  l->g.inputs = own, l->g.outputs = own + facts.inputs;
  l->g.inits = l->g.outputs + facts.outputs, l->g.carries = l->g.outputs + facts.outputs + facts.inits;
  l->buffers = (u8**)(own + arrays), l->where = (ms_int*)(l->buffers + arrays);
  __builtin_memset(l->where + columns * arrays, 0, (unsigned long)arrays * 8);
  u8* at = memory + lines_of((u8*)(l->where + (columns + 1) * arrays) - memory);
  each_list([&](const leaf_list& list, ms_int steps, int first) {
    for (int i = 0; i < list.count; ++i) {
      const leaf_facts& f = list.at[i];
      ms_array& a = own[first + f.index];
      a.data = l->buffers[first + f.index] = at, at += lines_of(columns * f.bytes() * steps);
      a.axis = steps > 1 ? columns * f.lanes : 0, a.inner = 1, a.lane = columns;
    }
  });
  __builtin_memset(l->buffers[0], 0, (unsigned long)(at - l->buffers[0]));  // columns that no row has are computed too
  return l;
}

// ------------------------------------------------------------------ in and out
// The arrays of a list, with the number of the first of them among all: those of the launch, and of the lot.
struct side {
  const leaf_list& list;
  const ms_array* all;
  ms_array* own;
  int number;
};
// Some steps of them, as far as there are any.
struct stretch {
  ms_int at, count;
  stretch(ms_int n, ms_int first, ms_int last) {
    const ms_int a = first < 0 ? 0 : first, b = least(last, n - 1);
    at = facts.reverse ? n - 1 - b : a, count = b - a + 1;
  }
};
// From here on the buffers hold these steps.
static void aim(lot& l, const side& s, stretch steps) {
  for (int i = 0; i < s.list.count; ++i) {
    const leaf_facts& f = s.list.at[i];
    ms_array& a = s.own[f.index];
    a.data = l.buffers[s.number + f.index] - steps.at * a.axis * f.size;
  }
}
static void copy_steps(lot& l, const side& s, stretch steps, bool in) {
  for (int i = 0; i < s.list.count && steps.count > 0; ++i) {
    const leaf_facts& f = s.list.at[i];
    const ms_array& x = s.all[f.index];
    const int number = s.number + f.index;
    u8* const data = (u8*)x.data + steps.at * x.axis * f.size;
    strip{l, f, data, l.buffers[number], x.axis, x.lane, steps.count, number}.copy(in);
  }
}
static ms_array* arrays_of(lot& l) { return (ms_array*)(&l + 1); }
static void pull(lot& l, const leaf_list& list, ms_int first, ms_int last) {
  const stretch steps(l.g.n, first, last);
  const side inputs = {list, l.own->inputs, arrays_of(l), 0};
  aim(l, inputs, steps), copy_steps(l, inputs, steps, true);
}
static side results_of(lot& l) { return {facts.adjoint->out, l.own->outputs, l.g.outputs, facts.inputs}; }
void pull(const piece& p, ms_int first, ms_int last) {
  const adjoint_facts& a = *facts.adjoint;
  lot& l = *p.across;
  const int before = a.shifted ? 1 : 0, late = a.inclusive ? 0 : 1;
  pull(l, a.rights, first, last), pull(l, a.lefts, first - before, last - before);
  pull(l, a.weights, first ? first + late : 0, last + late);
  aim(l, results_of(l), {l.g.n, first, last});
}
void push(const piece& p, ms_int first, ms_int last) {
  copy_steps(*p.across, results_of(*p.across), {p.g->n, first, last}, false);
}
// What has no steps: captured arrays and where the walk begins; and where it has ended.
static void pull_ends(lot& l) {
  const adjoint_facts& a = *facts.adjoint;
  const int inits = facts.inputs + facts.outputs;
  ms_array* const own = arrays_of(l) + inits;
  const stretch one(1, 0, 0);
  copy_steps(l, {a.captured, l.own->inputs, arrays_of(l), 0}, one, true);
  copy_steps(l, {a.ends, l.own->inits, own, inits}, one, true);
  copy_steps(l, {a.before, l.own->inits, own, inits}, one, true);
}
static void push_ends(lot& l) {
  const int carries = facts.inputs + facts.outputs + facts.inits;
  const side given = {facts.adjoint->ends, l.own->carries, l.g.carries, carries};
  if (l.g.want_carry) copy_steps(l, given, {1, 0, 0}, false);
}
