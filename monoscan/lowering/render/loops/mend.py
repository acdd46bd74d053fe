"""inner == 1: a block whose results came out bad, once more in the order of the fold.

It is the cold end of every block, so all of them share it, and it takes one element at a time.
"""

from __future__ import annotations

from monoscan.lowering.render.guard import GuardText
from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.spec import KernelSpec

MEND = """\
// One register again, element by element from a carry: the results from the first bad one on.
NOINLINE void again(const state& x, int m, bool seeded, const state& before, state& carry, state* y, const captures& k,
                    bool& found) {
  for (int i = 0; i < m; ++i, seeded = true) {
    const int lane = @lane;
    const state own = spread(x, lane), next = seeded ? combine(carry, own, k) : own;
    if (y) {
      found = found || spoilt_results(before, *y)[lane];
      if (found) *y = choose(iota == lane, @out, *y);
    }
    carry = next;
  }
}
// Registers that lie side by side, whose results or whose carry came out bad; what was bad for ever is not mended.
NOINLINE void mend(const elements& e, ms_int at, int registers, bool seeded, const state& before, state& carry,
                   state* y, const captures& k) {
  i32v wrong = spoilt(before, carry);
  for (int i = 0; y && i < registers; ++i) wrong |= spoilt_results(before, y[i]);
  if (!any(wrong)) return;
  state x, c = before;
  bool found = false;
  for (int i = 0; i < registers; ++i, seeded = true) {
    const int n = @register;
    load(e, at + n * W, x);
    again(x, W, seeded, before, c, y ? y + n : y, k, found);
  }
  if (any(spoilt(before, carry))) carry = c;
}
"""

KEPT = """\
// Stores a block that was kept back; behind its registers stands its carry.
NOINLINE void mend_block(const elements& e, const results& r, ms_int at, bool seeded, state& carry, state* kept,
                         const captures& k) {
  mend(e, at, @length, seeded, carry, kept[@length], kept, k);
  for (int i = 0; i < @length; ++i) store(r, at + i * W, kept[i]);
  carry = kept[@length];
}
"""


def functions(spec: KernelSpec, guard: GuardText, identity: str, length: int) -> str:
    """What does a block of `length` registers again; nothing where nothing can go wrong."""
    if not guard.needed:
        return ""
    back = spec.reverse
    start = f"state{identity}" if spec.identity is not None else "carry"
    text = fill(
        MEND,
        lane="W - 1 - i" if back else "i",
        register="registers - 1 - i" if back else "i",
        out="next" if spec.inclusive else f"seeded ? carry : {start}",
    )
    return text + fill(KEPT, length=length) if spec.want_results else text


def step(condition: str) -> str:
    """Lines that do one register and the carry behind it again if need be."""
    # Copies, since what has an address is not held in registers.
    return f"""\
  if ({condition}) {{
    const state b = before, own = given;
    state n = carry, c = b, o = out;
    bool found = false;
    again(own, m, seeded, b, c, &o, k, found);
    carry = any(spoilt(b, n)) ? c : n, out = o;
  }}
"""
