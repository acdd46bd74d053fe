"""A scalar loop in exact fold order, over any strides: the reference for the others."""

from __future__ import annotations

from monoscan.lowering.render.c import CScalar
from monoscan.lowering.render.loops.driver import fill
from monoscan.lowering.render.prelude import FROM_HALF, TO_HALF, item_type
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.render.state import carry_offsets

SPAN = """\
INLINE ms_int buffer_bytes(const ms_launch*) { return 0; }
// One column from its first step to its last; the carry stays in registers.
template <bool scan> static void column(const piece& p, ms_int j) {
  captures k = {};
@captures
  state c = {};
  ms_int t = p.t0, at = @start;
  if (p.seeded) {
@get
  } else if (t < p.t1) {
    read(p, at, j, c);
    if (scan) {
@first
    }
    ++t, at += @step;
  }
  for (; t < p.t1; ++t, at += @step) {
    state x;
    read(p, at, j, x);
    const state y = combine(c, x, k);
    if (scan) write(p, at, j, @out);
    c = y;
  }
@put
}
INLINE void span(const piece& p, bool scan) {
  for (ms_int j = p.c0; j < p.c1; ++j) scan ? column<true>(p, j) : column<false>(p, j);
}
"""


class SequentialText:
    """Writes the scalar program and its loop.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: KernelSpec) -> None:
        self.spec = spec
        self.dialect = CScalar()
        self.carried = spec.lanes_of(spec.carried)
        self.lanes = spec.lanes_of(sorted({*spec.carried, *spec.read}))

    def text(self) -> str:
        """The state, the combine and the element access."""
        spec, types = self.spec, self.dialect.types
        lanes = " ".join(f"{types[spec.dtypes[lane]]} s{lane};" for lane in self.lanes)
        captures = " ".join(
            f"{types[leaf.dtype]} c{n}_{i};" for n, leaf in enumerate(spec.combine.captures) for i in range(leaf.lanes)
        )
        return f"struct state {{ {lanes} }};\nstruct captures {{ {captures} }};\n{self._combine()}"

    def _combine(self) -> str:
        spec = self.spec
        lanes = [f"{side}.s{lane}" for side in "lr" for lane in range(len(spec.dtypes))]
        lanes += [f"k.c{n}_{i}" for n, leaf in enumerate(spec.combine.captures) for i in range(leaf.lanes)]
        statements, results = self.dialect.body(spec.program(spec.carried), lanes)
        lines = [*statements, "state y = {};"]
        lines += [f"y.s{lane} = {value};" for lane, value in zip(self.carried, results, strict=True)]
        body = "\n".join(f"  {line}" for line in lines)
        name = " k" if spec.combine.captures else ""
        head = f"INLINE state combine(const state& l, const state& r, const captures&{name}) {{"
        return f"{head}\n{body}\n  return y;\n}}\n"

    def loop(self) -> str:
        """Element access and the loop."""
        spec = self.spec
        first = "write(p, at, j, c);"
        if not spec.inclusive:
            first = self._identity() if spec.identity is not None else ""
        captures, get, put = [], [], []
        for n, (leaf, dtype) in enumerate(zip(spec.combine.captures, spec.capture_dtypes, strict=True)):
            for lane in range(leaf.lanes):
                captures.append(f"  k.c{n}_{lane} = {self._item(spec.combine.arity + n, dtype, lane, axis=False)};")
        for lane in self.carried:
            place = f"(({item_type(spec.dtypes[lane])}*)(p.carry + p.pitch * {carry_offsets(spec)[lane]}))[j]"
            get.append(f"    c.s{lane} = {place};")
            put.append(f"  {place} = c.s{lane};")
        return self._access() + fill(
            SPAN,
            captures="\n".join(captures) or "  (void)k;",
            start="p.g->n - 1 - t" if spec.reverse else "t",
            step="-1" if spec.reverse else "1",
            get="\n".join(get),
            put="\n".join(put),
            first=f"      {first}",
            out="y" if spec.inclusive else "c",
        )

    def _identity(self) -> str:
        spec = self.spec
        assert spec.identity is not None
        sets = [f"i.s{n} = {self.dialect.literal(spec.identity[n], spec.dtypes[n])};" for n in self.carried]
        return f"state i = {{}}; {' '.join(sets)} write(p, at, j, i);"

    def _item(self, index: int, dtype: str, lane: int, axis: bool = True) -> str:
        a = f"p.g->inputs[{index}]"
        at = f"p.w->in[{index}] + j * {a}.inner + {lane} * {a}.lane" + (f" + at * {a}.axis" if axis else "")
        item = f"((const {item_type(dtype)}*){a}.data)[{at}]"
        return f"{FROM_HALF[dtype]}({item})" if dtype in FROM_HALF else item

    def _access(self) -> str:
        spec, read, write = self.spec, [], []
        for leaf in spec.read:
            for index, lane in enumerate(spec.lanes[leaf]):
                read.append(f"  x.s{lane} = {self._item(leaf, spec.elements[leaf], index)};")
        outputs = zip(spec.emit, spec.results, strict=False) if spec.want_results else ()
        for number, (leaf, dtype) in enumerate(outputs):
            a = f"p.g->outputs[{number}]"
            for index, lane in enumerate(spec.lanes[leaf]):
                place = f"p.w->out[{number}] + at * {a}.axis + j * {a}.inner + {index}"
                value = f"{TO_HALF[dtype]}(y.s{lane})" if dtype in TO_HALF else f"y.s{lane}"
                write.append(f"  (({item_type(dtype)}*){a}.data)[{place}] = {value};")
        return "\n".join(
            [
                "INLINE void read(const piece& p, ms_int at, ms_int j, state& x) {",
                *read,
                "}",
                "INLINE void write(const piece& p, ms_int at, ms_int j, const state& y) {",
                *write,
                "}",
                "",
            ]
        )
