"""inner == 1: a block transpose gives every lane a run of consecutive elements.

A block of L registers is transposed so that lane p holds run p; L - 1 combines fold all
runs in step, one Kogge-Stone over the run totals gives each run what comes before it in
the block, the carry is combined in front, and L combines finish. What is left at the end
goes register by register. No identity is needed: a lane with nothing before it keeps its
own value.
"""

from __future__ import annotations

from monoscan.lowering.render.loops import patterns
from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.loops.patterns import arguments
from monoscan.lowering.render.prelude import item_type
from monoscan.lowering.render.spec import SIZES, KernelSpec
from monoscan.lowering.render.state import StateText, weight

HEAVY = 12
"""From this weight on, runs of 8 pay: fewer combines an element, more registers."""

TILE = 512
"""Elements copied at a time where a leaf's strides are not those of consecutive elements."""

SCAN = """\
// Inclusive scan over the @what of a register (Kogge-Stone).
INLINE state scan_@what(state t, const captures& k) {
@rounds  return t;
}
"""

STEP = """\
// Up to W elements.
template <bool scan> NOINLINE void step(const elements& e, const results& r, ms_int at, int m, bool seeded, state& carry, const captures& k) {
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
template <bool scan> NOINLINE void line(const elements& e, const results& r, ms_int length, bool seeded, state& last, const captures& k, bool stream) {
  enum { BLOCK = W * (scan ? @length : 8) };
  state carry = last;
  ms_int i = 0;
  if (!seeded && length >= BLOCK) {
    scan ? block<true>(e, r, @first_at, carry, k, stream) : fold_block<true>(e, @first_at, carry, k);
    i = BLOCK, seeded = true;
  }
  if (seeded) {
    state held = carry;  // its address is not taken: it stays in registers
    for (; i + BLOCK <= length; i += BLOCK)
      scan ? block<false>(e, r, @block_at, held, k, stream) : fold_block<false>(e, @block_at, held, k);
    carry = held;
  }
  for (ms_int m; i < length; i += m, seeded = true) {
    m = least(W, length - i);
    step<scan>(e, r, @step_at, (int)m, seeded, carry, k);
  }
  last = carry;
}
"""

