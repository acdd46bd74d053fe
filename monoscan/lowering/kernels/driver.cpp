// The driver of kernels, compiled once for all of them.
#include "driver.h"

// Room for so many bytes, up to the end of a cache line.
static ms_int lines_of(ms_int bytes) { return (bytes + 63) / 64 * 64; }

// ------------------------------------------------------------------ copies
template <class T> static void copy_strided(T* to, ms_int to_step, const T* from, ms_int from_step, ms_int count) {
  for (ms_int i = 0; i < count; ++i) to[i * to_step] = from[i * from_step];
}
// By the size of an item; steps count items.
static void copy_items(int size, u8* to, ms_int to_step, const u8* from, ms_int from_step, ms_int count) {
  if (size == 1) copy_strided(to, to_step, from, from_step, count);
  if (size == 2) copy_strided((u16*)to, to_step, (const u16*)from, from_step, count);
  if (size == 4) copy_strided((u32*)to, to_step, (const u32*)from, from_step, count);
  if (size == 8) copy_strided((u64*)to, to_step, (const u64*)from, from_step, count);
}
// `count` elements `stride` items apart, lane by lane, to where they stand side by side; and back.
static void gather(const leaf_facts& f, u8* b, const u8* x, ms_int stride, ms_int lane, ms_int count) {
  for (int k = 0; k < f.lanes; ++k) copy_items(f.size, b + k * f.size, f.lanes, x + k * lane * f.size, stride, count);
}
static void scatter(const leaf_facts& f, u8* y, ms_int stride, const u8* b, ms_int count) {
  for (int k = 0; k < f.lanes; ++k) copy_items(f.size, y + k * f.size, stride, b + k * f.size, f.lanes, count);
}

static const u8* input_of(const piece& p, const leaf_facts& f) {
  return (const u8*)p.g->inputs[f.index].data + p.in[f.index] * f.size;
}
static u8* output_of(const piece& p, const leaf_facts& f) {
  return (u8*)p.g->outputs[f.index].data + p.out[f.index] * f.size;
}
static bool side_by_side(const ms_array& a, const leaf_facts& f) { return f.lanes == 1 || a.lane == 1; }

// ------------------------------------------------------------------ rows
bool rows_lie_ready(const ms_launch* g) {
  bool all = true;
  for (int i = 0; i < facts.in.count; ++i) {
    const leaf_facts& f = facts.in.at[i];
    all = all && g->inputs[f.index].axis == f.lanes && side_by_side(g->inputs[f.index], f);
  }
  for (int i = 0; i < facts.out.count; ++i) all = all && g->outputs[i].axis == facts.out.at[i].lanes;
  return all;
}
void point_into_rows(const piece& p, ms_int at, const u8** x, u8** y) {
  for (int i = 0; i < facts.in.count; ++i) {
    const leaf_facts& f = facts.in.at[i];
    x[f.index] = input_of(p, f) + at * f.bytes();
  }
  for (int i = 0; i < facts.out.count; ++i) y[i] = output_of(p, facts.out.at[i]) + at * facts.out.at[i].bytes();
}
void pack_rows(const piece& p, ms_int at, ms_int count, ms_int tile, const u8** x, u8** y) {
  u8* b = p.buffer;
  for (int i = 0; i < facts.in.count; ++i) {
    const leaf_facts& f = facts.in.at[i];
    const ms_array& a = p.g->inputs[f.index];
    gather(f, b, input_of(p, f) + at * a.axis * f.size, a.axis, a.lane, count);
    x[f.index] = b, b += tile * f.bytes();
  }
  for (int i = 0; i < facts.out.count; ++i) y[i] = b, b += tile * facts.out.at[i].bytes();
}
void unpack_rows(const piece& p, ms_int at, ms_int count, u8* const* y) {
  for (int i = 0; i < facts.out.count; ++i) {
    const leaf_facts& f = facts.out.at[i];
    const ms_int stride = p.g->outputs[i].axis;
    scatter(f, output_of(p, f) + at * stride * f.size, stride, y[i], count);
  }
}
bool at_cache_lines(u8* const* y, ms_int end) {
  bool all = true;
  for (int i = 0; i < facts.out.count; ++i)
    all = all && (facts.out.at[i].lanes > 1 || (u64)(y[i] + end * facts.out.at[i].size) % 64 == 0);
  return all;
}

