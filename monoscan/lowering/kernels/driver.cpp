// The driver of kernels, compiled once for all of them.
#include "copies.h"

// Room for so many bytes, up to the end of a cache line.
static ms_int lines_of(ms_int bytes) { return (bytes + 63) / 64 * 64; }

static const u8* input_of(const piece& p, const leaf_facts& f) {
  return (const u8*)p.g->inputs[f.index].data + p.in[f.index] * f.size;
}
static u8* output_of(const piece& p, const leaf_facts& f) {
  return (u8*)p.g->outputs[f.index].data + p.out[f.index] * f.size;
}
static bool side_by_side(const ms_array& a, const leaf_facts& f) { return f.lanes == 1 || a.lane == 1; }

// ------------------------------------------------------------------ tiles
// A leaf that is not laid out as the loop wants it goes through a tile of the buffer, `room` bytes for each byte of an
// element; the others are pointed at. What is the same at every step is copied once, into the first tile, which is the
// largest.
static bool lies_in_rows(const ms_array& a, const leaf_facts& f) { return a.axis == f.lanes && side_by_side(a, f); }
static bool stays(const ms_array& a, bool first) { return a.axis == 0 && !first; }

// ------------------------------------------------------------------ rows
bool rows_lie_ready(const ms_launch* g) {
  bool all = true;
  for (int i = 0; i < facts.in.count; ++i) {
    const leaf_facts& f = facts.in.at[i];
    all = all && lies_in_rows(g->inputs[f.index], f);
  }
  for (int i = 0; i < facts.out.count; ++i) all = all && lies_in_rows(g->outputs[i], facts.out.at[i]);
  return all;
}
void inputs_at(const piece& p, ms_int at, ms_int count, ms_int tile, const u8** x, bool same) {
  const bool first = same && at == (facts.reverse ? p.g->n - p.t0 - count : p.t0);
  u8* b = p.buffer;
  for (int i = 0; i < facts.in.count; ++i, b += tile * facts.in.at[i - 1].bytes()) {
    const leaf_facts& f = facts.in.at[i];
    const ms_array& a = p.g->inputs[f.index];
    const u8* const from = input_of(p, f) + at * a.axis * f.size;
    const bool ready = lies_in_rows(a, f);
    x[f.index] = ready ? from : b;
    if (!ready && !stays(a, first)) gather(f, b, from, a.axis, a.lane, count);
  }
}
void outputs_at(const piece& p, ms_int at, ms_int tile, u8** y) {
  u8* b = p.buffer + tile * facts.in.bytes;
  for (int i = 0; i < facts.out.count; ++i, b += tile * facts.out.at[i - 1].bytes()) {
    const leaf_facts& f = facts.out.at[i];
    const ms_array& a = p.g->outputs[i];
    y[i] = lies_in_rows(a, f) ? output_of(p, f) + at * f.bytes() : b;
  }
}
void rows_at(const piece& p, ms_int at, ms_int count, ms_int tile, const u8** x, u8** y, bool same) {
  inputs_at(p, at, count, tile, x, same), outputs_at(p, at, tile, y);
}
void unpack_rows(const piece& p, ms_int at, ms_int count, u8* const* y) {
  for (int i = 0; i < facts.out.count; ++i) {
    const leaf_facts& f = facts.out.at[i];
    const ms_array& a = p.g->outputs[i];
    if (!lies_in_rows(a, f)) scatter(f, output_of(p, f) + at * a.axis * f.size, a.axis, y[i], count);
  }
}
bool at_cache_lines(u8* const* y, ms_int end) {
  bool all = true;
  for (int i = 0; i < facts.out.count; ++i)
    all = all && (facts.out.at[i].lanes > 1 || (u64)(y[i] + end * facts.out.at[i].size) % 64 == 0);
  return all;
}

