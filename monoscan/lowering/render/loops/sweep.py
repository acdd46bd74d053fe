"""Wide inner: one row of the data at a time, full width, each column its own scan.

The carry of a column is what the row before wrote, read back from the output where it
stands there in full, else from a row of carries of our own. The order of the fold is
kept: the results are those of a sequential loop, bit for bit.
"""

from __future__ import annotations

from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.prelude import item_type
from monoscan.lowering.render.spec import SIZES, KernelSpec
from monoscan.lowering.render.state import StateText, carry_offsets

COLUMNS = """\
// Where each lane of the row before stands.
struct above { @pointers };
template <bool whole, bool part> INLINE void load_above(const above& a, ms_int j, int m, state& s) {
@load_above
}
// W columns of one row, or the first m. `keep`: into the row of carries too.
template <bool scan, bool keep, bool part>
INLINE state columns(const piece& p, const elements& e, const above& a, ms_int j, int m) {
  state l, x;
  captures k;
  part ? load_part(e, j, m, x) : load(e, j, x);
  load_captures(e, j, padded(p.g->inner), k);
  load_above<!scan, part>(a, j, m, l);
  const state y = combine(l, x, k);
  if (keep) put_carry<!scan>(p.carry, p.pitch, p.c0 + j, y);
  return @out;
}
"""

ACCESS = """\
INLINE ms_int buffer_bytes(const ms_launch* g) { return padded(g->inner) * @buffer; }
NOINLINE void pack_captures(const piece& p, elements& e) {
  u8* b = p.buffer;
@captures  (void)e, (void)b;
}
INLINE bool whole_rows_lie_ready(const ms_launch* g) { return @ready; }
NOINLINE elements row_at(const piece& p, ms_int t, elements e) {
  const ms_int count = p.c1 - p.c0;
  u8* b = p.buffer + padded(p.g->inner) * @captured;
@rows  (void)b, (void)count;
  return e;
}
INLINE results out_at(const piece& p, ms_int t) {
  results r = {};
@outs  return r;
}
INLINE ms_int row_of(const piece& p, ms_int t) { return @start; }
// The first row, where nothing comes before.
NOINLINE void first_row(const piece& p, const elements& captured, bool scan) {
  const ms_int count = p.c1 - p.c0, at = row_of(p, p.t0);
  const elements e = row_at(p, at, captured);
  const results r = out_at(p, at);
  for (ms_int j = 0; j < count; j += W) {
    const int m = (int)least(W, count - j);
    state x;
    m == W ? load(e, j, x) : load_part(e, j, m, x);
    put_carry<true>(p.carry, p.pitch, p.c0 + j, x);
    if (!scan) continue;
    const state y = @first;
    m == W ? store(r, j, y) : store_part(r, j, m, y);
  }
}
"""

SPAN = """\
// From one row to the next.
INLINE void move_down(const piece& p, elements& e, results& r, ms_int step) {
@down}
INLINE above carries_of(const piece& p) { return {@own}; }
@chain
// Rows t to p.t1.
template <bool scan, bool keep>
NOINLINE void sweep(const piece& p, const elements& captured, ms_int t, bool past) {
  const ms_int count = p.c1 - p.c0, step = @step;
  const bool ready = whole_rows_lie_ready(p.g);
  elements e = row_at(p, row_of(p, t), captured);
  results r = out_at(p, row_of(p, t));
  above a = carries_of(p);
  while (t < p.t1) {
    ms_int j = 0;
    if (scan && keep && past) {
      for (; j + @group * W <= count; j += @group * W) {
@lines
      }
    }
    for (; j + W <= count; j += W) {
      const state y = columns<scan, keep, false>(p, e, a, j, W);
      if (scan) store(r, j, y);
    }
    if (j < count) {
      const state y = columns<scan, keep, true>(p, e, a, j, (int)(count - j));
      if (scan) store_part(r, j, (int)(count - j), y);
    }
@rest
    move_down(p, e, r, step);
    if (++t < p.t1 && !ready) e = row_at(p, row_of(p, t), captured);
  }
@kept}
NOINLINE void span(const piece& p, bool scan) {
  if (p.t0 >= p.t1) return;
  elements captured = {};
  pack_captures(p, captured);
  ms_int t = p.t0;
  if (!p.seeded) first_row(p, captured, scan), ++t;
  if (t == p.t1) return;
@sweeps}
"""

