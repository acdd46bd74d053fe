"""inner == 1: a block transpose gives every lane a run of consecutive elements.

A block of L registers is transposed so that lane p holds run p; L - 1 combines fold all
runs in step, one Kogge-Stone over the run totals gives each run what comes before it in
the block, the carry is combined in front, and L combines finish. What is left at the end
goes register by register. No identity is needed: a lane with nothing before it keeps its
own value.
"""

from __future__ import annotations

from itertools import pairwise

from monoscan.lowering.render.estimates import HEAVY, weight
from monoscan.lowering.render.guard import GuardText
from monoscan.lowering.render.loops import lines, mend, patterns
from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.loops.patterns import arguments
from monoscan.lowering.render.loops.row_memory import span_text
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.render.state import StateText

SCAN = """\
// Inclusive scan over the @what of a register (Kogge-Stone).
@how void scan_@what(state& t, const captures& k) {
@rounds}
"""

STEP = """\
// Up to W elements.
INLINE void step(const elements& e, const results& r, ms_int at, int m, bool seeded, state& carry, const captures& k,
                 bool scan) {
  state x;
  m == W ? load(e, at, x) : load_part(e, at, m, x);
@given  scan_lanes(x, k);
  const state y = seeded ? combine(carry, x, k) : x;
  @out
@before  carry = spread(y, @last);
@check  if (scan) m == W ? store(r, at, out) : store_part(r, at, m, out);
}
// What is left of a line.
NOINLINE void rest(const elements& e, const results& r, ms_int i, ms_int length, bool seeded, state& last,
                   const captures& k, bool scan) {
  for (ms_int m; i < length; i += m, seeded = true) {
    m = least(W, length - i);
    step(e, r, @step_at, (int)m, seeded, last, k, scan);
  }
}
"""

WHOLE = """\
NOINLINE void block(const elements& e, const results& r, ms_int at, bool seeded, state& carry, const captures& k,
                    bool past) {
  state kept[@length + 1], c = carry;
  if (!block(e, r, at, seeded, c, k, past, kept)) mend_block(e, r, at, seeded, c, kept, k);
  carry = c;
}
"""

CALLED = """\
NOINLINE void combine_into(state& y, const state& l, const state& r, const captures& k) { y = combine(l, r, k); }
INLINE state combine_called(const state& l, const state& r, const captures& k) {
  state y;  // not a value returned: that is copied in pieces, for which the next load would wait
  combine_into(y, l, r, k);
  return y;
}
"""


def _function(head: str, lines: list[str]) -> str:
    return "\n".join([head + " {", *(f"  {line}" for line in lines if line), "}"])


def _scan(what: str, order: patterns.Pattern, how: str = "INLINE") -> str:
    rounds, steps = [], 1
    while steps < len(order):
        moved = f"shuffle<{arguments(patterns.rotate(order, steps))}>(t, t)"
        rounds.append(f"  t = shuffle<{arguments(patterns.keep(order, steps))}>(t, combine({moved}, t, k));\n")
        steps *= 2
    return fill(SCAN, what=what, how=how, rounds="".join(rounds))


