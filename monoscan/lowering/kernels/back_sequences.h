// Sequences of an adjoint: what the results of steps that do not count repeat gets their cotangents.
//
// In fold order such steps stand behind those that count, and repeat the last state, or before them (`reverse`), and
// repeat the first. Their own gradients are zero.
#pragma once
#include "sequences.h"

// ------------------------------------------------------------------ sums
typedef f32 f32s __attribute__((vector_size(32)));
typedef f64 f64s __attribute__((vector_size(32)));
template <class V> INLINE V some_of(const void* from) {
  V x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}
// Of as many rows as there are, column by column; what is left of one, one by one.
template <class V, class T> static void add_row(T* to, const T* from, ms_int count) {
  static constexpr ms_int wide = sizeof(V) / sizeof(T);
  ms_int i = 0;
  for (; i + wide <= count; i += wide) store_bits(to + i, some_of<V>(to + i) + some_of<V>(from + i));
  for (; i < count; ++i) to[i] += from[i];
}
template <class V, class T> static T add_up(const T* from, ms_int count) {
  static constexpr ms_int wide = sizeof(V) / sizeof(T);
  V sums[4] = {};
  ms_int i = 0;
  for (; i + 4 * wide <= count; i += 4 * wide)
    for (int k = 0; k < 4; ++k) sums[k] += some_of<V>(from + i + k * wide);
  const V all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  T sum = 0;
  for (int k = 0; k < wide; ++k) sum += all[k];
  for (; i < count; ++i) sum += from[i];
  return sum;
}
static f32 from_item(const leaf_facts& f, u16 x) { return f.bfloat ? from_bfloat(x) : from_half(x); }
// The cotangents of some steps added to a row of `columns` elements, whose items stand side by side.
struct steps_of_leaf {
  const leaf_facts& f;
  const ms_array& a;
  const u8* first;
  ms_int steps, columns;

  template <class V, class T> void add_wide(T* to) const {
    const T* x = (const T*)first;
    const bool packed = f.lanes == 1 || a.lane == 1;
    if (columns == 1 && f.lanes == 1 && a.axis == 1) return (void)(*to += add_up<V>(x, steps));
    for (ms_int t = 0; t < steps; ++t, x += a.axis) {
      if (packed && (columns == 1 || a.inner == f.lanes)) add_row<V>(to, x, columns * f.lanes);
      else
        for (ms_int j = 0; j < columns; ++j)
          for (int k = 0; k < f.lanes; ++k) to[j * f.lanes + k] += x[j * a.inner + k * a.lane];
    }
  }
  void add_halves(f32* to) const {
    const u16* x = (const u16*)first;
    for (ms_int t = 0; t < steps; ++t, x += a.axis)
      for (ms_int j = 0; j < columns; ++j)
        for (int k = 0; k < f.lanes; ++k) to[j * f.lanes + k] += from_item(f, x[j * a.inner + k * a.lane]);
  }
  void add(u8* to) const {
    if (f.size == 2) add_halves((f32*)to);
    else if (f.size == 4) add_wide<f32s>((f32*)to);
    else add_wide<f64s>((f64*)to);
  }
};

// ------------------------------------------------------------------ one task
// Memory of a task: where a sequence begins in every array, the inits as the loop sees them, and rows for cotangents
// of the states at both ends.
static ms_int row_bytes(const ms_launch* g, const leaf_facts& f) { return lines_of(f.bytes() * g->inner); }
static ms_int ends_bytes(const ms_launch* g) {
  ms_int bytes = 0;
  for (int i = 0; i < facts.adjoint->ends.count; ++i) bytes += row_bytes(g, facts.adjoint->ends.at[i]);
  return bytes;
}
static ms_int back_sequence_bytes(const ms_launch* g) {
  return 2 * lines_of(walk_bytes()) + lines_of(facts.inits * (ms_int)sizeof(ms_array)) + 2 * ends_bytes(g);
}
struct back_task {
  const ms_launch* g;
  u8 *memory, *last, *first;  // rows of cotangents
  ms_array* inits;
  ms_launch own;
  walk at;
  piece p;

  // `p` says which columns, and its buffers.
  back_task(const ms_launch* given, u8* room, const piece& whole)
      : g(given), memory(room), own(*given), at(walk_in(room + lines_of(walk_bytes()))), p(whole) {
    inits = (ms_array*)(room + 2 * lines_of(walk_bytes()));
    last = (u8*)inits + lines_of(facts.inits * (ms_int)sizeof(ms_array)), first = last + ends_bytes(g);
    __builtin_memcpy(inits, g->inits, (unsigned long)facts.inits * sizeof *inits);
    own.inits = inits;
    each_end([&](const leaf_facts& f, ms_int offset) {
      ms_array& a = inits[f.index];
      a.data = last + offset, a.inner = g->inner > 1 ? f.lanes : 0, a.lane = 1;
    });
    p.g = &own, p.in = at.in, p.out = at.out, p.init = at.init, p.carry_out = at.carry;
  }
  template <class Each> void each_end(Each each) const {
    const leaf_list& ends = facts.adjoint->ends;
    for (ms_int i = 0, offset = 0; i < ends.count; offset += row_bytes(g, ends.at[i++])) each(ends.at[i], offset);
  }
  ms_int columns() const { return p.c1 - p.c0; }

