// Windows: which columns go side by side, and how blocks of steps are dealt to tasks; or rows, and parts of long ones.
#pragma once
#include "tasks.h"

// Blocks of a long row stand side by side where there are enough of them, else rows do, else columns as they lie.
static ms_int whole_blocks(const ms_launch* g) { return g->n / g->window; }
static bool blocks_aside(const ms_launch* g) { return g->inner < facts.width && whole_blocks(g) > facts.width / 2; }
static bool rows_aside(const ms_launch* g) { return g->inner == 1 && g->outer_ndim > 0 && !blocks_aside(g); }

// What a task takes at once: some blocks of one row, the first of which may have none before it.
struct unit {
  ms_int column, first, blocks;
};
static ms_int groups_of(ms_int blocks) { return (blocks + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE; }
// Whole blocks that stand in groups: not the first, and not the last where another one may be behind it than behind the
// others.
static ms_int grouped(const ms_launch* g) { return whole_blocks(g) - 1 - facts.looks_behind; }
static ms_int units_of_row(const ms_launch* g) {
  const ms_int rest = g->n % g->window > 0;
  if (!blocks_aside(g)) return whole_blocks(g) + rest;
  return g->inner * (1 + groups_of(grouped(g)) + facts.looks_behind + rest);
}
static unit unit_of(const ms_launch* g, ms_int i) {
  const ms_int whole = whole_blocks(g), each = blocks_aside(g) ? units_of_row(g) / g->inner : 0;
  if (!each) return {0, i, 1};
  const ms_int column = i / each, place = i % each;
  if (place == 0) return {column, 0, 1};
  const ms_int groups = groups_of(grouped(g)), first = 1 + (place - 1) * SIDE_BY_SIDE;
  if (place <= groups) return {column, first, least(SIDE_BY_SIDE, 1 + grouped(g) - first)};
  return {column, place - groups == 1 && facts.looks_behind ? whole - 1 : whole, 1};
}

// Blocks as columns of a launch of their own.
static void stand_aside(const ms_launch* g, ms_array* a, int count) {
  for (int i = 0; i < count; ++i) a[i].inner = a[i].axis * g->window;
}
static ms_launch blocks_as_columns(const ms_launch* g, u8* memory) {
  ms_launch t = *g;
  ms_array* const to = (ms_array*)memory;
  __builtin_memcpy(to, g->inputs, (unsigned long)facts.inputs * sizeof *to);
  __builtin_memcpy(to + facts.inputs, g->outputs, (unsigned long)facts.outputs * sizeof *to);
  t.inputs = to, t.outputs = to + facts.inputs, t.inner = least(SIDE_BY_SIDE, whole_blocks(g));
  stand_aside(g, to, facts.arity), stand_aside(g, to + facts.inputs, facts.outputs);
  for (int i = facts.arity; i < facts.inputs; ++i) to[i].inner = 0;
  return t;
}
// The launch whose columns go side by side, of which each task has its own copy.
static ms_launch aside(const ms_launch* g, u8* memory) {
  return rows_aside(g) ? turned(g, memory) : blocks_aside(g) ? blocks_as_columns(g, memory) : *g;
}

// What all columns of a row of carries share, before and after some rows.
static constexpr ms_int SHARED_BYTES = 2 * 8 * 64;

// Bytes that tasks take together, if more than two do: of more the system gives new pages in each call, which took
// longer than the work (measured: gradients of windows of 4096).
static constexpr ms_int MOST_SCRATCH = 24 << 20;

struct window_cut {
  ms_int units, tasks, pitch, carry, arrays, walk, buffer;
  ms_int bytes() const { return carry + arrays + walk + buffer; }
};
static window_cut window_cut_of(const ms_launch* g) {
  ms_launch t = *g;
  if (rows_aside(g)) turn_shape(&t);
  window_cut c = {t.outer_size * units_of_row(&t), 1, 0, 0, lines_of(turned_bytes()), lines_of(walk_bytes()), 0};
  if (blocks_aside(g)) t.inner = least(SIDE_BY_SIDE, whole_blocks(g));
  const double work = 3 * facts.nanoseconds * (double)g->n * (double)g->inner * (double)g->outer_size;
  if (work > 60e3) c.tasks = least(least(c.units, 8), (ms_int)(work / 30e3));
  c.pitch = (t.inner + 2 * facts.width + 63) / 64 * 64;
  c.carry = lines_of(c.pitch * facts.carry_bytes + SHARED_BYTES), c.buffer = lines_of(buffer_bytes(&t));
  const ms_int fit = MOST_SCRATCH / c.bytes();
  if (c.tasks > 2 && c.tasks > fit) c.tasks = fit > 2 ? fit : 2;
  return c;
}
static void schedule_blocks(const ms_launch* g, struct ms_schedule* s) {
  const window_cut c = window_cut_of(g);
  s->phases = 1, s->tasks[0] = c.tasks, s->scratch_bytes = c.tasks * c.bytes();
}
static void move_in_row(const ms_launch* g, const walk& w, ms_int steps, ms_int column) {
  for (int i = 0; i < facts.inputs; ++i)
    w.in[i] += (i < facts.arity ? steps * g->inputs[i].axis : 0) + column * g->inputs[i].inner;
  for (int i = 0; i < facts.outputs; ++i) w.out[i] += steps * g->outputs[i].axis + column * g->outputs[i].inner;
}
static void run_blocks(const ms_launch* given, ms_int task) {
  const window_cut c = window_cut_of(given);
  u8* const memory = (u8*)given->scratch + task * c.bytes();
  const ms_launch side = aside(given, memory + c.carry);
  const bool turns = rows_aside(given), blocks = blocks_aside(given);
  const ms_int each = units_of_row(turns ? &side : given);
  for (ms_int u = c.units * task / c.tasks; u < c.units * (task + 1) / c.tasks; ++u) {
    const unit own = unit_of(turns ? &side : given, u % each);
    walk w = walk_to(&side, u / each, memory + c.carry + c.arrays);
    move_in_row(given, w, own.first * given->window, own.column);
    piece p = {};
    p.g = &side, p.in = w.in, p.out = w.out, p.carry = memory, p.pitch = c.pitch;
    p.buffer = memory + c.carry + c.arrays + c.walk;
    p.t1 = least(given->window, given->n - own.first * given->window);
    p.c1 = blocks ? own.blocks : turns ? rows_of_block(&side, given, w.coordinate) : given->inner;
    p.seeded = own.first > 0;
    const ms_int left = given->n - (own.first + own.blocks) * given->window;
    if (facts.looks_behind && left > 0) p.behind = least(given->window, left);
    span(p, true);
  }
}

// ------------------------------------------------------------------ along rows
// Each column is a row of its own. Parts of a row begin with a block of vectors, and make what the one before it holds
// themselves.
struct along_cut {
  ms_int windows, blocks, parts, tasks, walk, buffer;
  ms_int block;  // windows
  ms_int bytes() const { return walk + buffer; }
};
static along_cut along_cut_of(const ms_launch* g) {
  const ms_int wide = facts.width, rows = g->outer_size * g->inner;
  along_cut c = {g->n - g->window + 1, 0, 1, 1, lines_of(walk_bytes()), lines_of(buffer_bytes(g)), 0};
  c.block = (g->window >= wide ? g->window / wide : 16) * wide, c.blocks = (c.windows + c.block - 1) / c.block;
  const double work = 4 * facts.nanoseconds * (double)g->n * (double)rows;
  if (work > 60e3) {
    const ms_int wanted = least(8, (ms_int)(work / 30e3));
    if (rows < wanted) c.parts = least((wanted + rows - 1) / rows, (c.blocks + 5) / 6);
    c.tasks = least(wanted, rows * c.parts);
  }
  return c;
}
static void schedule_along(const ms_launch* g, struct ms_schedule* s) {
  const along_cut c = along_cut_of(g);
  s->phases = 1, s->tasks[0] = c.tasks, s->scratch_bytes = c.tasks * c.bytes();
}
static void run_along(const ms_launch* g, ms_int task) {
  const along_cut c = along_cut_of(g);
  u8* const memory = (u8*)g->scratch + task * c.bytes();
  const ms_int all = g->outer_size * g->inner * c.parts;
  for (ms_int u = all * task / c.tasks; u < all * (task + 1) / c.tasks; ++u) {
    const ms_int part = u % c.parts, row = u / c.parts;
    const walk w = walk_to(g, row / g->inner, memory);
    move_in_row(g, w, 0, row % g->inner);
    piece p = {};
    p.g = g, p.in = w.in, p.out = w.out, p.c1 = 1, p.buffer = memory + c.walk;
    p.t0 = c.blocks * part / c.parts * c.block, p.t1 = least(c.windows, c.blocks * (part + 1) / c.parts * c.block);
    span(p, true);
  }
}

void schedule_windows(const ms_launch* g, struct ms_schedule* s) {
  facts.turns ? schedule_blocks(g, s) : schedule_along(g, s);
}
void run_windows(const ms_launch* g, ms_int task) { facts.turns ? run_blocks(g, task) : run_along(g, task); }
