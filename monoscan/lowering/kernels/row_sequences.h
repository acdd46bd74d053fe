// Sequences of wide elements, whose loops take what they start from out of arrays, and put there where they end.
#pragma once
#include "back_sequences.h"

// A task has arrays of its own for the states at the end of a sequence: results that do not count repeat them.
static ms_int state_bytes(const ms_launch* g, const carry_facts& f) { return lines_of(f.lanes * f.size * g->inner); }
static ms_int states_bytes(const ms_launch* g) {
  ms_int bytes = 0;
  for (int i = 0; i < facts.carried_count; ++i) bytes += state_bytes(g, facts.carried[i]);
  return bytes;
}
static ms_int row_sequence_bytes(const ms_launch* g) {
  return 2 * lines_of(walk_bytes()) + lines_of(facts.carries * (ms_int)sizeof(ms_array)) + lines_of(facts.carries * 8) +
         states_bytes(g);
}
struct row_task {
  const ms_launch* g;
  u8* memory;
  ms_array* states;
  ms_launch own;
  walk at;
  piece p;

  // `whole` says which columns, and its buffer.
  row_task(const ms_launch* given, u8* room, const piece& whole)
      : g(given), memory(room), own(*given), at(walk_in(room + lines_of(walk_bytes()))), p(whole) {
    states = (ms_array*)(room + 2 * lines_of(walk_bytes()));
    u8* row = (u8*)states + lines_of(facts.carries * (ms_int)sizeof *states);
    __builtin_memset(row, 0, (unsigned long)lines_of(facts.carries * 8));
    p.carry_out = (const ms_int*)row, row += lines_of(facts.carries * 8);
    for (int i = 0; i < facts.carried_count; ++i) {
      const carry_facts& f = facts.carried[i];
      ms_array& a = states[f.index];
      a.data = row, a.inner = f.lanes, a.lane = 1, row += state_bytes(g, f);
    }
    own.carries = states, own.want_carry = 1;
    p.g = &own, p.in = at.in, p.out = at.out, p.init = at.init;
  }
  u8* state(const carry_facts& f, ms_int j) const { return (u8*)states[f.index].data + j * f.lanes * f.size; }
  template <class Each> void each_state(Each each) const {
    for (int i = 0; i < facts.carried_count; ++i)
      for (ms_int j = p.c0; j < p.c1; ++j) each(facts.carried[i], j);
  }
  // What a sequence starts from, or what stands where nothing came yet.
  void take_start(bool given) {
    each_state([&](const carry_facts& f, ms_int j) {
      const ms_array* const a = given ? g->inits + f.index : nullptr;
      const u8* x = g->fills ? (const u8*)g->fills[f.index] : nullptr;
      if (a) x = (const u8*)a->data + (at.init[f.index] + j * a->inner) * f.size;
      if (x) copy_items(f.size, state(f, j), 1, x, a ? a->lane : 1, f.lanes);
      else __builtin_memset(state(f, j), 0, (unsigned long)(f.lanes * f.size));
    });
  }
  void give_states() {
    each_state([&](const carry_facts& f, ms_int j) {
      const ms_array& a = g->carries[f.index];
      u8* const y = (u8*)a.data + (at.carry[f.index] + j * a.inner) * f.size;
      __builtin_memcpy(y, state(f, j), (unsigned long)(f.lanes * f.size));
    });
  }
  void put_state(const leaf_facts& f, int shown, ms_int j, u8* y) const {
    if (shown < 0) return (void)__builtin_memset(y, 0, (unsigned long)f.bytes());
    const carry_facts& c = facts.carried[shown];
    if (c.size == f.size) __builtin_memcpy(y, state(c, j), (unsigned long)f.bytes());
    else round_items(f.bfloat, (u16*)y, 1, (const f32*)state(c, j), f.lanes);
  }
  void fill_steps(ms_int from, ms_int to) {
    for (int i = 0; i < facts.out.count && from < to; ++i) {
      const leaf_facts& f = facts.out.at[i];
      const ms_array& a = g->outputs[f.index];
      for (ms_int j = p.c0; j < p.c1; ++j) {
        u8* const y = output_of(p, f) + (from * a.axis + j * a.inner) * f.size;
        put_state(f, facts.shown[i], j, y);
        repeat(y, a.axis * f.size, f.bytes(), to - from, false);
      }
    }
  }
  void scan(const walk& row, const sequence& s) {
    come_to(g, row, s.begin, s.number, at);
    own.n = s.counted;
    if (s.counted == 0 || (facts.reverse && s.counted < s.steps())) take_start(g->has_init);
    if (facts.reverse) fill_steps(s.counted, s.steps());
    if (s.counted > 0) span(p, true);
    if (!facts.reverse) fill_steps(s.counted, s.steps());
    if (g->want_carry) give_states();
  }
  void skip(const walk& row, ms_int from, ms_int to) {
    come_to(g, row, from, 0, at);
    take_start(false);
    fill_steps(0, to - from);
  }
  void run(ms_int share, ms_int shares) {
    each_sequence(
        g, share, shares, memory, [&](const walk& row, const sequence& s) { scan(row, s); },
        [&](const walk& row, ms_int from, ms_int to) { skip(row, from, to); });
  }
};

// Equal shares of all steps; of few sequences some columns each.
struct row_shares {
  ms_int steps, columns;
};
static row_shares row_shares_of(const ms_launch* g) {
  const ms_int sequences = g->outer_size * (g->bounds ? g->sequences : 1);
  const double work = facts.nanoseconds * (double)g->n * (double)g->inner * (double)g->outer_size;
  if (work < 60e3 || sequences < 1) return {1, 1};
  const ms_int steps = least(least(sequences, 8), 1 + (ms_int)(work / 30e3));
  return {steps, steps >= 4 ? 1 : least(g->inner, 8 / steps)};
}
static ms_int row_share_bytes(const ms_launch* g) {
  return lines_of(buffer_bytes(g)) + (facts.adjoint ? back_sequence_bytes(g) : row_sequence_bytes(g));
}
static void schedule_row_sequences(const ms_launch* g, struct ms_schedule* s) {
  const row_shares shares = row_shares_of(g);
  s->phases = 1, s->tasks[0] = shares.steps * shares.columns;
  s->scratch_bytes = s->tasks[0] * row_share_bytes(g);
}
static void run_row_sequences(const ms_launch* g, ms_int task) {
  const row_shares shares = row_shares_of(g);
  const ms_int group = task % shares.columns, share = task / shares.columns;
  u8* const memory = (u8*)g->scratch + task * row_share_bytes(g);
  piece p = {};
  p.c0 = g->inner * group / shares.columns, p.c1 = g->inner * (group + 1) / shares.columns, p.buffer = memory;
  __builtin_memset(p.buffer, 0, (unsigned long)buffer_bytes(g));  // what is behind rows is computed with as well
  u8* const rest = memory + lines_of(buffer_bytes(g));
  if (facts.adjoint) back_task(g, rest, p).run(share, shares.steps);
  else row_task(g, rest, p).run(share, shares.steps);
}