CHAIN = """\
// The row of results itself as the carry of the next.
INLINE above results_of(const results& r) { return {@pointers}; }
NOINLINE void keep_carries(const piece& p, const above& a) {
  for (ms_int j = 0; j < p.c1 - p.c0; j += 1) {
@copy
  }
}
"""

CHAINED = """\
  // What a tail writes in pieces cannot be read back in one load at once: short rows keep their carries.
  const ms_int count = p.c1 - p.c0;
  if (scan && !past && (count % W == 0 || count >= 16 * W)) return sweep<true, false>(p, captured, t, false);
"""

PAST = """\
  const ms_int at = row_of(p, p.t0);
  const bool past = scan && p.stream && aligned(out_at(p, at)) && aligned(out_at(p, at + (@step)));
"""

SCANS = """\
  (scan ? sweep<true, true> : sweep<false, true>)(p, captured, t, past);
  if (past) stream_fence();
"""

FOLDS = """\
  sweep<false, true>(p, captured, t, false);
"""


class SweepText:
    """Writes the loop.

    Args:
        spec: The kernel.
        text: The writer of its state.
    """

    def __init__(self, spec: KernelSpec, text: StateText) -> None:
        self.spec = spec
        self.text = text
        self.outputs = list(zip(spec.emit, spec.results, strict=False)) if spec.want_results else []

    def loop(self) -> str:
        """All of it, in order."""
        return self._columns() + (self._aligned() if self.outputs else "") + self.access() + self._span()

    def chains(self) -> bool:
        """Whether a row of results holds all that the next one needs, unrounded and lane by lane."""
        spec = self.spec
        plain = all(
            spec.state[leaf].lanes == 1 and spec.state[leaf].dtype == dtype and SIZES[dtype] >= 4
            for leaf, dtype in self.outputs
        )
        return spec.want_results and spec.inclusive and plain and set(spec.carried) <= set(spec.emit)

    def _columns(self) -> str:
        spec, lanes = self.spec, self.text.lanes
        carried = set(spec.lanes_of(spec.carried))
        pointers = " ".join(f"const {item_type(spec.dtypes[lane])}* s{lane};" for lane in lanes)
        load = []
        for lane in lanes:
            guard = "" if lane in carried else "if (whole) "
            name, at = f"load_{spec.dtypes[lane]}", f"a.s{lane} + j"
            few = f"load_few<false, {self.text.dialect.types[spec.dtypes[lane]]}>({at}, m)"
            if SIZES[spec.dtypes[lane]] < 4:  # carries of their own are padded: a whole vector may be read
                few = f"{name}({at})"
            load.append(f"  {guard}s.s{lane} = part ? {few} : {name}({at});")
        out = "y" if spec.inclusive else "l"
        return fill(COLUMNS, pointers=pointers, load_above="\n".join(load), out=out)

    def _aligned(self) -> str:
        tests = []
        for leaf, _ in self.outputs:
            if self.spec.state[leaf].lanes == 1:
                tests.append(f"(u64)r.y{leaf} % 64 == 0")
        return f"INLINE bool aligned(const results& r) {{ return {' && '.join(tests) or 'false'}; }}\n"

    def access(self) -> str:
        """Where the rows of elements and results stand, and the first row."""
        spec = self.spec
        captures, captured = capture_columns(spec)
        rows, ready, size = self._rows()
        outs = []
        for index, (leaf, dtype) in enumerate(self.outputs):
            a, item, k = f"p.g->outputs[{index}]", item_type(dtype), spec.state[leaf].lanes
            outs.append(f"  r.y{leaf} = ({item}*){a}.data + p.w->out[{index}] + t * {a}.axis + p.c0 * {k};\n")
        return fill(
            ACCESS,
            buffer=size + captured,
            captured=captured,
            captures=captures,
            rows=rows,
            ready=ready,
            outs="".join(outs),
            start="p.g->n - 1 - t" if spec.reverse else "t",
            first="x" if spec.inclusive or spec.identity is None else f"state{self.text.identity()}",
        )

    def _span(self) -> str:
        spec = self.spec
        down = [f"  e.x{leaf} += step * p.g->inputs[{leaf}].axis;\n" for leaf in spec.tree]
        for index, (leaf, _) in enumerate(self.outputs):
            down.append(f"  r.y{leaf} += step * p.g->outputs[{index}].axis;\n")
        own = []
        for lane in self.text.lanes:
            item, at = item_type(spec.dtypes[lane]), carry_offsets(spec)[lane]
            own.append(f"(const {item}*)(p.carry + p.pitch * {at}) + p.c0")
        group = range(self.text.group)
        lines = [f"        const state y{i} = columns<scan, keep, false>(p, e, a, j + {i} * W, W);" for i in group]
        lines.append(f"        stream(r, j, {', '.join(f'y{i}' for i in group)});")
        chains = self.chains()
        return fill(
            SPAN,
            down="".join(down) + ("" if self.outputs else "  (void)r;\n"),
            own=", ".join(own),
            chain=self._chain(),
            group=len(group),
            lines="\n".join(lines),
            rest="    if (!keep) a = results_of(r);" if chains else "",
            kept="  if (!keep) keep_carries(p, a);\n" if chains else "",
            sweeps=PAST + (CHAINED if chains else "") + SCANS if spec.want_results else FOLDS,
            step="-1" if spec.reverse else "1",
        )

    def _chain(self) -> str:
        if not self.chains():
            return ""
        spec = self.spec
        pointers, copy = [], []
        emitted = {spec.lanes[leaf][0]: leaf for leaf, _ in self.outputs}
        for lane in self.text.lanes:
            pointers.append(f"r.y{emitted[lane]}" if lane in emitted else "nullptr")
        for lane in spec.lanes_of(spec.carried):
            item, at = item_type(spec.dtypes[lane]), carry_offsets(spec)[lane]
            copy.append(f"    (({item}*)(p.carry + p.pitch * {at}))[p.c0 + j] = a.s{lane}[j];")
        return fill(CHAIN, pointers=", ".join(pointers), copy="\n".join(copy))

    def _rows(self) -> tuple[str, str, int]:
        """Pointers to one row of each element leaf: a row that is not laid out in full is copied."""
        spec, lines, ready, size = self.spec, [], [], 0
        for leaf in spec.tree:
            k, item, a = spec.state[leaf].lanes, item_type(spec.elements[leaf]), f"p.g->inputs[{leaf}]"
            start = f"(const {item}*){a}.data + p.w->in[{leaf}] + t * {a}.axis + p.c0 * {a}.inner"
            plain = f"{a}.inner == {k}" + (f" && {a}.lane == 1" if k > 1 else "")
            copies = " ".join(
                f"copy_strided(({item}*)b + {lane}, {k}, x + {lane} * {a}.lane, {a}.inner, count);" for lane in range(k)
            )
            lines.append(f"  {{ const {item}* const x = {start}; e.x{leaf} = x;\n")
            lines.append(f"    if (!({plain})) {{ e.x{leaf} = ({item}*)b; {copies} }} }}\n")
            lines.append(f"  b += padded(p.g->inner) * {k * SIZES[spec.elements[leaf]]};\n")
            ready.append(plain.replace("p.g", "g"))
            size += k * SIZES[spec.elements[leaf]]
        return "".join(lines), " && ".join(ready), size


def capture_columns(spec: KernelSpec) -> tuple[str, int]:
    """Captured arrays, copied once: lane by lane, so that each is a row. The text, and the bytes a column."""
    lines, size = [], 0
    for number, (leaf, dtype) in enumerate(zip(spec.combine.captures, spec.capture_dtypes, strict=True)):
        item, index = item_type(dtype), spec.combine.arity + number
        a = f"p.g->inputs[{index}]"
        lines.append(f"  e.c{number} = ({item}*)b;\n")
        for lane in range(leaf.lanes):
            start = f"(const {item}*){a}.data + p.w->in[{index}] + p.c0 * {a}.inner + {lane} * {a}.lane"
            lines.append(f"  copy_strided(({item}*)b, 1, {start}, {a}.inner, p.c1 - p.c0);\n")
            lines.append(f"  b += padded(p.g->inner) * {SIZES[dtype]};\n")
        size += leaf.lanes * SIZES[dtype]
    return "".join(lines), size
