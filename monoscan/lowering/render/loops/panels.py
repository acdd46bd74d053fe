"""Inner of a few vectors: panels of columns, whose states stay in registers from row to row.

A sweep of full rows reads each column's carry back from memory, so a short row costs a
round trip through the store buffer, however few its columns. Here vectors of columns go
down the rows side by side, each its own chain. The order of the fold is kept, as in a sweep.
"""

from __future__ import annotations

from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.loops.sweep import SweepText
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.render.state import INLINE_LIMIT, StateText, weight

PANEL = """\
// Some steps of @columns, from column j of the piece on.
template <bool scan@part>
NOINLINE void @name(const piece& p, elements e, results r, ms_int steps, ms_int j, int m, bool seeded) {
  // Locals, since a store might change what `p` points to as far as the compiler knows.
  const ms_int pitch = p.pitch, inner = p.g->inner;
  u8* const row = p.carry;
@strides
  (void)m;
  state @states;
  captures @captures;
@read
  if (seeded) {
@get
  } else {
@first
@down
    --steps;
  }
  for (; steps > 0; --steps) {
@step
@down
  }
@put
}
"""

SPAN = """\
// How many rows a panel goes down before the next one follows: less than the caches hold.
static const ms_int ROWS = 64;
template <bool scan> NOINLINE void span(const piece& p) {
  elements captured = {};
  pack_captures(p, captured);
  const ms_int count = p.c1 - p.c0, rows = whole_rows_lie_ready(p.g) ? ROWS : 1;
  for (ms_int t = p.t0; t < p.t1; t += rows) {
    const ms_int steps = least(rows, p.t1 - t), at = @start;
    const elements e = row_at(p, at, captured);
    const results r = out_at(p, at);
    const bool seeded = p.seeded || t > p.t0;
    ms_int j = 0;
@wide    for (; j + W <= count; j += W) strip<scan, false>(p, e, r, steps, j, W, seeded);
    if (j < count) strip<scan, true>(p, e, r, steps, j, (int)(count - j), seeded);
  }
}
"""

WIDE = """\
    for (; j + @vectors * W <= count; j += @vectors * W) panel@vectors<scan>(p, e, r, steps, j, W, seeded);
"""


class PanelsText:
    """Writes the loop.

    Args:
        spec: The kernel.
        text: The writer of its state.
    """

    def __init__(self, spec: KernelSpec, text: StateText) -> None:
        self.spec = spec
        self.text = text
        self.rows = SweepText(spec, text)
        # As many vectors as leave registers for the work.
        few, light = len(text.lanes), weight(spec) <= INLINE_LIMIT
        self.wide = ((4, 2) if few <= 2 else (2,) if few <= 4 else ()) if light else ()

    def loop(self) -> str:
        """All of it, in order."""
        span = fill(
            SPAN,
            start="p.g->n - 1 - t" if self.spec.reverse else "t",
            wide="".join(fill(WIDE, vectors=vectors) for vectors in self.wide),
        )
        panels = [self._panel(f"panel{vectors}", vectors) for vectors in self.wide]
        return "\n".join([self.rows.access(), *panels, self._panel("strip", 1), span])

    def _panel(self, name: str, vectors: int) -> str:
        single = vectors == 1
        number = range(vectors)
        names = [f"e.x{leaf}" for leaf in self.spec.tree], [f"r.y{leaf}" for leaf, _ in self.rows.outputs]
        arrays = [f"p.g->inputs[{leaf}]" for leaf in self.spec.tree]
        arrays += [f"p.g->outputs[{i}]" for i in range(len(self.rows.outputs))]
        step = "-" if self.spec.reverse else ""
        strides = [f"  const ms_int d{i} = {step}{array}.axis;" for i, array in enumerate(arrays)]
        down = [f"    {pointer} += d{i};" for i, pointer in enumerate(names[0] + names[1])]
        loads = [self._load(k, single) for k in number]
        return fill(
            PANEL,
            name=name,
            part=", bool part" if single else "",
            columns="one vector of columns, or of the first m" if single else f"{vectors} vectors of columns",
            strides="\n".join(strides),
            states=", ".join(f"s{k}" for k in number),
            captures=", ".join(f"k{k}" for k in number),
            read="\n".join(f"  load_captures(e, j + {k} * W, inner + W, k{k});" for k in number),
            get="\n".join(f"    get_carry<!scan>(row, pitch, p.c0 + j + {k} * W, s{k});" for k in number),
            first="\n".join(line for k in number for line in self._first(k, loads[k], single)),
            step="\n".join(line for k in number for line in self._step(k, loads[k], single)),
            put="\n".join(f"  put_carry<!scan>(row, pitch, p.c0 + j + {k} * W, s{k});" for k in number),
            down="\n".join(down),
        )

    def _load(self, k: int, single: bool) -> str:
        return "part ? load_part(e, j, m, x) : load(e, j, x);" if single else f"load(e, j + {k} * W, x);"

    def _store(self, k: int, value: str, single: bool) -> str:
        if single:
            return f"if (scan) part ? store_part(r, j, m, {value}) : store(r, j, {value});"
        return f"if (scan) store(r, j + {k} * W, {value});"

    def _first(self, k: int, load: str, single: bool) -> list[str]:
        """The first element is the state itself."""
        lines = [f"    {{ state x; {load} s{k} = x; }}"]
        if self.spec.inclusive:
            lines.append(f"    {self._store(k, f's{k}', single)}")
        elif self.spec.identity is not None:
            lines.append(f"    {self._store(k, f'state{self.text.identity()}', single)}")
        return lines

    def _step(self, k: int, load: str, single: bool) -> list[str]:
        lines = [f"    {{ state x; {load}"]
        if not self.spec.inclusive:
            lines.append(f"      const state before = s{k};")
        lines.append(f"      s{k} = combine(s{k}, x, k{k});")
        lines.append(f"      {self._store(k, f's{k}' if self.spec.inclusive else 'before', single)} }}")
        return lines
