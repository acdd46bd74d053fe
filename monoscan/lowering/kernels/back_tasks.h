// How the launch of an adjoint is cut into tasks: rows, halves of the columns, or lots of rows side by side.
#pragma once
#include "across.h"
#include "back_sequences.h"
#include "tasks.h"

static bool rows_stand_across(const ms_launch* g) {
  return facts.adjoint->columns > 0 && g->inner == 1 && g->outer_size > 1 && !bounded(g);
}
static ms_int back_tasks_of(const ms_launch* g) {
  const double work = facts.nanoseconds * (double)g->n * (double)g->inner * (double)g->outer_size;
  if (work < 60e3) return 1;
  if (rows_stand_across(g)) return least(g->outer_size < 32 ? 2 : g->outer_size / 16, 8);
  const ms_int rows = g->outer_size * (g->bounds ? g->sequences : 1);
  if (rows > 1) return least(least(rows, 8), 1 + (ms_int)(work / 30e3));
  return g->inner >= 256 && halves_pay(g, work) ? 2 : 1;
}
// The columns of a lot: as many as go side by side, if a task has that many rows.
static ms_int across_columns(const ms_launch* g) {
  const ms_int rows = (g->outer_size + back_tasks_of(g) - 1) / back_tasks_of(g);
  const ms_int whole = facts.width > BLOCK ? facts.width : BLOCK, most = facts.adjoint->columns;
  return rows >= most && most > whole ? most : whole;
}
static ms_int back_bytes_of(const ms_launch* g) {
  if (bounded(g)) return back_sequence_bytes(g) + lines_of(buffer_bytes(g));
  if (!rows_stand_across(g)) return task_bytes_of(g);
  ms_launch wide = *g;
  wide.inner = across_columns(g);
  return task_bytes_of(&wide) + lot_bytes(wide.inner);
}
void schedule_back(const ms_launch* g, struct ms_schedule* s) {
  s->phases = 1;
  s->tasks[0] = back_tasks_of(g);
  s->scratch_bytes = s->tasks[0] * back_bytes_of(g);
}
static void run_across(const ms_launch* g, ms_int first, ms_int last, u8* memory) {
  const ms_int columns = across_columns(g), arrays = arrays_in_all();
  walk w = walk_to(g, first, memory);
  memory += lines_of(walk_bytes());
  lot* const l = lot_in(memory, g, columns);
  piece p = {};
  const ms_int* const zeros = l->where + columns * arrays;
  p.g = &l->g, p.in = p.out = p.init = p.carry_out = zeros;
  p.c1 = columns, p.carry = memory + lot_bytes(columns), p.across = l;
  for (ms_int at = first; at < last; at += l->rows) {
    l->rows = least(columns, last - at);
    for (ms_int r = 0; r < l->rows; ++r, advance(g, w))
      __builtin_memcpy(l->where + r * arrays, w.in, (unsigned long)arrays * 8);
    pull_ends(*l);
    span(p, true);
    push_ends(*l);
  }
}
static void run_sequences(const ms_launch* g, ms_int task, u8* memory) {
  const ms_int tasks = back_tasks_of(g), half = (g->inner / 2 + 15) / 16 * 16;
  const bool by_columns = g->outer_size * (g->bounds ? g->sequences : 1) <= 1 && tasks == 2;
  piece p = {};
  p.c1 = g->inner, p.carry = memory + back_sequence_bytes(g);
  if (by_columns) (task ? p.c0 : p.c1) = half;
  back_task(g, memory, p).run(by_columns ? 0 : task, by_columns ? 1 : tasks);
}
void run_back(const ms_launch* g, ms_int task) {
  const ms_int tasks = back_tasks_of(g);
  const bool by_columns = g->outer_size == 1 && tasks == 2;
  u8* const memory = (u8*)g->scratch + task * back_bytes_of(g);
  if (bounded(g)) return run_sequences(g, task, memory);
  const ms_int first = by_columns ? 0 : g->outer_size * task / tasks;
  const ms_int last = by_columns ? 1 : g->outer_size * (task + 1) / tasks;
  if (rows_stand_across(g)) return run_across(g, first, last, memory);
  walk w = walk_to(g, first, memory);
  piece p = {};
  p.g = g, p.in = w.in, p.out = w.out, p.init = w.init, p.carry_out = w.carry;
  p.c1 = g->inner, p.carry = memory + lines_of(walk_bytes());
  const ms_int half = (g->inner / 2 + 15) / 16 * 16;
  if (by_columns) (task ? p.c0 : p.c1) = half;
  for (ms_int o = first; o < last; ++o, advance(g, w)) span(p, true);
}