class RowsText:
    """Writes the loop.

    Args:
        spec: The kernel.
        text: The writer of its state.
    """

    def __init__(self, spec: KernelSpec, text: StateText) -> None:
        self.spec = spec
        self.text = text
        self.guard = GuardText(spec, text.lanes)
        self.heavy, small = weight(spec) >= HEAVY, len(text.lanes) <= 4
        self.length = 8 if self.heavy and small else 4
        self.paired = small and not self.heavy
        self.fold_length = 8 if len(text.lanes) <= 2 and not self.heavy else 4
        self.seldom = "combine_called" if self.heavy else "combine"  # where time is not spent: less to compile
        self.lanes = list(range(spec.width))[:: -1 if spec.reverse else 1]
        self.owns = max(1, self.length // spec.width)  # registers in which the elements of run 0 lie
        self.seeded = not spec.inclusive and spec.identity is None  # always: there is an init

    def loop(self) -> str:
        """All of it, in order."""
        lanes = _scan("lanes", self.lanes, "NOINLINE" if self.heavy else "INLINE")
        identity = self.text.identity() if self.spec.identity is not None else ""
        parts = [
            CALLED if self.heavy else "",
            self._seldom(mend.functions(self.spec, self.guard, identity, self.length)),
            self._seldom(lanes),
        ]
        lengths = {self.fold_length, self.length} if self.spec.want_results else {self.fold_length}
        parts += [_scan(f"runs{n}", patterns.runs(self.spec.width, n, self.spec.reverse)) for n in sorted(lengths)]
        if self.spec.want_results:
            parts += [self._block(), self._pair() if self.paired else ""]
        parts += [self._fold_block(), self._step(), self._lines()]
        return "\n".join([*parts, span_text(self.spec)])

    def _lines(self) -> str:
        text = lines.fold(self.spec, self.guard, self.fold_length)
        return text + lines.scan(self.spec, self.guard, self.length, self.paired) if self.spec.want_results else text

    def _load(self, names: list[str], at: str) -> list[str]:
        loads = " ".join(f"load(e, {at} + {i} * W, {name});" for i, name in enumerate(names))
        return [f"state {', '.join(names)};", loads]

    def _to_runs(self, names: list[str]) -> list[str]:
        """Registers in the order of memory, transposed so that each lane holds a run."""
        swap = self._swap(names, *patterns.halves(self.spec.width)) if len(names) == 8 else []
        return [*self._transpose(names), *swap]

    def _to_memory(self, names: list[str]) -> list[str]:
        swap = self._swap(names, *patterns.unhalves(self.spec.width)) if len(names) == 8 else []
        return [*swap, *self._transpose(names)]

    def _transpose(self, names: list[str]) -> list[str]:
        return [f"transpose({', '.join(names[quad : quad + 4])});" for quad in range(0, len(names), 4)]

    def _swap(self, names: list[str], first: patterns.Pattern, second: patterns.Pattern) -> list[str]:
        lines = []
        for a, b in zip(names[:4], names[4:], strict=True):
            ab = f"{a} = shuffle<{arguments(first)}>(p, q), {b} = shuffle<{arguments(second)}>(p, q);"
            lines.append(f"{{ const state p = {a}, q = {b}; {ab} }}")
        return lines

    def _store(self, names: list[str], at: str) -> str:
        group = self.text.group
        groups = [names[i : i + group] for i in range(0, len(names), group)]
        stream = " ".join(f"stream(r, {at} + {i * group} * W, {', '.join(g)});" for i, g in enumerate(groups))
        store = " ".join(f"store(r, {at} + {i} * W, {name});" for i, name in enumerate(names))
        return f"if (past) {{ {stream} }} else {{ {store} }}"

    def _fold_runs(self, names: list[str]) -> list[str]:
        return [f"{b} = combine({a}, {b}, k);" for a, b in pairwise(names)]

    def _seed(self, last: str, prefix: str, sure: bool) -> list[str]:
        """What comes before each run of the block, given the carry; the carry behind it. `sure`: there is one."""
        order = patterns.runs(self.spec.width, self.length, self.spec.reverse)
        before = f"shuffle<{arguments(patterns.rotate(order, 1))}>({prefix}t, {prefix}t)"
        whole = f"combine(carry, {prefix}before, k)"
        return [
            f"state {prefix}t = {last}; scan_runs{self.length}({prefix}t, k);",
            f"const state {prefix}before = {before};",
            f"const state {prefix}y = {whole if sure else f'seeded ? {whole} : {prefix}before'};",
            f"const state {prefix}seed = shuffle<{arguments(patterns.keep(order, 1))}>(carry, {prefix}y);",
            f"carry = shuffle<{arguments(patterns.everywhere(order, 0))}>({prefix}y, {prefix}y);",
        ]

    def _seldom(self, text: str) -> str:
        return text.replace("combine(", f"{self.seldom}(")

    def _block(self) -> str:
        """One block. Without a carry, run 0 has nothing before it: its elements are scanned on their own."""
        memory = [f"x{i}" for i in range(self.length)]
        names = memory[::-1] if self.spec.reverse else memory
        lines = [*self._load(memory, "at"), *self._own(names), *self._to_runs(memory), *self._fold_runs(names)]
        lines += ["state carry = held;", *self._seed(names[-1], "", self.seeded), *self._finish(names, "seed")]
        lines += [*self._to_memory(memory), *self._keep_own(names)]
        head = "(const elements& e, const results& r, ms_int at, bool seeded, state& held, const captures& k, bool past"
        if not self.guard.needed:
            how = "NOINLINE" if self.paired else "INLINE"
            return _function(f"{how} void block{head})", [*lines, self._store(memory, "at"), "held = carry;"])
        kept = " ".join(f"kept[{i}] = {name};" for i, name in enumerate([*memory, "carry"]))
        lines += [f"if ({self.guard.seldom(memory, ['carry'])}) {{ {kept} return false; }}"]
        lines += [self._store(memory, "at"), "held = carry;", "return true;"]
        text = _function(f"INLINE bool block{head}, state* kept)", lines)
        return f"{text}\n{fill(WHOLE, length=self.length)}" if self.paired else text

    def _own(self, names: list[str]) -> list[str]:
        """The elements of run 0, scanned before the transposition mixes them with the others."""
        if self.seeded:
            return []
        last = arguments(patterns.everywhere(self.lanes, self.spec.width - 1))
        before = [f"shuffle<{last}>(own{i}, own{i})" for i in range(self.owns - 1)]
        lines = [f"own{i} = {names[i]}; scan_lanes(own{i}, k);" for i in range(self.owns)]
        lines += [f"own{i} = combine({b}, own{i}, k);" for i, b in enumerate(before, 1)]
        if not self.spec.inclusive:
            moved, keep = (arguments(f(self.lanes, 1)) for f in (patterns.rotate, patterns.keep))
            starts = [self._identity(), *before]
            shifted = [f"shuffle<{moved}>(own{i}, own{i})" for i in range(self.owns)]
            lines += [f"own{i} = shuffle<{keep}>({starts[i]}, {shifted[i]});" for i in range(self.owns)][::-1]
        declared = ", ".join(f"own{i}" for i in range(self.owns))
        return [f"state {declared};", "if (!seeded) {", *(f"  {line}" for line in lines), "}"]

    def _keep_own(self, names: list[str]) -> list[str]:
        if self.seeded:
            return []
        first = self.lanes[: self.length]
        pattern = arguments([self.spec.width + lane if lane in first else lane for lane in range(self.spec.width)])
        kept = " ".join(f"{names[i]} = shuffle<{pattern}>({names[i]}, own{i});" for i in range(self.owns))
        return [f"if (!seeded) {{ {kept} }}"]

    def _pair(self) -> str:
        """Two blocks side by side: each hides the other's latency."""
        length, back = self.length, self.spec.reverse
        memory = [[f"{p}{i}" for i in range(length)] for p in "xz"]
        names = [m[::-1] if back else m for m in memory]
        at = [f"at + {length} * W", "at"] if back else ["at", f"at + {length} * W"]
        lines = []
        for m, a in zip(memory, at, strict=True):
            lines += [*self._load(m, a), *self._to_runs(m)]
        for x, z in zip(self._fold_runs(names[0]), self._fold_runs(names[1]), strict=True):
            lines += [x, z]
        seeds = [self._seed(n[-1], p, True) for n, p in zip(names, "xz", strict=True)]
        lines += ["state carry = held;", *seeds[0][:2], *seeds[1][:2], *seeds[0][2:]]
        guarded = self.guard.needed
        lines += ["const state between = carry;" if guarded else "", *seeds[1][2:]]
        ends = [("between", "return 0;"), ("carry", "{ held = between; return 1; }")]
        for n, m, a, p, (after, end) in zip(names, memory, at, "xz", ends, strict=True):
            lines += [*self._finish(n, f"{p}seed"), *self._to_memory(m)]
            lines += [f"if ({self.guard.seldom(m, [after])}) {end}" if guarded else "", self._store(m, a)]
        lines += ["held = carry;", "return 2;"]
        head = (
            "INLINE int pair(const elements& e, const results& r, ms_int at, state& held, const captures& k, bool past)"
        )
        return f"// How many of them came out well.\n{_function(head, lines)}"

    def _finish(self, names: list[str], seed: str) -> list[str]:
        """Each element's result: what comes before its run, then the fold within the run."""
        seeded = [f"{name} = combine({seed}, {name}, k);" for name in names]
        if self.spec.inclusive:
            return seeded
        return [*seeded[:-1], *(f"{b} = {a};" for a, b in list(pairwise(names))[::-1]), f"{names[0]} = {seed};"]

    def _identity(self) -> str:
        return f"state{self.text.identity()}"

    def _fold_block(self) -> str:
        length = self.fold_length
        order = patterns.runs(self.spec.width, length, self.spec.reverse)
        memory = [f"x{i}" for i in range(length)]
        names = memory[::-1] if self.spec.reverse else memory
        lines = [*self._load(memory, "at"), *self._to_runs(memory), *self._fold_runs(names)]
        lines.append(f"state t = {names[-1]}; scan_runs{length}(t, k);")
        total = f"shuffle<{arguments(patterns.everywhere(order, self.spec.width - 1))}>(t, t)"
        lines.append(f"carry = seeded ? combine(carry, {total}, k) : {total};")
        head = "INLINE void fold_block(const elements& e, ms_int at, bool seeded, state& carry, const captures& k)"
        return _function(head, lines)

    def _step(self) -> str:
        if self.spec.inclusive:
            out = "state out = y;"
        else:
            moved = f"shuffle<{arguments(patterns.rotate(self.lanes, 1))}>(y, y)"
            start = f"state{self.text.identity()}" if self.spec.identity is not None else "carry"
            keep = arguments(patterns.keep(self.lanes, 1))
            out = f"state out = shuffle<{keep}>(seeded ? carry : {start}, {moved});"
        back, guard, given, before, check = self.spec.reverse, self.guard, "", "", ""
        if guard.needed:
            given, before = "  const state given = x;\n", "  const state before = carry;\n"
            check = mend.step(guard.seldom(["out"], ["carry"]))
        values = {"given": given, "before": before, "check": check, "last": "W - m" if back else "m - 1"}
        return fill(self._seldom(STEP), out=out, step_at="length - i - m" if back else "i", **values)
