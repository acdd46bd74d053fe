// How the launch of an adjoint is cut into tasks whose sums meet: rows, and parts of their columns.
//
// A sum over rows or columns that several tasks share has a copy for each of them, the first of which is the array
// itself; at the end the others are added to it in order. The cut depends on the shape alone, so bits do too.
#pragma once
#include "back_sequences.h"
#include "tasks.h"

struct shares {
  ms_int rows, parts;
};
static bool over_rows(const ms_launch* g, const ms_array& a) {
  bool any = false;
  for (ms_int i = 0; i < g->outer_ndim; ++i) any = any || (g->outer_shape[i] > 1 && a.outer[i] == 0);
  return any;
}
static shares shares_of(const ms_launch* g) {
  const double work = facts.nanoseconds * (double)g->n * (double)g->inner * (double)g->outer_size;
  if (work < 60e3) return {1, 1};
  // Each has a copy of what rows share: few of them where that has steps.
  bool long_sums = false;
  for (int i = 0; i < facts.out.count; ++i) {
    const ms_array& a = g->outputs[facts.out.at[i].index];
    long_sums = long_sums || (a.axis != 0 && over_rows(g, a));
  }
  if (g->outer_size >= 4 || g->inner < 2 * facts.width) return {least(g->outer_size, long_sums ? 2 : 8), 1};
  return {g->outer_size, 2};
}
static bool over_columns(const ms_launch* g, const ms_array& a) { return g->inner > 1 && a.inner == 0; }
// The bytes of an array without the axes that it is a sum over.
static ms_int bytes_of(const ms_launch* g, const leaf_facts& f) {
  const ms_array& a = g->outputs[f.index];
  ms_int bytes = f.bytes() * (a.axis ? g->n : 1) * (a.inner ? g->inner : 1);
  for (ms_int i = 0; i < g->outer_ndim; ++i) bytes *= a.outer[i] ? g->outer_shape[i] : 1;
  return bytes;
}
// The copies of a sum besides the array itself.
struct copies_of_sum {
  bool rows, columns;
  ms_int count;
  copies_of_sum(const ms_launch* g, const leaf_facts& f, shares s)
      : rows(over_rows(g, g->outputs[f.index])), columns(over_columns(g, g->outputs[f.index])) {
    count = (rows ? s.rows : 1) * (columns ? s.parts : 1) - 1;
  }
  ms_int of(ms_int row, ms_int part, shares s) const {
    return (rows ? row : 0) * (columns ? s.parts : 1) + (columns ? part : 0);
  }
};
static ms_int all_copies(const ms_launch* g, shares s) {
  ms_int bytes = 0;
  for (int i = 0; i < facts.out.count; ++i)
    bytes += copies_of_sum(g, facts.out.at[i], s).count * lines_of(bytes_of(g, facts.out.at[i]));
  return bytes;
}
// Buffers, for as many tasks as run at a time: a sixteenth of what is read and written, as far as caches hold it. What
// a buffer holds changes no bits.
static ms_int slots_of(const ms_launch* g) {
  const shares s = shares_of(g);
  return least(s.rows * s.parts, g->threads < 1 ? 1 : g->threads);
}
ms_int room_for_tile(const ms_launch* g) {
  const ms_int share = facts.result_bytes * g->n * g->inner * g->outer_size / 16 / slots_of(g);
  return least(share < (1 << 17) ? 1 << 17 : share, 1 << 19);
}
static ms_int take_slot(u32* taken, ms_int slots) {
  for (ms_int i = 0;; i = i + 1 < slots ? i + 1 : 0) {
    const u32 bit = 1u << i;
    if (!(__atomic_fetch_or(taken, bit, __ATOMIC_ACQUIRE) & bit)) return i;
  }
}
static void give_slot(u32* taken, ms_int slot) { __atomic_fetch_and(taken, ~(1u << slot), __ATOMIC_RELEASE); }
static ms_int summed_bytes() { return lines_of(walk_bytes()) + lines_of(facts.outputs * (ms_int)sizeof(ms_array)); }
static ms_int summing_task_bytes(const ms_launch* g) {
  return summed_bytes() + lines_of(buffer_bytes(g)) + (bounded(g) ? back_sequence_bytes(g) : 0);
}
void schedule_summed(const ms_launch* g, struct ms_schedule* s) {
  const shares cut = shares_of(g);
  s->phases = 3;
  s->tasks[0] = s->tasks[2] = 1;
  s->tasks[1] = cut.rows * cut.parts;
  s->scratch_bytes = 64 + all_copies(g, cut) + slots_of(g) * summing_task_bytes(g);
}
static void clear_sums(const ms_launch* g, shares s) {
  __builtin_memset(g->scratch, 0, 64 + (unsigned long)all_copies(g, s));
  for (int i = 0; i < facts.out.count; ++i) {
    const leaf_facts& f = facts.out.at[i];
    __builtin_memset(g->outputs[f.index].data, 0, (unsigned long)bytes_of(g, f));
  }
}
template <class T> static void add_items(T* to, const T* from, ms_int count) {
  for (ms_int i = 0; i < count; ++i) to[i] += from[i];
}
static void join_sums(const ms_launch* g, shares s) {
  const u8* from = (const u8*)g->scratch + 64;
  for (int i = 0; i < facts.out.count; ++i) {
    const leaf_facts& f = facts.out.at[i];
    const ms_int bytes = bytes_of(g, f), count = copies_of_sum(g, f, s).count;
    for (ms_int c = 0; c < count; ++c, from += lines_of(bytes)) {
      void* const to = g->outputs[f.index].data;
      if (f.size == 4) add_items((f32*)to, (const f32*)from, bytes / 4);
      else add_items((f64*)to, (const f64*)from, bytes / 8);
    }
  }
}
// The launch as a task sees it, with its own copies of sums.
static ms_launch with_copies(const ms_launch* g, shares s, ms_int row, ms_int part, ms_array* outputs) {
  u8* at = (u8*)g->scratch + 64;
  for (int i = 0; i < facts.outputs; ++i) outputs[i] = g->outputs[i];
  for (int i = 0; i < facts.out.count; ++i) {
    const leaf_facts& f = facts.out.at[i];
    const copies_of_sum copies(g, f, s);
    const ms_int own = copies.of(row, part, s), room = lines_of(bytes_of(g, f));
    if (own > 0) outputs[f.index].data = at + (own - 1) * room;
    at += copies.count * room;
  }
  ms_launch mine = *g;
  mine.outputs = outputs;
  return mine;
}
static void walk_rows(const ms_launch* g, shares s, ms_int task) {
  const ms_int row = task / s.parts, part = task % s.parts, blocks = (g->inner + facts.width - 1) / facts.width;
  u32* const taken = (u32*)g->scratch;
  const ms_int slot = take_slot(taken, slots_of(g));
  u8* const memory = (u8*)g->scratch + 64 + all_copies(g, s) + slot * summing_task_bytes(g);
  const ms_launch mine = with_copies(g, s, row, part, (ms_array*)(memory + lines_of(walk_bytes())));
  const ms_int first = g->outer_size * row / s.rows, last = g->outer_size * (row + 1) / s.rows;
  walk w = walk_to(&mine, first, memory);
  piece p = {};
  p.g = &mine, p.in = w.in, p.out = w.out, p.init = w.init, p.carry_out = w.carry;
  p.c0 = blocks * part / s.parts * facts.width;
  p.c1 = least(g->inner, blocks * (part + 1) / s.parts * facts.width), p.buffer = memory + summed_bytes();
  if (bounded(g)) back_task(&mine, p.buffer + lines_of(buffer_bytes(g)), p).run_rows(w, first, last);
  else
    for (ms_int o = first; o < last; ++o, advance(&mine, w)) span(p, true);
  give_slot(taken, slot);
}
void run_summed(const ms_launch* g, ms_int phase, ms_int task) {
  const shares s = shares_of(g);
  if (phase == 0) clear_sums(g, s);
  else if (phase == 1) walk_rows(g, s, task);
  else join_sums(g, s);
}
