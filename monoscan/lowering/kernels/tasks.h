// How a launch is cut into tasks. The cut depends on the shape alone.
#pragma once
#include "row_sequences.h"
#include "uneven.h"

// ------------------------------------------------------------------ tasks
// Rows, halves of the columns, or parts of a long row; and the bytes that each needs.
struct cut {
  ms_int tasks, columns, pitch, carry, walk, buffer;
  bool parts;
};
static ms_int walk_bytes_of(const ms_launch* g) { return lines_of(walk_bytes()) * (bounded(g) ? 2 : 1); }
// Whether two threads take half of the columns each. Halves of narrow rows share pages, of which each core fetches
// ahead what the other one writes: light work is done sooner by one (measured: 128 to 512 columns of float32, an
// Intel Xeon).
static bool halves_pay(const ms_launch* g, double work) {
  return g->inner >= 1000 || facts.nanoseconds >= 0.6 || work > 300e3;
}
static cut cut_of(const ms_launch* g) {
  const bool can_part = facts.can_part && !bounded(g);
  const ms_int rows = g->outer_size * (g->bounds ? g->sequences : 1);
  cut c = {1, 1, (g->inner + 2 * facts.width + 63) / 64 * 64, 0, walk_bytes_of(g), 0, false};
  const double work = facts.nanoseconds * (double)g->n * (double)g->inner * (double)g->outer_size;
  if (work > 60e3) {
    if (rows >= 4) c.tasks = least(least(rows, 8), (ms_int)(work / 30e3)) / 2 * 2;
    else if (g->inner >= (can_part ? 256 : 32)) c.columns = halves_pay(g, work) ? 2 : 1, c.tasks = rows * c.columns;
    else if (can_part && rows != 2 && g->n >= 1024) c.tasks = rows * 2, c.parts = true;
    else c.tasks = rows < 1 ? 1 : rows;
  }
  c.carry = c.pitch * facts.carry_bytes;
  c.buffer = c.walk + lines_of(buffer_bytes(g)) + (g->lengths ? 3 * c.carry : 0);  // of those that end apart
  return c;
}
static bool past_caches(const ms_launch* g) {
  return g->last_level_cache > 0 && facts.result_bytes * g->n * g->inner * g->outer_size > g->last_level_cache;
}

void schedule_scan(const ms_launch* g, struct ms_schedule* s) {
  if (!fits(g)) return (void)(s->phases = 0);
  if (g->window) return schedule_windows(g, s);
  ms_launch t = *g;
  if (facts.turns) turn_shape(&t), g = &t;
  const cut c = cut_of(g);
  s->phases = c.parts ? (facts.want_results && facts.guarded ? 3 : 2) : 1;
  s->tasks[0] = c.tasks;
  s->tasks[1] = c.parts ? (facts.want_results ? c.tasks : c.tasks / 2) : 0;
  s->tasks[2] = c.parts ? g->outer_size : 0;
  s->scratch_bytes = (c.parts ? 2 * c.tasks : c.tasks) * c.carry + c.tasks * c.buffer;
  if (facts.turns) s->scratch_bytes += c.tasks * lines_of(turned_bytes());
}