// ------------------------------------------------------------------ columns
static bool lies_in_columns(const ms_array& a, const leaf_facts& f) {
  return a.inner == (f.alike ? 0 : f.lanes) && side_by_side(a, f);
}
bool columns_lie_ready(const ms_launch* g) {
  bool all = true;
  for (int i = 0; i < facts.in.count; ++i) {
    const leaf_facts& f = facts.in.at[i];
    all = all && lies_in_columns(g->inputs[f.index], f);
  }
  for (int i = 0; i < facts.out.count; ++i) all = all && lies_in_columns(g->outputs[i], facts.out.at[i]);
  return all;
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
// The same for all columns: read row by row, and arranged when it is in a register.
static bool is_shared(const ms_array& a, const leaf_facts& f) { return a.inner == 0 && lies_in_rows(a, f); }
bool lines_lie_ready(const ms_launch* g) {
  bool all = true;
  for (int i = 0; i < facts.in.count; ++i) {
    const leaf_facts& f = facts.in.at[i];
    all = all && (lies_in_lines(g->inputs[f.index], f, g->inner) || is_shared(g->inputs[f.index], f));
  }
  for (int i = 0; i < facts.out.count; ++i) all = all && lies_in_lines(g->outputs[i], facts.out.at[i], g->inner);
  return all;
}
// Row by row where the items of one lie side by side, else column by column: the longer loop is the inner one.
static void gather_lines(const leaf_facts& f, u8* b, const u8* x, const ms_array& a, ms_int inner, ms_int count) {
  const ms_int row = inner * f.bytes();
  if (a.inner == f.lanes && side_by_side(a, f)) return copy_packed((int)row, b, row, x, a.axis * f.size, count);
  for (ms_int j = 0; j < inner; ++j)
    for (int k = 0; k < f.lanes; ++k)
      copy_items(f.size, b + (j * f.lanes + k) * f.size, inner * f.lanes, x + (j * a.inner + k * a.lane) * f.size,
                 a.axis, count);
}
void lines_at(const piece& p, ms_int at, ms_int count, ms_int tile, const u8** x, bool* shared, u8** y) {
  const bool first = at == (facts.reverse ? p.g->n - p.t0 - count : p.t0);
  const ms_int inner = p.g->inner, room = padded_to(tile * inner, facts.width);
  u8* b = p.buffer + padded_to(inner, facts.width) * facts.captured.bytes;
  for (int i = 0; i < facts.in.count; ++i, b += room * facts.in.at[i - 1].bytes()) {
    const leaf_facts& f = facts.in.at[i];
    const ms_array& a = p.g->inputs[f.index];
    const u8* const from = input_of(p, f) + at * a.axis * f.size;
    shared[f.index] = is_shared(a, f);
    const bool ready = shared[f.index] || lies_in_lines(a, f, inner);
    x[f.index] = ready ? from : b;
    if (ready || stays(a, first)) continue;
    gather_lines(f, b, from, a, inner, count);
  }
  for (int i = 0; i < facts.out.count; ++i, b += room * facts.out.at[i - 1].bytes()) {
    const leaf_facts& f = facts.out.at[i];
    const bool ready = lies_in_lines(p.g->outputs[i], f, inner);
    y[i] = ready ? output_of(p, f) + at * inner * f.bytes() : b;
  }
}
void unpack_lines(const piece& p, ms_int at, ms_int count, u8* const* y) {
  const ms_int inner = p.g->inner;
  for (int i = 0; i < facts.out.count; ++i) {
    const leaf_facts& f = facts.out.at[i];
    const ms_array& a = p.g->outputs[i];
    if (lies_in_lines(a, f, inner)) continue;
    u8* const to = output_of(p, f) + at * a.axis * f.size;
    for (ms_int t = 0; t < count; ++t)
      copy_items(f.size, to + t * a.axis * f.size, 1, y[i] + t * inner * f.bytes(), 1, inner * f.lanes);
  }
}
#include "tiles.h"
#include "tasks.h"
#include "window_tasks.h"
#include "back_tasks.h"
#include "summed_tasks.h"
