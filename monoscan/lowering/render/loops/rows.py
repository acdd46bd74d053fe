"""inner == 1: a block transpose gives every lane a run of consecutive elements.

A block of L registers is transposed so that lane p holds run p; L - 1 combines fold all
runs in step, one Kogge-Stone over the run totals gives each run what comes before it in
the block, the carry is combined in front, and L combines finish. What is left at the end
goes register by register. No identity is needed: a lane with nothing before it keeps its
own value.
"""

from __future__ import annotations

from itertools import pairwise

from monoscan.lowering.render.loops import patterns
from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.loops.patterns import arguments
from monoscan.lowering.render.loops.row_memory import span_text
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.render.state import StateText, weight

HEAVY = 24
"""From this weight on (one exp and more), runs of 8 pay: fewer combines an element, more
registers. Below it two blocks of runs of 4 side by side do: each hides the other's latency."""

SCAN = """\
// Inclusive scan over the @what of a register (Kogge-Stone).
INLINE state scan_@what(state t, const captures& k) {
@rounds  return t;
}
"""

STEP = """\
// Up to W elements.
template <bool scan>
NOINLINE void step(const elements& e, const results& r, ms_int at, int m, bool seeded, state& carry,
                   const captures& k) {
  state x;
  m == W ? load(e, at, x) : load_part(e, at, m, x);
  x = scan_lanes(x, k);
  const state y = seeded ? combine(carry, x, k) : x;
  if (scan) {
@out
    m == W ? store(r, at, out) : store_part(r, at, m, out);
  }
  carry = spread(y, @last);
}
"""

LINE = """\
// Consecutive elements.
NOINLINE void scan_line(const elements e, const results r, ms_int length, bool seeded, state& last,
                        const captures& k, bool past) {
  const ms_int size = @length * W;
  ms_int i = 0;
  state carry = last;
  if (!seeded && length >= size) {
    first_block(e, r, @first_at, carry, k, past);
    i = size, seeded = true;
  }
  if (seeded) {
@pairs    for (; i + size <= length; i += size) block(e, r, @block_at, carry, k, past);
  }
  @keep
  for (ms_int m; i < length; i += m, seeded = true) {
    m = least(W, length - i);
    step<true>(e, r, @step_at, (int)m, seeded, last, k);
  }
}
"""

PAIRS = """\
    for (; i + 2 * size <= length; i += 2 * size) pair(e, r, @pair_at, carry, k, past);
"""

HEAD = """\
INLINE void @name(const elements& e, const results& r, ms_int at, state& carry, const captures& k, bool past) {"""

CALLED = """\
NOINLINE state combine_called(const state& l, const state& r, const captures& k) { return combine(l, r, k); }
"""

FOLD = """\
NOINLINE void fold_line(const elements e, ms_int length, bool seeded, state& last, const captures& k) {
  const ms_int size = @length * W;
  ms_int i = 0;
  state carry = last;
  for (; i + size <= length; i += size, seeded = true) fold_block(e, @block_at, seeded, carry, k);
  last = carry;
  for (ms_int m; i < length; i += m, seeded = true) {
    m = least(W, length - i);
    step<false>(e, {}, @step_at, (int)m, seeded, last, k);
  }
}
"""


def _scan(what: str, order: patterns.Pattern) -> str:
    rounds, steps = [], 1
    while steps < len(order):
        moved = f"shuffle<{arguments(patterns.rotate(order, steps))}>(t, t)"
        rounds.append(f"  t = shuffle<{arguments(patterns.keep(order, steps))}>(t, combine({moved}, t, k));\n")
        steps *= 2
    return fill(SCAN, what=what, rounds="".join(rounds))


