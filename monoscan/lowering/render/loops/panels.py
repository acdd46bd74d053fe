"""Inner of a few vectors: panels of columns, whose states stay in registers from row to row.

A sweep of full rows reads each column's carry back from memory, so a short row costs a
round trip through the store buffer, however few its columns. Here vectors of columns go
down the rows side by side, each its own chain. The order of the fold is kept, as in a sweep.
"""

from __future__ import annotations

from monoscan.lowering.render.estimates import INLINE_LIMIT, weight
from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.loops.sweep import SweepText
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.render.state import StateText

PANEL = """\
// Some steps of @columns, from column j of the piece on.
template <bool scan>
NOINLINE void @name(const piece& p, elements e, results r, ms_int steps, ms_int j, int m) {
  // Locals, since a store might change what `p` points to as far as the compiler knows.
  const ms_int pitch = p.pitch, inner = p.g->inner, first = p.c0 + j;
  u8* const row = p.carry;
@strides
  state @states;
  captures @captures;
@begin
  for (; steps > 0; --steps) {
@step
@down
  }
@end
  (void)m;
}
"""

SPAN = """\
// How many rows a panel goes down before the next one follows: less than the caches hold.
static const ms_int ROWS = 64;
NOINLINE void span(const piece& p, bool scan) {
  if (p.t0 >= p.t1) return;
  elements captured = {};
  pack_captures(p, captured);
  ms_int t = p.t0;
  if (!p.seeded) first_row(p, captured, scan), ++t;
  const ms_int count = p.c1 - p.c0, rows = whole_rows_lie_ready(p.g) ? ROWS : 1;
  for (; t < p.t1; t += rows) {
    const ms_int steps = least(rows, p.t1 - t);
    const elements e = row_at(p, row_of(p, t), captured);
    const results r = out_at(p, row_of(p, t));
    ms_int j = 0;
@wide    for (; j < count; j += W) (@strip)(p, e, r, steps, j, (int)least(W, count - j));
  }
}
"""

WIDE = """\
    for (; j + @vectors * W <= count; j += @vectors * W) (@panel)(p, e, r, steps, j, W);
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
        wide = [fill(WIDE, vectors=vectors, panel=self._called(f"panel{vectors}")) for vectors in self.wide]
        panels = [self._panel(f"panel{vectors}", vectors) for vectors in self.wide]
        span = fill(SPAN, wide="".join(wide), strip=self._called("strip"))
        return "\n".join([self.rows.access(), *panels, self._panel("strip", 1), span])

    def _called(self, name: str) -> str:
        return f"scan ? {name}<true> : {name}<false>" if self.spec.want_results else f"{name}<false>"

    def _panel(self, name: str, vectors: int) -> str:
        number, spec, outputs = range(vectors), self.spec, self.rows.outputs
        single = vectors == 1
        pointers = [*(f"e.x{leaf}" for leaf in spec.tree), *(f"r.y{leaf}" for leaf, _ in outputs)]
        arrays = [f"inputs[{leaf}]" for leaf in spec.tree] + [f"outputs[{i}]" for i in range(len(outputs))]
        sign = "-" if spec.reverse else ""
        begin = [f"  load_captures(e, j + {k} * W, padded(inner), k{k});" for k in number]
        begin += [f"  get_carry<!scan>(row, pitch, first + {k} * W, s{k});" for k in number]
        return fill(
            PANEL,
            name=name,
            columns="at most one vector of columns" if single else f"{vectors} vectors of columns",
            strides="\n".join(f"  const ms_int d{i} = {sign}p.g->{array}.axis;" for i, array in enumerate(arrays)),
            states=", ".join(f"s{k}" for k in number),
            captures=", ".join(f"k{k}" for k in number),
            begin="\n".join(begin),
            step="\n".join(self._step(k, single) for k in number),
            down="\n".join(f"    {pointer} += d{i};" for i, pointer in enumerate(pointers)),
            end="\n".join(f"  put_carry<!scan>(row, pitch, first + {k} * W, s{k});" for k in number),
        )

    def _step(self, k: int, single: bool) -> str:
        load, store = f"load(e, j + {k} * W, x)", f"store(r, j + {k} * W, y)"
        if single:
            load, store = f"m == W ? {load} : load_part(e, j, m, x)", f"m == W ? {store} : store_part(r, j, m, y)"
        before = f"const state y = s{k}; " if not self.spec.inclusive else ""
        after = f" const state& y = s{k};" if self.spec.inclusive else ""
        return f"""\
    {{ state x; {load};
      {before}s{k} = combine(s{k}, x, k{k});{after}
      if (scan) {store}; }}"""
