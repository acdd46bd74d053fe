// Where rows begin in every array, and the rows of carries that pieces start from and leave.
#pragma once
#include "turned.h"

// ------------------------------------------------------------------ outer axes
// Where every array begins at one index of the outer axes, in items.
struct walk {
  ms_int coordinate[MS_MAX_OUTER];
  ms_int *in, *out, *init, *carry;
  ms_int bounds, lengths;
};
static ms_int walk_bytes() { return 8 * (facts.inputs + facts.outputs + facts.inits + facts.carries); }

static void move(const ms_launch* g, walk& w, ms_int axis, ms_int steps) {
  for (int i = 0; i < facts.inputs; ++i) w.in[i] += steps * g->inputs[i].outer[axis];
  for (int i = 0; i < facts.outputs; ++i) w.out[i] += steps * g->outputs[i].outer[axis];
  if (g->has_init)
    for (int i = 0; i < facts.inits; ++i) w.init[i] += steps * g->inits[i].outer[axis];
  if (g->want_carry)
    for (int i = 0; i < facts.carries; ++i) w.carry[i] += steps * g->carries[i].outer[axis];
  if (g->bounds) w.bounds += steps * g->bounds->outer[axis];
  if (g->lengths) w.lengths += steps * g->lengths->outer[axis];
}
static walk walk_in(u8* memory) {
  __builtin_memset(memory, 0, (unsigned long)walk_bytes());
  ms_int *const in = (ms_int*)memory, *const out = in + facts.inputs, *const init = out + facts.outputs;
  return {{}, in, out, init, init + facts.inits, 0, 0};
}
static walk walk_to(const ms_launch* g, ms_int index, u8* memory) {
  walk w = walk_in(memory);
  for (ms_int axis = g->outer_ndim; axis-- > 0; index /= g->outer_shape[axis]) {
    w.coordinate[axis] = index % g->outer_shape[axis];
    move(g, w, axis, w.coordinate[axis]);
  }
  return w;
}
static void advance(const ms_launch* g, walk& w) {
  for (ms_int axis = g->outer_ndim; axis-- > 0;) {
    move(g, w, axis, 1);
    if (++w.coordinate[axis] < g->outer_shape[axis]) return;
    move(g, w, axis, -g->outer_shape[axis]);
    w.coordinate[axis] = 0;
  }
}

// ------------------------------------------------------------------ init and carry
static u8* carry_row(const piece& p, const carry_facts& f, int lane) {
  return p.carry + p.pitch * (f.offset + lane * f.size) + p.c0 * f.size;
}
// Puts the init into the carries; whether there is one.
static bool take_init(const piece& p) {
  if (!p.g->has_init) return false;
  for (int i = 0; i < facts.carried_count; ++i) {
    const carry_facts& f = facts.carried[i];
    const ms_array& a = p.g->inits[f.index];
    const u8* const x = (const u8*)a.data + (p.init[f.index] + p.c0 * a.inner) * f.size;
    for (int k = 0; k < f.lanes; ++k)
      copy_items(f.size, carry_row(p, f, k), 1, x + k * a.lane * f.size, a.inner, p.c1 - p.c0);
  }
  return true;
}
static void give_carry(const piece& p) {
  for (int i = 0; i < facts.carried_count; ++i) {
    const carry_facts& f = facts.carried[i];
    const ms_array& a = p.g->carries[f.index];
    u8* const y = (u8*)a.data + (p.carry_out[f.index] + p.c0 * a.inner) * f.size;
    for (int k = 0; k < f.lanes; ++k)
      copy_items(f.size, y + k * a.lane * f.size, a.inner, carry_row(p, f, k), 1, p.c1 - p.c0);
  }
}
