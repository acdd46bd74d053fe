// Sequences: where they stand in a row, how many of their steps count, and what stands where none does.
//
// To a kernel's loop each sequence is a row of its own, of the steps that count. All the rest is here.
#pragma once
#include "repeat.h"
#include "walks.h"

static bool bounded(const ms_launch* g) { return g->bounds || g->lengths; }

struct sequence {
  ms_int number, begin, end, counted;
  ms_int steps() const { return end - begin; }
};
static sequence sequence_of(const ms_launch* g, const walk& w, ms_int number, ms_int begin, ms_int end) {
  sequence s = {number, begin, end, end - begin};
  if (!g->lengths) return s;
  const int length = ((const int*)g->lengths->data)[w.lengths + number * g->lengths->axis];
  s.counted = length < 0 ? 0 : least(length, s.counted);
  return s;
}
// The first of the sequences that do not begin before a step.
static ms_int first_from(const ms_int* bounds, ms_int count, ms_int step) {
  ms_int low = 0;
  for (ms_int high = count; low < high;) {
    const ms_int middle = (low + high) / 2;
    if (bounds[middle] < step) low = middle + 1;
    else high = middle;
  }
  return low;
}
// Those of one row that begin at some places, of which there is one behind the last step; and steps there in none.
template <class Each, class Outside>
static void sequences_between(const ms_launch* g, const walk& w, ms_int from, ms_int to, Each each, Outside outside) {
  if (!g->bounds) {
    if (from == 0) each(w, sequence_of(g, w, 0, 0, g->n));
    return;
  }
  const ms_int* const bounds = (const ms_int*)g->bounds->data + w.bounds;
  const ms_int count = g->sequences, begin = bounds[0], end = bounds[count];
  if (from < begin) outside(w, from, least(to, begin));
  for (ms_int k = first_from(bounds, count, from); k < count && bounds[k] < to; ++k)
    each(w, sequence_of(g, w, k, bounds[k], bounds[k + 1]));
  const ms_int rest = from < end ? end : from;
  if (rest < least(to, g->n)) outside(w, rest, least(to, g->n));
}
// Each task has an equal share of all rows' steps, and the sequences that begin there.
template <class Each, class Outside>
static void each_sequence(const ms_launch* g, ms_int share, ms_int shares, u8* memory, Each each, Outside outside) {
  const ms_int places = g->n + 1, all = g->outer_size * places, last = all * (share + 1) / shares;
  ms_int at = all * share / shares, from = at % places;
  walk w = walk_to(g, at / places, memory);
  for (; at < last; from = 0, advance(g, w)) {
    const ms_int to = least(places, from + last - at);
    sequences_between(g, w, from, to, each, outside);
    at += to - from;
  }
}
// Where a sequence begins in every array.
static void come_to(const ms_launch* g, const walk& row, ms_int step, ms_int number, const walk& to) {
  for (int i = 0; i < facts.inputs; ++i) to.in[i] = row.in[i] + step * g->inputs[i].axis;
  for (int i = 0; i < facts.outputs; ++i) to.out[i] = row.out[i] + step * g->outputs[i].axis;
  if (g->has_init)
    for (int i = 0; i < facts.inits; ++i) to.init[i] = row.init[i] + number * g->inits[i].axis;
  if (g->want_carry)
    for (int i = 0; i < facts.carries; ++i) to.carry[i] = row.carry[i] + number * g->carries[i].axis;
}

// ------------------------------------------------------------------ what stands where no step counts
// Puts into the carries what stands where nothing came yet.
static void take_nothing(const piece& p) {
  for (int i = 0; i < facts.carried_count; ++i) {
    const carry_facts& f = facts.carried[i];
    const u8* const x = p.g->fills ? (const u8*)p.g->fills[f.index] : nullptr;
    for (int k = 0; k < f.lanes; ++k) {
      u8* const row = carry_row(p, f, k);
      if (x) copy_items(f.size, row, 1, x + k * f.size, 0, p.c1 - p.c0);
      else __builtin_memset(row, 0, (unsigned long)((p.c1 - p.c0) * f.size));
    }
  }
}
static void round_items(bool bfloat, u16* to, ms_int to_step, const f32* from, ms_int count) {
  for (ms_int i = 0; i < count; ++i) to[i * to_step] = bfloat ? to_bfloat(from[i]) : to_half(from[i]);
}
// A row of results from one of the carries, or of zeros (-1).
static void put_row(const piece& p, const leaf_facts& f, int shown, u8* y, ms_int inner) {
  const ms_int columns = p.c1 - p.c0;
  const u64 zero = 0;
  for (int k = 0; k < f.lanes; ++k, y += f.size) {
    if (shown < 0) {
      copy_items(f.size, y, inner, (const u8*)&zero, 0, columns);
      continue;
    }
    const carry_facts& c = facts.carried[shown];
    const u8* const row = carry_row(p, c, k);
    if (c.size == f.size) copy_items(f.size, y, inner, row, 1, columns);
    else round_items(f.bfloat, (u16*)y, inner, (const f32*)row, columns);
  }
}
// The same row at some steps, as they lie in memory behind where the piece begins.
static void put_everywhere(const piece& p, const leaf_facts& f, int shown, ms_int from, ms_int to) {
  const ms_array& a = p.g->outputs[f.index];
  const ms_int columns = p.c1 - p.c0, bytes = f.bytes();
  u8* const y = output_of(p, f) + (from * a.axis + p.c0 * a.inner) * f.size;
  put_row(p, f, shown, y, a.inner);
  if (columns == 1 || a.inner == f.lanes) repeat(y, a.axis * f.size, columns * bytes, to - from, p.stream);
  else
    for (ms_int j = 0; j < columns; ++j) repeat(y + j * a.inner * f.size, a.axis * f.size, bytes, to - from, false);
}
static void fill(const piece& p, ms_int from, ms_int to) {
  for (int i = 0; i < facts.out.count && from < to; ++i)
    put_everywhere(p, facts.out.at[i], facts.shown[facts.out.at[i].index], from, to);
}
// Scans a sequence: `own`, what the loop sees of the launch, is that of the piece, and `at` where it begins.
static void scan_sequence(piece& p, ms_launch& own, const walk& at, const ms_launch* g, const walk& row,
                          const sequence& s) {
  come_to(g, row, s.begin, s.number, at);
  own.n = p.t1 = s.counted, p.seeded = take_init(p);
  if (!p.seeded && (s.counted == 0 || (facts.reverse && s.counted < s.steps()))) take_nothing(p);
  if (facts.reverse) fill(p, s.counted, s.steps());
  if (s.counted > 0) span(p, facts.want_results);
  if (!facts.reverse) fill(p, s.counted, s.steps());
  if (g->want_carry) give_carry(p);
}
static void skip_steps(piece& p, const walk& at, const ms_launch* g, const walk& row, ms_int from, ms_int to) {
  come_to(g, row, from, 0, at);
  take_nothing(p);
  fill(p, 0, to - from);
}