// Behind all rows of carries each task has room for where its arrays begin, and its buffer.
static piece piece_of(const ms_launch* g, const cut& c, const walk& w, u8* memory) {
  piece p = {};
  p.g = g, p.in = w.in, p.out = w.out, p.init = w.init, p.carry_out = w.carry;
  p.t1 = g->n, p.c1 = g->inner, p.pitch = c.pitch, p.buffer = memory + c.walk;
  return p;
}
static void whole_rows(const ms_launch* g, const cut& c, ms_int task) {
  const ms_int cuts = c.tasks / c.columns, row = task / c.columns, column = task % c.columns;
  const ms_int wide = (g->inner / c.columns + 15) / 16 * 16;
  u8 *const scratch = (u8*)g->scratch, *const memory = scratch + c.tasks * c.carry + task * c.buffer;
  const ms_int first = g->outer_size * row / cuts, last = g->outer_size * (row + 1) / cuts;
  walk w = walk_to(g, first, memory);
  piece p = piece_of(g, c, w, memory);
  p.c0 = column * wide, p.c1 = column + 1 == c.columns ? g->inner : (column + 1) * wide;
  p.carry = scratch + task * c.carry, p.stream = past_caches(g);
  for (ms_int o = first; o < last; ++o, advance(g, w)) {
    p.seeded = take_init(p);
    span(p, facts.want_results);
    if (g->want_carry) give_carry(p);
  }
}
// One long row in three unequal parts: the first is scanned while the second is folded, then the second and the third
// are scanned from what came before them. If the fold of the second came out bad, the third waits for its scan.
static void third_of_row(const ms_launch* g, const cut& c, ms_int phase, ms_int task) {
  const ms_int row = phase == 2 ? task : task / 2, second = phase == 2 || task % 2;
  const ms_int n1 = (ms_int)((double)g->n * facts.first_part) / 64 * 64;
  const ms_int n2 = (ms_int)((double)g->n * facts.second_part) / 64 * 64;
  u8* const rows = (u8*)g->scratch + 4 * row * c.carry;  // of carries
  u8 *const after_first = rows, *const of_second = rows + c.carry, *const after_second = rows + 2 * c.carry;
  u8* const memory = (u8*)g->scratch + 2 * c.tasks * c.carry + task * c.buffer;
  const walk w = walk_to(g, row, memory);
  piece p = piece_of(g, c, w, memory);
  p.t1 = n1, p.carry = after_first, p.stream = past_caches(g);
  if (phase == 0 && !second) {
    p.seeded = take_init(p);
    span(p, true);
  } else if (phase == 0) {
    p.t0 = n1, p.t1 = n1 + n2, p.carry = of_second;
    span(p, false);
  } else if (!second) {
    p.t0 = n1, p.t1 = n1 + n2, p.carry = after_second, p.seeded = true;
    __builtin_memcpy(p.carry, after_first, (unsigned long)c.carry);
    span(p, true);
  } else {
    p.t0 = n1 + n2, p.t1 = g->n, p.carry = rows + 3 * c.carry, p.seeded = true;
    if (combine_carries(p, after_first, of_second, phase == 2 ? after_second : nullptr) != (phase == 2)) return;
    span(p, true);
    if (g->want_carry) give_carry(p);
  }
}
// One long row in halves, for a fold.
static void half_of_row(const ms_launch* g, const cut& c, ms_int phase, ms_int task) {
  const ms_int row = phase ? task : task / 2, second = phase || task % 2, half = g->n / 2;
  u8* const rows = (u8*)g->scratch + 4 * row * c.carry;  // of carries
  u8 *const of_first = rows, *const of_second = rows + c.carry;
  u8* const memory = (u8*)g->scratch + 2 * c.tasks * c.carry + task * c.buffer;
  const walk w = walk_to(g, row, memory);
  piece p = piece_of(g, c, w, memory);
  p.t0 = second ? half : 0, p.t1 = second ? g->n : half, p.carry = second ? of_second : of_first;
  if (phase == 0) {
    if (!second) p.seeded = take_init(p);
    span(p, false);
    return;
  }
  p.carry = rows + 2 * c.carry;
  if (combine_carries(p, of_first, of_second, nullptr)) {  // the second half in order, from the true carries
    piece again = p;
    again.carry = rows + 3 * c.carry, again.seeded = true;
    __builtin_memcpy(again.carry, of_first, (unsigned long)c.carry);
    span(again, false);
    combine_carries(p, of_first, of_second, again.carry);
  }
  if (g->want_carry) give_carry(p);
}

// Rows of sequences, as columns or halves of them; `given` if they are rows that were turned.
static void packed_rows(const ms_launch* g, const cut& c, ms_int task, const ms_launch* given) {
  const ms_int column = task % c.columns, wide = (g->inner / c.columns + 15) / 16 * 16;
  u8 *const scratch = (u8*)g->scratch, *const memory = scratch + c.tasks * c.carry + task * c.buffer;
  const walk at = walk_in(memory + lines_of(walk_bytes()));
  ms_launch own = *g;
  piece p = piece_of(&own, c, at, memory);
  p.c0 = column * wide, p.c1 = column + 1 == c.columns ? g->inner : (column + 1) * wide;
  p.carry = scratch + task * c.carry, p.stream = past_caches(g);
  const auto columns_of = [&](const walk& row) {
    if (given) p.c1 = rows_of_block(g, given, row.coordinate);
  };
  each_sequence(
      g, task / c.columns, c.tasks / c.columns, memory,
      [&](const walk& row, const sequence& s) {
        columns_of(row);
        if (uneven(g)) scan_uneven(p, own, at, g, row, s, memory + c.buffer - 3 * c.carry);
        else scan_sequence(p, own, at, g, row, s);
      },
      [&](const walk& row, ms_int from, ms_int to) { columns_of(row), skip_steps(p, at, g, row, from, to); });
}
// Blocks of rows side by side.
static void blocks_of_rows(const ms_launch* given, ms_int task) {
  ms_launch t = *given;
  turn_shape(&t);
  const cut c = cut_of(&t);
  u8* const scratch = (u8*)given->scratch;
  t = turned(given, scratch + c.tasks * (c.carry + c.buffer) + task * lines_of(turned_bytes()));
  if (bounded(given)) return packed_rows(&t, c, task, given);
  u8* const memory = scratch + c.tasks * c.carry + task * c.buffer;
  const ms_int first = t.outer_size * task / c.tasks, last = t.outer_size * (task + 1) / c.tasks;
  walk w = walk_to(&t, first, memory);
  piece p = piece_of(&t, c, w, memory);
  p.carry = scratch + task * c.carry;
  for (ms_int o = first; o < last; ++o, advance(&t, w)) {
    p.c1 = rows_of_block(&t, given, w.coordinate);
    p.seeded = take_init(p);
    span(p, facts.want_results);
    if (t.want_carry) give_carry(p);
  }
}
void run_scan(const ms_launch* g, ms_int phase, ms_int task) {
  if (g->window) return run_windows(g, task);
  if (facts.turns) return blocks_of_rows(g, task);
  const cut c = cut_of(g);
  if (bounded(g)) packed_rows(g, c, task, nullptr);
  else if (!c.parts) whole_rows(g, c, task);
  else if (facts.want_results) third_of_row(g, c, phase, task);
  else half_of_row(g, c, phase, task);
}