SPAN = """\
static const ms_int TILE = @tile;
INLINE ms_int buffer_bytes(const ms_launch*) { return TILE * @buffer; }
INLINE bool direct(const ms_launch* g) { return @direct; }
NOINLINE void row_captures(const piece& p, captures& k) {
@captures}
NOINLINE elements pack(const piece& p, ms_int at, ms_int count) {
  elements e = {};
  u8* b = p.buffer;
@pack  return e;
}
NOINLINE void unpack(const piece& p, const results& r, ms_int at, ms_int count) {
@unpack}
// A carry is the same in every lane.
template <bool scan> static void span(const piece& p) {
  captures k;
  row_captures(p, k);
  state carry = {};
  if (p.seeded) get_carry<true>(p.carry, p.pitch, 0, carry), carry = shuffle<@zeros>(carry, carry);
  const bool in_place = direct(p.g);
  const ms_int tile = in_place ? p.t1 - p.t0 : TILE;
  for (ms_int t = p.t0; t < p.t1; t += tile) {
    const ms_int count = least(tile, p.t1 - t), at = @tile_at;
    elements e = {};
    results r = {};
    if (in_place) {
@point
    } else {
      e = pack(p, at, count);
@buffers
    }
    line<scan>(e, r, count, p.seeded || t > p.t0, carry, k, p.stream && in_place@aligned);
    if (scan && !in_place) unpack(p, r, at, count);
  }
  put_carry<true>(p.carry, p.pitch, 0, carry);
  if (p.stream) stream_fence();
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
        self.length = 8 if weight(spec) >= HEAVY else 4
        self.lanes = list(range(spec.width))[:: -1 if spec.reverse else 1]

    def loop(self) -> str:
        """All of it, in order."""
        parts = [_scan("lanes", self.lanes)]
        lengths = {8, self.length} if self.spec.want_results else {8}
        parts += [_scan(f"runs{n}", patterns.runs(self.spec.width, n, self.spec.reverse)) for n in sorted(lengths)]
        parts += [self._block() if self.spec.want_results else "", self._fold_block(), self._step(), self._line()]
        return "\n".join([*parts, self._span()])

    def _names(self, length: int) -> list[str]:
        """The registers of a block in fold order."""
        names = [f"x{i}" for i in range(length)]
        return names[::-1] if self.spec.reverse else names

    def _load(self, length: int) -> list[str]:
        names = [f"x{i}" for i in range(length)]
        lines = [f"state {', '.join(names)};"]
        lines.append(" ".join(f"load(e, at + {i} * W, {name});" for i, name in enumerate(names)))
        for quad in range(0, length, 4):
            lines.append(f"transpose({', '.join(names[quad : quad + 4])});")
        if length == 8:
            first, second = (arguments(p) for p in patterns.halves(self.spec.width))
            lines += self._swap(first, second)
        return lines

    def _swap(self, first: str, second: str) -> list[str]:
        lines = []
        for i in range(4):
            lines.append(
                f"{{ const state a = x{i}, b = x{i + 4}; x{i} = shuffle<{first}>(a, b), x{i + 4} = shuffle<{second}>(a, b); }}"
            )
        return lines

    def _fold_runs(self, names: list[str]) -> list[str]:
        return [f"{b} = combine({a}, {b}, k);" for a, b in zip(names, names[1:], strict=False)]

    def _block(self) -> str:
        length, names = self.length, self._names(self.length)
        order = patterns.runs(self.spec.width, length, self.spec.reverse)
        rotated = arguments(patterns.rotate(order, 1))
        keep = arguments(patterns.keep(order, 1))
        lines = [*self._load(length), *self._fold_runs(names)]
        lines.append(f"const state t = scan_runs{length}({names[-1]}, k), before = shuffle<{rotated}>(t, t);")
        lines.append("const state y = first ? before : combine(carry, before, k);")
        lines.append(f"const state seed = first ? before : shuffle<{keep}>(carry, y);")
        lines.append(f"carry = shuffle<{arguments(patterns.everywhere(order, 0))}>(y, y);")
        lines += self._finish(names, keep)
        if length == 8:
            first, second = (arguments(p) for p in patterns.unhalves(self.spec.width))
            lines += self._swap(first, second)
        for quad in range(0, length, 4):
            lines.append(f"transpose({', '.join(f'x{quad + i}' for i in range(4))});")
        group = self.text.group
        groups = [[f"x{i + j}" for j in range(group)] for i in range(0, length, group)]
        stream = " ".join(f"stream(r, at + {i * group} * W, {', '.join(g)});" for i, g in enumerate(groups))
        lines.append(f"if (past) {{ {stream} }}")
        lines.append("else { " + " ".join(f"store(r, at + {i} * W, x{i});" for i in range(length)) + " }")
        head = "template <bool first> INLINE void block(const elements& e, const results& r, ms_int at, state& carry, const captures& k, bool past) {"
        return "\n".join([head, *(f"  {line}" for line in lines), "}"])

    def _finish(self, names: list[str], keep: str) -> list[str]:
        """Each element's result: what comes before its run, then the fold within the run."""
        lines = []
        for name in names if self.spec.inclusive else names[:-1]:
            lines.append(f"{name} = first ? shuffle<{keep}>({name}, combine(seed, {name}, k)) : combine(seed, {name}, k);")
        if not self.spec.inclusive:
            lines += [f"{b} = {a};" for a, b in list(zip(names, names[1:], strict=False))[::-1]]
            lines.append(f"{names[0]} = first ? shuffle<{keep}>({self._identity()}, seed) : seed;")
        return lines

    def _identity(self) -> str:
        return f"state{self.text.identity()}" if self.spec.identity is not None else "seed"

    def _fold_block(self) -> str:
        order = patterns.runs(self.spec.width, 8, self.spec.reverse)
        names = self._names(8)
        lines = [*self._load(8), *self._fold_runs(names), f"state t = scan_runs8({names[-1]}, k);"]
        lines.append(f"t = shuffle<{arguments(patterns.everywhere(order, self.spec.width - 1))}>(t, t);")
        lines.append("carry = first ? t : combine(carry, t, k);")
        head = "template <bool first> INLINE void fold_block(const elements& e, ms_int at, state& carry, const captures& k) {"
        return "\n".join([head, *(f"  {line}" for line in lines), "}"])

    def _step(self) -> str:
        if self.spec.inclusive:
            out = "    const state& out = y;"
        else:
            moved = f"shuffle<{arguments(patterns.rotate(self.lanes, 1))}>(y, y)"
            start = f"state{self.text.identity()}" if self.spec.identity is not None else "carry"
            keep = arguments(patterns.keep(self.lanes, 1))
            out = f"    const state out = shuffle<{keep}>(seeded ? carry : {start}, {moved});"
        return fill(STEP, out=out, last="W - m" if self.spec.reverse else "m - 1")

    def _line(self) -> str:
        back = self.spec.reverse
        text = LINE
        if not self.spec.want_results:
            text = text.replace("scan ? block<true>(e, r, @first_at, carry, k, stream) : ", "")
            text = text.replace("scan ? block<false>(e, r, @block_at, held, k, stream) : ", "")
            text = text.replace("bool stream)", "bool)")
        return fill(
            text,
            length=self.length,
            first_at="length - BLOCK" if back else "0",
            block_at="length - i - BLOCK" if back else "i",
            step_at="length - i - m" if back else "i",
        )

    def _span(self) -> str:
        spec = self.spec
        direct, pack, point, buffers, unpack, aligned, size = [], [], [], [], [], [], 0
        for leaf in spec.tree:
            k, item, a = spec.state[leaf].lanes, item_type(spec.elements[leaf]), f"p.g->inputs[{leaf}]"
            direct.append(f"g->inputs[{leaf}].axis == {k}" + (f" && g->inputs[{leaf}].lane == 1" if k > 1 else ""))
            point.append(f"      e.x{leaf} = (const {item}*){a}.data + p.w->in[{leaf}] + at * {k};")
            pack.append(f"  e.x{leaf} = ({item}*)b;\n")
            for lane in range(k):
                start = f"(const {item}*){a}.data + p.w->in[{leaf}] + at * {a}.axis + {lane} * {a}.lane"
                pack.append(f"  copy_strided(({item}*)b + {lane}, {k}, {start}, {a}.axis, count);\n")
            pack.append(f"  b += TILE * {k * SIZES[spec.elements[leaf]]};\n")
            size += k * SIZES[spec.elements[leaf]]
        outputs = zip(spec.emit, spec.results, strict=False) if spec.want_results else ()
        for index, (leaf, dtype) in enumerate(outputs):
            k, item, a = spec.state[leaf].lanes, item_type(dtype), f"p.g->outputs[{index}]"
            direct.append(f"g->outputs[{index}].axis == {k}")
            point.append(f"      r.y{leaf} = ({item}*){a}.data + p.w->out[{index}] + at * {k};")
            buffers.append(f"      r.y{leaf} = ({item}*)(p.buffer + TILE * {size});")
            for lane in range(k):
                start = f"({item}*){a}.data + p.w->out[{index}] + at * {a}.axis + {lane}"
                unpack.append(f"  copy_strided({start}, {a}.axis, (const {item}*)r.y{leaf} + {lane}, {k}, count);\n")
            if k == 1:
                end = " + count" if spec.reverse else ""
                aligned.append(f" && (u64)(r.y{leaf}{end}) % 64 == 0")
            size += k * SIZES[dtype]
        return fill(
            SPAN,
            tile=TILE,
            buffer=size,
            direct=" && ".join(direct),
            captures=capture_rows(spec),
            pack="".join(pack),
            unpack="".join(unpack) or "  (void)p, (void)r, (void)at, (void)count;\n",
            point="\n".join(point),
            buffers="\n".join(buffers),
            aligned="".join(aligned),
            zeros=arguments([0] * spec.width),
            tile_at="p.g->n - t - count" if spec.reverse else "t",
        )


def capture_rows(spec: KernelSpec) -> str:
    """Captured arrays are constant along a row: the same value in every lane."""
    lines = []
    for number, (leaf, dtype) in enumerate(zip(spec.combine.captures, spec.capture_dtypes, strict=True)):
        item, index = item_type(dtype), spec.combine.arity + number
        a = f"p.g->inputs[{index}]"
        for lane in range(leaf.lanes):
            value = f"((const {item}*){a}.data)[p.w->in[{index}] + {lane} * {a}.lane]"
            lines.append(f"  {{ {item} b[W]; for (int i = 0; i < W; ++i) b[i] = {value}; k.c{number}_{lane} = load_{dtype}(b); }}\n")
    return "".join(lines) or "  (void)p, (void)k;\n"