class RowsText:
    """Writes the loop.

    Args:
        spec: The kernel.
        text: The writer of its state.
    """

    def __init__(self, spec: KernelSpec, text: StateText) -> None:
        self.spec = spec
        self.text = text
        heavy, small = weight(spec) >= HEAVY, len(text.lanes) <= 4
        self.length = 8 if heavy and small else 4
        self.paired = small and not heavy
        self.fold_length = 8 if len(text.lanes) <= 2 and not heavy else 4
        self.seldom = "combine_called" if heavy else "combine"  # where time is not spent: less to compile
        self.lanes = list(range(spec.width))[:: -1 if spec.reverse else 1]

    def loop(self) -> str:
        """All of it, in order."""
        parts = [CALLED if self.seldom != "combine" else "", self._seldom(_scan("lanes", self.lanes))]
        lengths = {self.fold_length, self.length} if self.spec.want_results else {self.fold_length}
        parts += [_scan(f"runs{n}", patterns.runs(self.spec.width, n, self.spec.reverse)) for n in sorted(lengths)]
        if self.spec.want_results:
            parts += [self._block(seeded=False), self._block(seeded=True), self._pair() if self.paired else ""]
        parts += [self._fold_block(), self._step(), self._line()]
        return "\n".join([*parts, span_text(self.spec)])

    def _load(self, names: list[str], at: str) -> list[str]:
        """Registers in the order of memory, transposed so that each lane holds a run."""
        lines = [f"state {', '.join(names)};"]
        lines.append(" ".join(f"load(e, {at} + {i} * W, {name});" for i, name in enumerate(names)))
        lines += self._transpose(names)
        if len(names) == 8:
            lines += self._swap(names, *patterns.halves(self.spec.width))
        return lines

    def _transpose(self, names: list[str]) -> list[str]:
        return [f"transpose({', '.join(names[quad : quad + 4])});" for quad in range(0, len(names), 4)]

    def _swap(self, names: list[str], first: patterns.Pattern, second: patterns.Pattern) -> list[str]:
        lines = []
        for a, b in zip(names[:4], names[4:], strict=True):
            ab = f"{a} = shuffle<{arguments(first)}>(p, q), {b} = shuffle<{arguments(second)}>(p, q);"
            lines.append(f"{{ const state p = {a}, q = {b}; {ab} }}")
        return lines

    def _store(self, names: list[str], at: str) -> list[str]:
        lines = self._swap(names, *patterns.unhalves(self.spec.width)) if len(names) == 8 else []
        lines += self._transpose(names)
        group = self.text.group
        groups = [names[i : i + group] for i in range(0, len(names), group)]
        stream = " ".join(f"stream(r, {at} + {i * group} * W, {', '.join(g)});" for i, g in enumerate(groups))
        store = " ".join(f"store(r, {at} + {i} * W, {name});" for i, name in enumerate(names))
        return [*lines, f"if (past) {{ {stream} }} else {{ {store} }}"]

    def _fold_runs(self, names: list[str]) -> list[str]:
        return [f"{b} = combine({a}, {b}, k);" for a, b in pairwise(names)]

    def _seed(self, last: str, prefix: str) -> list[str]:
        """What comes before each run of the block, given the carry; the carry behind it."""
        order = patterns.runs(self.spec.width, self.length, self.spec.reverse)
        before = f"shuffle<{arguments(patterns.rotate(order, 1))}>({prefix}t, {prefix}t)"
        return [
            f"const state {prefix}t = scan_runs{self.length}({last}, k), {prefix}before = {before};",
            f"const state {prefix}y = seeded ? combine(carry, {prefix}before, k) : {prefix}before;",
            f"const state {prefix}seed = shuffle<{arguments(patterns.keep(order, 1))}>(carry, {prefix}y);",
            f"carry = shuffle<{arguments(patterns.everywhere(order, 0))}>({prefix}y, {prefix}y);",
        ]

    def _seldom(self, text: str) -> str:
        return text.replace("combine(", f"{self.seldom}(")

    def _block(self, seeded: bool) -> str:
        length = self.length
        memory = [f"x{i}" for i in range(length)]
        names = memory[::-1] if self.spec.reverse else memory
        keep = arguments(patterns.keep(patterns.runs(self.spec.width, length, self.spec.reverse), 1))
        lines = [*self._load(memory, "at"), *self._fold_runs(names), *self._seed(names[-1], "")]
        lines += self._finish(names, "seed", keep) + self._store(memory, "at")
        first = f"const bool seeded = {'true' if seeded else 'false'};"
        head = HEAD.replace("@name", "block" if seeded else "first_block")
        text = "\n".join([head, *(f"  {line}" for line in [first, *lines]), "}"])
        return text if seeded else self._seldom(text)

    def _pair(self) -> str:
        """Two blocks side by side: each hides the other's latency."""
        length, back = self.length, self.spec.reverse
        memory = [[f"{p}{i}" for i in range(length)] for p in "xz"]
        names = [m[::-1] if back else m for m in memory]
        at = [f"at + {length} * W", "at"] if back else ["at", f"at + {length} * W"]
        lines = []
        for m, a in zip(memory, at, strict=True):
            lines += self._load(m, a)
        for x, z in zip(self._fold_runs(names[0]), self._fold_runs(names[1]), strict=True):
            lines += [x, z]
        seeds = [self._seed(names[0][-1], "x"), self._seed(names[1][-1], "z")]
        lines += [seeds[0][0], seeds[1][0], *seeds[0][1:], *seeds[1][1:]]
        for n, m, a, p in zip(names, memory, at, "xz", strict=True):
            lines += self._finish(n, f"{p}seed", None) + self._store(m, a)
        lines = ["const bool seeded = true;", *lines]
        return "\n".join([HEAD.replace("@name", "pair"), *(f"  {line}" for line in lines), "}"])

    def _finish(self, names: list[str], seed: str, keep: str | None) -> list[str]:
        """Each element's result: what comes before its run, then the fold within the run."""
        lines = []
        for name in names if self.spec.inclusive else names[:-1]:
            whole = f"combine({seed}, {name}, k)"
            own = f"seeded ? {whole} : shuffle<{keep}>({name}, {whole})"
            lines.append(f"{name} = {own if keep else whole};")
        if not self.spec.inclusive:
            lines += [f"{b} = {a};" for a, b in list(pairwise(names))[::-1]]
            own = f"seeded ? {seed} : shuffle<{keep}>({self._identity()}, {seed})"
            lines.append(f"{names[0]} = {own if keep else seed};")
        return lines

    def _identity(self) -> str:
        return f"state{self.text.identity()}" if self.spec.identity is not None else "seed"

    def _fold_block(self) -> str:
        length = self.fold_length
        order = patterns.runs(self.spec.width, length, self.spec.reverse)
        memory = [f"x{i}" for i in range(length)]
        names = memory[::-1] if self.spec.reverse else memory
        lines = [*self._load(memory, "at"), *self._fold_runs(names)]
        lines.append(f"const state t = scan_runs{length}({names[-1]}, k);")
        total = f"shuffle<{arguments(patterns.everywhere(order, self.spec.width - 1))}>(t, t)"
        lines.append(f"carry = seeded ? combine(carry, {total}, k) : {total};")
        head = "INLINE void fold_block(const elements& e, ms_int at, bool seeded, state& carry, const captures& k) {"
        return "\n".join([head, *(f"  {line}" for line in lines), "}"])

    def _step(self) -> str:
        if self.spec.inclusive:
            out = "    const state& out = y;"
        else:
            moved = f"shuffle<{arguments(patterns.rotate(self.lanes, 1))}>(y, y)"
            start = f"state{self.text.identity()}" if self.spec.identity is not None else "carry"
            keep = arguments(patterns.keep(self.lanes, 1))
            out = f"    const state out = shuffle<{keep}>(seeded ? carry : {start}, {moved});"
        return fill(self._seldom(STEP), out=out, last="W - m" if self.spec.reverse else "m - 1")

    def _line(self) -> str:
        back = self.spec.reverse
        at = {
            "first_at": "length - size" if back else "0",
            "block_at": "length - i - size" if back else "i",
            "pair_at": "length - i - 2 * size" if back else "i",
            "step_at": "length - i - m" if back else "i",
        }
        text = fill(FOLD, length=self.fold_length, **at)
        if self.spec.want_results:
            keep = " ".join(f"last.s{lane} = carry.s{lane};" for lane in self.spec.lanes_of(self.spec.carried))
            text += fill(LINE.replace("@pairs", PAIRS if self.paired else ""), length=self.length, keep=keep, **at)
        return text