  // The cotangents of the carries to their row, which the loop takes for inits.
  void take_ends() {
    each_end([&](const leaf_facts& f, ms_int offset) {
      const ms_array& a = g->inits[f.index];
      const u8* const x = (const u8*)a.data + (at.init[f.index] + p.c0 * a.inner) * f.size;
      u8* const row = last + offset + p.c0 * f.bytes();
      for (int k = 0; k < f.lanes; ++k)
        copy_items(f.size, row + k * f.size, f.lanes, x + k * a.lane * f.size, a.inner, columns());
      at.init[f.index] = 0;
    });
    __builtin_memset(first, 0, (unsigned long)ends_bytes(g));
  }
  // What the results of some steps repeat gets their cotangents.
  void add_weights(u8* rows, ms_int from, ms_int to) {
    const leaf_list& weights = facts.adjoint->weights;
    for (int i = 0; i < weights.count; ++i) {
      const leaf_facts& f = weights.at[i];
      const ms_array& a = g->inputs[f.index];
      const u8* const x = input_of(p, f) + (from * a.axis + p.c0 * a.inner) * f.size;
      each_end([&](const leaf_facts& e, ms_int offset) {
        if (e.index == facts.adjoint->shown[i])
          steps_of_leaf{f, a, x, to - from, columns()}.add(rows + offset + p.c0 * e.bytes());
      });
    }
  }
  void clear_results(ms_int from, ms_int to) {
    const leaf_list& out = facts.adjoint->out;
    for (int i = 0; i < out.count && from < to; ++i) put_everywhere(p, out.at[i], -1, from, to);
  }
  // To the cotangents of the inits, or all there is of them where no step counts; sums over no steps are zero.
  template <bool added> void give_ends(const u8* rows) {
    each_end([&](const leaf_facts& f, ms_int offset) {
      const ms_array& a = g->carries[f.index];
      u8* const y = (u8*)a.data + (at.carry[f.index] + p.c0 * a.inner) * f.size;
      const u8* const row = rows + offset + p.c0 * f.bytes();
      for (int k = 0; k < f.lanes; ++k)
        for (ms_int j = 0; j < columns(); ++j) {
          u8* const to = y + (j * a.inner + k * a.lane) * f.size;
          const u8* const from = row + (j * f.lanes + k) * f.size;
          if (!added) __builtin_memcpy(to, from, (unsigned long)f.size);
          else if (f.size == 4) *(f32*)to += *(const f32*)from;
          else *(f64*)to += *(const f64*)from;
        }
    });
  }
  void clear_sums() {
    const leaf_list& sums = facts.adjoint->sums;
    for (int i = 0; i < sums.count; ++i) {
      const leaf_facts& f = sums.at[i];
      const ms_array& a = g->carries[f.index];
      for (ms_int j = p.c0; j < p.c1; ++j)
        __builtin_memset((u8*)a.data + (at.carry[f.index] + j * a.inner) * f.size, 0, (unsigned long)f.bytes());
    }
  }

  void walk_back(const walk& row, const sequence& s) {
    come_to(g, row, s.begin, s.number, at);
    own.n = s.counted;
    take_ends();
    if (s.counted < s.steps()) {
      add_weights(facts.reverse ? first : last, s.counted, s.steps());
      clear_results(s.counted, s.steps());
    }
    if (s.counted > 0) span(p, true);
    else clear_sums();
    if (!facts.adjoint->seeded) return;
    if (s.counted == 0) give_ends<false>(last);
    if (facts.reverse && s.counted < s.steps()) give_ends<true>(first);
  }
  void skip(const walk& row, ms_int from, ms_int to) {
    come_to(g, row, from, 0, at);
    clear_results(0, to - from);
  }
  void run(ms_int share, ms_int shares) {
    each_sequence(
        g, share, shares, memory, [&](const walk& row, const sequence& s) { walk_back(row, s); },
        [&](const walk& row, ms_int from, ms_int to) { skip(row, from, to); });
  }
  // Whole rows, from where a walk has come to.
  void run_rows(walk& row, ms_int from, ms_int to) {
    for (; from < to; ++from, advance(g, row))
      sequences_between(
          g, row, 0, g->n + 1, [&](const walk& w, const sequence& s) { walk_back(w, s); },
          [&](const walk& w, ms_int begin, ms_int end) { skip(w, begin, end); });
  }
};
