// Columns that end where they will: all go on together, from one end of a column to the next.
//
// A column that has ended, or is to begin, is computed on with what stands there, and its state put back; so no loop
// has conditions, and the order of each fold is that of the column alone.
#pragma once
#include "sequences.h"

static constexpr ms_int TOGETHER_AT_MOST = 64;  // each end of a column is an end for all of these

struct uneven_columns {
  piece p;               // the columns, with their carries
  piece kept;            // the same columns with other carries: states of those that do not go on
  piece before, behind;  // and with those around a step at which some begin
  ms_int steps, columns, counted[TOGETHER_AT_MOST];

  uneven_columns(const piece& whole, u8* room, const ms_launch* g, const walk& row, const sequence& s, ms_int first)
      : p(whole), steps(s.steps()) {
    p.c0 = first, p.c1 = least(whole.c1, first + TOGETHER_AT_MOST), columns = p.c1 - p.c0;
    const ms_int bytes = p.pitch * facts.carry_bytes;
    kept = before = behind = p, kept.carry = room, before.carry = room + bytes, behind.carry = room + 2 * bytes;
    const int* const lengths = (const int*)g->lengths->data + row.lengths + s.number * g->lengths->axis;
    for (ms_int j = 0; j < columns; ++j) {
      const int length = lengths[(p.c0 + j) * g->lengths->inner];
      counted[j] = length < 0 ? 0 : least(length, steps);
    }
  }
  // In fold order.
  ms_int begin(ms_int j) const { return facts.reverse ? steps - counted[j] : 0; }
  ms_int end(ms_int j) const { return facts.reverse ? steps : counted[j]; }
  // The next step after `t` at which one begins, or ends; `steps` if there is none.
  ms_int next(ms_int t) const {
    ms_int found = steps;
    for (ms_int j = 0; j < columns; ++j) {
      const ms_int at = facts.reverse ? begin(j) : end(j);
      if (at > t) found = least(found, at);
    }
    return found;
  }
  void copy_states(const piece& to, const piece& from, ms_int j, ms_int count) const {
    for (int i = 0; i < facts.carried_count; ++i)
      for (int k = 0; k < facts.carried[i].lanes; ++k) {
        const carry_facts& f = facts.carried[i];
        copy_items(f.size, carry_row(to, f, k) + j * f.size, 1, carry_row(from, f, k) + j * f.size, 1, count);
      }
  }
  void go(ms_int first, ms_int last, ms_int from, ms_int to, bool seeded) {
    piece q = p;
    q.c0 = p.c0 + first, q.c1 = p.c0 + last, q.t0 = from, q.t1 = to, q.seeded = seeded;
    if (from < to) span(q, facts.want_results);
  }
  ms_int longest() const {
    ms_int found = 0;
    for (ms_int j = 0; j < columns; ++j) found = found < counted[j] ? counted[j] : found;
    return found;
  }
  // The array of results that holds a leaf of the carries unrounded; -1: none.
  static int result_of(int carried) {
    for (int o = 0; o < facts.out.count; ++o)
      if (facts.shown[o] == carried && facts.out.at[o].size == facts.carried[carried].size) return o;
    return -1;
  }
  static bool results_hold_states() {
    for (int i = 0; i < facts.carried_count; ++i)
      if (result_of(i) < 0) return false;
    return facts.carried_count > 0;
  }
  // All columns go on to the end of the longest; the states of others are read where they ended.
  void ahead_at_once(bool seeded) {
    const ms_int most = longest();
    go(0, columns, 0, most, seeded);
    for (ms_int j = 0; j < columns; ++j)
      if (counted[j] == 0) copy_states(p, kept, j, 1);
      else if (counted[j] < most) read_states(j, counted[j] - (facts.inclusive ? 1 : 0));
  }
  void read_states(ms_int j, ms_int step) {
    for (int i = 0; i < facts.carried_count; ++i) {
      const carry_facts& c = facts.carried[i];
      const leaf_facts& f = facts.out.at[result_of(i)];
      const ms_array& a = p.g->outputs[f.index];
      const u8* const y = output_of(p, f) + (step * a.axis + (p.c0 + j) * a.inner) * f.size;
      for (int k = 0; k < c.lanes; ++k) copy_items(c.size, carry_row(p, c, k) + j * c.size, 1, y + k * c.size, 1, 1);
    }
  }
  void ahead(bool seeded) {
    if (results_hold_states()) return ahead_at_once(seeded);
    for (ms_int t = 0, last = 0; last < steps; t = last) {
      for (ms_int j = 0; j < columns; ++j)
        if (end(j) == t) copy_states(kept, p, j, 1);
      bool any = false;
      for (ms_int j = 0; j < columns; ++j) any = any || end(j) > t;
      if (!any) break;
      last = next(t), go(0, columns, t, last, seeded || t > 0);
    }
    for (ms_int j = 0; j < columns; ++j)
      if (end(j) == steps) copy_states(kept, p, j, 1);
    copy_states(p, kept, 0, columns);
  }
  // The first step of those that begin at `t`, beside one of all others. Loops store the states of whole vectors.
  void begin_some(ms_int t) {
    copy_states(before, p, 0, columns);
    for (ms_int j = 0, last; j < columns; j = last) {
      const bool begins = begin(j) == t;
      for (last = j + 1; last < columns && (begin(last) == t) == begins; ++last) continue;
      copy_states(p, before, j, last - j);
      go(j, last, t, t + 1, !begins);
      copy_states(behind, p, j, last - j);
    }
    copy_states(p, behind, 0, columns);
  }
  void back(bool seeded) {
    for (ms_int t = next(-1), last; t < steps; t = last) {
      for (ms_int j = 0; j < columns; ++j)
        if (begin(j) == t) copy_states(p, kept, j, 1);
      last = next(t);
      if (!seeded) begin_some(t);
      go(0, columns, seeded ? t : t + 1, last, true);
    }
    for (ms_int j = 0; j < columns; ++j)
      if (counted[j] == 0) copy_states(p, kept, j, 1);
  }
  void scan() {
    const bool seeded = take_init(p);
    if (!seeded) take_nothing(p);
    copy_states(kept, p, 0, columns);
    facts.reverse ? back(seeded) : ahead(seeded);
    for (int i = 0; i < facts.out.count; ++i) fill_leaf(facts.out.at[i]);
  }
  // What results repeat that do not count: from where some columns have steps on one by one, the rest at once.
  void fill_leaf(const leaf_facts& f) {
    const piece& from = facts.reverse ? kept : p;
    const ms_array& a = p.g->outputs[f.index];
    const ms_int most = longest();
    ms_int least_of_all = most;
    for (ms_int j = 0; j < columns; ++j) least_of_all = least(least_of_all, counted[j]);
    if (most < steps) put_everywhere(from, f, facts.shown[f.index], most, steps);
    if (least_of_all == most) return;
    u8* const y = output_of(p, f) + p.c0 * a.inner * f.size;
    const int shown = facts.shown[f.index];
    const bool as_held = shown >= 0 && f.lanes == 1 && facts.carried[shown].size == f.size;
    const u8* const held = as_held ? carry_row(from, facts.carried[shown], 0) : nullptr;
    for (ms_int j = 0; j < columns; ++j) {
      if (counted[j] == most) continue;
      u8* const first = y + (counted[j] * a.axis + j * a.inner) * f.size;
      if (held && f.size == 4) *(u32*)first = ((const u32*)held)[j];
      else put_column(from, f, shown, first, j);
    }
    if (f.size == 4 && f.lanes == 1) go_on((u32*)y, a, least_of_all, most);
    else if (f.size == 8 && f.lanes == 1) go_on((u64*)y, a, least_of_all, most);
    else go_on_with(f, y, a, least_of_all, most);
  }
  void put_column(const piece& from, const leaf_facts& f, int shown, u8* y, ms_int j) const {
    piece one = from;
    one.c0 = p.c0 + j, one.c1 = one.c0 + 1;
    put_row(one, f, shown, y, 0);
  }
  // From the first step that does not count on, along columns or along rows, as they lie in memory.
  template <class T> void go_on(T* y, const ms_array& a, ms_int from, ms_int to) const {
    const ms_int axis = a.axis, inner = a.inner;
    if (axis < inner || inner == 0) {
      for (ms_int j = 0; j < columns; ++j)
        for (ms_int t = counted[j] + 1; t < to; ++t) y[t * axis + j * inner] = y[(t - 1) * axis + j * inner];
      return;
    }
    for (ms_int t = from + 1; t < to; ++t)
      for (ms_int j = 0; j < columns; ++j)
        if (counted[j] < t) y[t * axis + j * inner] = y[(t - 1) * axis + j * inner];
  }
  void go_on_with(const leaf_facts& f, u8* y, const ms_array& a, ms_int from, ms_int to) const {
    for (ms_int t = from + 1; t < to; ++t)
      for (ms_int j = 0; j < columns; ++j)
        if (counted[j] < t) {
          u8* const x = y + (t * a.axis + j * a.inner) * f.size;
          __builtin_memcpy(x, x - a.axis * f.size, (unsigned long)f.bytes());
        }
  }
};
static bool uneven(const ms_launch* g) { return g->lengths && g->lengths->inner != 0; }
// The same as `scan_sequence`; `room`: for a row of carries.
static void scan_uneven(piece& p, ms_launch& own, const walk& at, const ms_launch* g, const walk& row,
                        const sequence& s, u8* room) {
  come_to(g, row, s.begin, s.number, at);
  own.n = s.steps();
  for (ms_int c = p.c0; c < p.c1 && s.steps() > 0; c += TOGETHER_AT_MOST) {
    uneven_columns together(p, room, g, row, s, c);
    together.scan();
  }
  if (s.steps() == 0 && !take_init(p)) take_nothing(p);
  if (g->want_carry) give_carry(p);
}