// What a task needs that starts from nothing: where its arrays begin, and its buffer.
static ms_int task_bytes_of(const ms_launch* g) { return lines_of(walk_bytes()) + lines_of(buffer_bytes(g)); }

// ------------------------------------------------------------------ rows of wide elements
// Whole rows, column by column, or batches of them: each task takes as many as any other.
static ms_int row_tasks_of(const ms_launch* g, ms_int rows) {
  const double work = facts.nanoseconds * (double)g->n * (double)g->inner * (double)g->outer_size;
  return work < 60e3 ? 1 : least(least(rows, 8), 1 + (ms_int)(work / 30e3));
}
static ms_int rows_of(const ms_launch* g) { return g->outer_size * g->inner; }
void schedule_rows(const ms_launch* g, struct ms_schedule* s) {
  if (bounded(g)) return schedule_row_sequences(g, s);
  s->phases = 1;
  s->tasks[0] = row_tasks_of(g, rows_of(g));
  s->scratch_bytes = s->tasks[0] * task_bytes_of(g);
}
void run_rows(const ms_launch* g, ms_int task) {
  if (bounded(g)) return run_row_sequences(g, task);
  const ms_int rows = rows_of(g), tasks = row_tasks_of(g, rows), inner = g->inner;
  const ms_int last = rows * (task + 1) / tasks;
  u8* const memory = (u8*)g->scratch + task * task_bytes_of(g);
  ms_int at = rows * task / tasks;
  walk w = walk_to(g, at / inner, memory);
  piece p = {};
  p.g = g, p.in = w.in, p.out = w.out, p.init = w.init, p.carry_out = w.carry;
  p.buffer = memory + lines_of(walk_bytes());
  __builtin_memset(p.buffer, 0, (unsigned long)buffer_bytes(g));  // what is behind rows is computed with as well
  for (; at < last; advance(g, w)) {
    const ms_int begin = at / inner * inner, end = least(last, begin + inner);
    p.c0 = at - begin, p.c1 = end - begin, at = end;
    span(p, true);
  }
}

static ms_int batches_of(const ms_launch* g) { return (rows_of(g) + facts.width - 1) / facts.width; }
static ms_int batch_bytes_of(const ms_launch* g) {
  return lines_of(walk_bytes()) + lines_of(walk_bytes() * facts.width) + lines_of(buffer_bytes(g));
}
void schedule_batches(const ms_launch* g, struct ms_schedule* s) {
  s->phases = 1;
  s->tasks[0] = row_tasks_of(g, batches_of(g));
  s->scratch_bytes = s->tasks[0] * batch_bytes_of(g);
}
// Where a row begins, at its place in the tables of all arrays.
static void note_row(const ms_int* first, const ms_array* a, int count, ms_int j, ms_int* table) {
  for (int i = 0; i < count; ++i) table[i * facts.width] = first[i] + (a ? j * a[i].inner : 0);
}
// Behind the last row there are none: they read what it reads.
void run_batches(const ms_launch* g, ms_int task) {
  const ms_int wide = facts.width, rows = rows_of(g), batches = batches_of(g), tasks = row_tasks_of(g, batches);
  u8* const memory = (u8*)g->scratch + task * batch_bytes_of(g);
  ms_int* const table = (ms_int*)(memory + lines_of(walk_bytes()));
  piece p = {};
  p.g = g, p.in = table, p.out = p.in + facts.inputs * wide, p.init = p.out + facts.outputs * wide;
  p.carry_out = p.init + facts.inits * wide, p.buffer = memory + lines_of(walk_bytes()) + lines_of(walk_bytes() * wide);
  __builtin_memset(p.buffer, 0, (unsigned long)buffer_bytes(g));  // some arrays are zero for ever
  for (ms_int batch = batches * task / tasks; batch < batches * (task + 1) / tasks; ++batch) {
    p.c1 = least(wide, rows - batch * wide);
    for (ms_int l = 0; l < wide; ++l) {
      const ms_int row = batch * wide + least(l, p.c1 - 1), j = row % g->inner;
      const walk w = walk_to(g, row / g->inner, memory);
      note_row(w.in, g->inputs, facts.inputs, j, (ms_int*)p.in + l);
      note_row(w.out, g->outputs, facts.outputs, j, (ms_int*)p.out + l);
      note_row(w.init, g->has_init ? g->inits : nullptr, facts.inits, j, (ms_int*)p.init + l);
      note_row(w.carry, g->want_carry ? g->carries : nullptr, facts.carries, j, (ms_int*)p.carry_out + l);
    }
    span(p, true);
  }
}