// ------------------------------------------------------------------ columns
static bool lies_in_columns(const ms_array& a, const leaf_facts& f) { return a.inner == f.lanes && side_by_side(a, f); }
bool columns_lie_ready(const ms_launch* g) {
  bool all = true;
  for (int i = 0; i < facts.in.count; ++i) {
    const leaf_facts& f = facts.in.at[i];
    all = all && lies_in_columns(g->inputs[f.index], f);
  }
  return all;
}
void point_into_columns(const piece& p, ms_int t, const u8** x) {
  const ms_int width = padded_to(p.g->inner, facts.width);
  u8* b = p.buffer + width * facts.captured.bytes;
  for (int i = 0; i < facts.in.count; ++i) {
    const leaf_facts& f = facts.in.at[i];
    const ms_array& a = p.g->inputs[f.index];
    x[f.index] = input_of(p, f) + (t * a.axis + p.c0 * a.inner) * f.size;
    if (!lies_in_columns(a, f)) gather(f, b, x[f.index], a.inner, a.lane, p.c1 - p.c0), x[f.index] = b;
    b += width * f.bytes();
  }
}
void point_results_into_columns(const piece& p, ms_int t, u8** y) {
  for (int i = 0; i < facts.out.count; ++i) {
    const leaf_facts& f = facts.out.at[i];
    y[i] = output_of(p, f) + (t * p.g->outputs[i].axis + p.c0 * f.lanes) * f.size;
  }
}
void pack_captures(const piece& p, const u8** c) {
  u8* b = p.buffer;
  for (int i = 0; i < facts.captured.count; ++i) {
    const leaf_facts& f = facts.captured.at[i];
    const ms_array& a = p.g->inputs[f.index];
    const u8* const x = input_of(p, f) + p.c0 * a.inner * f.size;
    c[f.index - facts.arity] = b;
    for (int k = 0; k < f.lanes; ++k, b += padded_to(p.g->inner, facts.width) * f.size)
      copy_items(f.size, b, 1, x + k * a.lane * f.size, a.inner, p.c1 - p.c0);
  }
}

// ------------------------------------------------------------------ lines: several rows of few columns
static bool lies_in_lines(const ms_array& a, const leaf_facts& f, ms_int inner) {
  return a.inner == f.lanes && a.axis == f.lanes * inner && side_by_side(a, f);
}
bool lines_lie_ready(const ms_launch* g) {
  bool all = true;
  for (int i = 0; i < facts.in.count; ++i) {
    const leaf_facts& f = facts.in.at[i];
    all = all && lies_in_lines(g->inputs[f.index], f, g->inner);
  }
  for (int i = 0; i < facts.out.count; ++i) all = all && lies_in_lines(g->outputs[i], facts.out.at[i], g->inner);
  return all;
}
void point_into_lines(const piece& p, ms_int at, const u8** x, u8** y) { point_into_rows(p, at * p.g->inner, x, y); }
void pack_lines(const piece& p, ms_int at, ms_int count, ms_int tile, const u8** x, u8** y) {
  const ms_int inner = p.g->inner, room = padded_to(tile * inner, facts.width);
  u8* b = p.buffer + padded_to(inner, facts.width) * facts.captured.bytes;
  for (int i = 0; i < facts.in.count; ++i) {
    const leaf_facts& f = facts.in.at[i];
    const ms_array& a = p.g->inputs[f.index];
    for (ms_int t = 0; t < count; ++t)
      gather(f, b + t * inner * f.bytes(), input_of(p, f) + (at + t) * a.axis * f.size, a.inner, a.lane, inner);
    x[f.index] = b, b += room * f.bytes();
  }
  for (int i = 0; i < facts.out.count; ++i) y[i] = b, b += room * facts.out.at[i].bytes();
}
void unpack_lines(const piece& p, ms_int at, ms_int count, u8* const* y) {
  const ms_int inner = p.g->inner;
  for (int i = 0; i < facts.out.count; ++i) {
    const leaf_facts& f = facts.out.at[i];
    u8* const to = output_of(p, f);
    for (ms_int t = 0; t < count; ++t)
      copy_items(f.size, to + (at + t) * p.g->outputs[i].axis * f.size, 1, y[i] + t * inner * f.bytes(), 1,
                 inner * f.lanes);
  }
}
#include "tasks.h"
#include "back_tasks.h"
