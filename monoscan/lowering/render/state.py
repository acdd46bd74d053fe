"""Text for one program: its state in registers, its combine, and how both meet memory."""

from __future__ import annotations

from monoscan.lowering.render.c import CVector
from monoscan.lowering.render.estimates import INLINE_LIMIT, WIDE_STATE, weight
from monoscan.lowering.render.leaves import event_leaf, quads, transpose
from monoscan.lowering.render.prelude import item_type, storage
from monoscan.lowering.render.spec import SIZES, KernelSpec, Layout


class StateText:
    """Writes the declarations that depend on a program.

    Args:
        spec: The kernel.
        dialect: The vector dialect.
    """

    def __init__(self, spec: KernelSpec, dialect: CVector) -> None:
        self.spec = spec
        self.dialect = dialect
        self.lanes = spec.lanes_of(spec.tree)
        self.group = 64 // spec.vector_bytes  # registers that fill a cache line
        by_column = spec.layout in (Layout.SWEEP, Layout.PANELS)
        self.from_end = spec.reverse and not by_column  # where the lanes of a tail stand
        self.emitted = spec.emit if spec.want_results else ()

    def text(self) -> str:
        """All of it, in order."""
        parts = [self._storage(), self._types(), self._shuffles(), self._combine(), self._elements(), self._captures()]
        bulk = "INLINE" if len(self.lanes) <= WIDE_STATE else "NOINLINE"
        return "\n".join([*parts, self._results(), self._carries()]).replace("@bulk", bulk)

    def _leaf_dtypes(self) -> set[tuple[str, int]]:
        spec = self.spec
        used = {(spec.elements[leaf], spec.state[leaf].lanes) for leaf in spec.tree}
        return used | {(dtype, spec.state[leaf].lanes) for leaf, dtype in self._pairs()}

    def _pairs(self) -> list[tuple[int, str]]:
        """The emitted leaves and their storage dtypes."""
        return list(zip(self.emitted, self.spec.results, strict=False)) if self.emitted else []

    def _storage(self) -> str:
        spec = self.spec
        dtypes = {dtype for dtype, _ in self._leaf_dtypes()} | set(spec.capture_dtypes)
        dtypes |= {spec.dtypes[lane] for lane in self.lanes}
        events = sorted(pair for pair in self._leaf_dtypes() if pair[1] > 1)
        text = storage(dtypes) + transpose(spec.width) + (quads(spec.width) if events else "")
        return text + "".join(event_leaf(dtype, lanes, spec.width) for dtype, lanes in events)

    def _types(self) -> str:
        types = self.dialect.types
        lanes = " ".join(f"{types[self.spec.dtypes[lane]]} s{lane};" for lane in self.lanes)
        captures = []
        for number, leaf in enumerate(self.spec.combine.captures):
            captures += [f"{types[leaf.dtype]} c{number}_{lane};" for lane in range(leaf.lanes)]
        return f"struct state {{ {lanes} }};\nstruct captures {{ {' '.join(captures)} }};\n"

    def _shuffles(self) -> str:
        def each(call: str) -> str:
            return ", ".join(call.replace("@", f"s{lane}") for lane in self.lanes)

        transposed = " ".join(f"transpose(a.s{lane}, b.s{lane}, c.s{lane}, d.s{lane});" for lane in self.lanes)
        spread, chosen = each("splat(a.@[lane])"), each("choose(m, a.@, b.@)")
        return f"""\
template <int... I> @bulk state shuffle(const state& a, const state& b) {{
  return {{{each("permute<I...>(a.@, b.@)")}}};
}}
@bulk void transpose(state& a, state& b, state& c, state& d) {{ {transposed} }}
INLINE state spread(const state& a, int lane) {{ return {{{spread}}}; }}
INLINE state choose(i32v m, const state& a, const state& b) {{ return {{{chosen}}}; }}
"""

    def _combine(self) -> str:
        spec = self.spec
        program = spec.program(spec.tree)
        lanes = [f"{side}.s{lane}" for side in "lr" for lane in range(len(spec.dtypes))]
        lanes += [f"k.c{n}_{i}" for n, leaf in enumerate(spec.combine.captures) for i in range(leaf.lanes)]
        statements, results = self.dialect.body(program, lanes)
        body = "".join(f"  {line}\n" for line in statements)
        how = "INLINE" if weight(spec) <= INLINE_LIMIT and len(self.lanes) <= WIDE_STATE else "NOINLINE"
        return f"""\
{how} state combine(const state& l, const state& r, const captures&{" k" if spec.combine.captures else ""}) {{
{body}  return {{{", ".join(results)}}};
}}
"""

    def _load(self, leaf: int, pointer: str, target: str) -> str:
        lanes = self.spec.lanes[leaf]
        dtype = self.spec.elements[leaf]
        if len(lanes) == 1:
            return f"{target}.s{lanes[0]} = load_{dtype}({pointer});"
        return f"load_{dtype}_x{len(lanes)}({pointer}, {', '.join(f'{target}.s{lane}' for lane in lanes)});"

    def _elements(self) -> str:
        spec = self.spec
        pointers = [f"const {item_type(spec.elements[leaf])}* x{leaf};" for leaf in spec.tree]
        pointers += [f"const {item_type(dtype)}* c{i};" for i, dtype in enumerate(spec.capture_dtypes)]
        whole, part = [], []
        for leaf in spec.tree:
            k, item = spec.state[leaf].lanes, item_type(spec.elements[leaf])
            whole.append(f"  {self._load(leaf, f'e.x{leaf} + i * {k}', 's')}")
            at = f"(W - m) * {k}" if self.from_end else "0"
            if k == 1 and SIZES[spec.elements[leaf]] >= 4:
                register = self.dialect.types[spec.state[leaf].dtype]
                few = f"load_few<{self._end()}, {register}>(e.x{leaf} + i, m)"
                part.append(f"  s.s{spec.lanes[leaf][0]} = {few};")
                continue
            fill = f"{item} b[W * {k}] = {{}}; __builtin_memcpy(b + {at}, e.x{leaf} + i * {k}, m * {k} * sizeof *b);"
            part.append(f"  {{ {fill} {self._load(leaf, 'b', 's')} }}")
        side = "last" if self.from_end else "first"
        return f"""\
struct elements {{ {" ".join(pointers)} }};
@bulk void load(const elements& e, ms_int i, state& s) {{
{chr(10).join(whole)}
}}
// m elements in the {side} lanes.
@bulk void load_part(const elements& e, ms_int i, int m, state& s) {{
{chr(10).join(part)}
}}
"""

    def _end(self) -> str:
        return "true" if self.from_end else "false"

    def _captures(self) -> str:
        spec = self.spec
        lines = []
        for number, (leaf, dtype) in enumerate(zip(spec.combine.captures, spec.capture_dtypes, strict=True)):
            for lane in range(leaf.lanes):
                lines.append(f"  k.c{number}_{lane} = load_{dtype}(e.c{number} + {lane} * pitch + i);")
        body = "\n".join(lines) or "  (void)e, (void)i, (void)pitch, (void)k;"
        return f"""\
// The items of a buffer's row: W more than its content, and items of any size may start behind it.
INLINE ms_int padded(ms_int items) {{ return (items + W + 7) / 8 * 8; }}
// From such rows, one a lane, `pitch` items apart.
INLINE void load_captures(const elements& e, ms_int i, ms_int pitch, captures& k) {{
{body}
}}
"""

    def _results(self) -> str:
        spec = self.spec
        pointers = [f"{item_type(dtype)}* y{leaf};" for leaf, dtype in self._pairs()]
        text = [f"struct results {{ {' '.join(pointers)} }};"]
        lines = []
        for leaf, dtype in self._pairs():
            lanes = spec.lanes[leaf]
            name = f"store_{dtype}" if len(lanes) == 1 else f"store_{dtype}_x{len(lanes)}"
            lines.append(f"  {name}(r.y{leaf} + i * {len(lanes)}, {', '.join(f's.s{lane}' for lane in lanes)});")
        text += ["@bulk void store(const results& r, ms_int i, const state& s) {", *lines, "}", self._stream()]
        text += ["@bulk void store_part(const results& r, ms_int i, int m, const state& s) {"]
        for leaf, dtype in self._pairs():
            lanes = spec.lanes[leaf]
            values = ", ".join(f"s.s{lane}" for lane in lanes)
            name = f"store_{dtype}" if len(lanes) == 1 else f"store_{dtype}_x{len(lanes)}"
            if len(lanes) == 1 and SIZES[dtype] >= 4:
                text.append(f"  store_few<{self._end()}>(r.y{leaf} + i, m, {values});")
                continue
            k, at = len(lanes), f"(W - m) * {len(lanes)}" if self.from_end else "0"
            out = f"__builtin_memcpy(r.y{leaf} + i * {k}, b + {at}, m * {k} * sizeof *b);"
            text.append(f"  {{ {item_type(dtype)} b[W * {k}]; {name}(b, {values}); {out} }}")
        return "\n".join([*text, "}", ""])

    def _stream(self) -> str:
        """Leaf by leaf: a cache line written in one go leaves the core in one go."""
        lines = []
        for leaf, dtype in self._pairs():
            lanes = self.spec.lanes[leaf]
            for part in range(self.group):
                values = ", ".join(f"s{part}.s{lane}" for lane in lanes)
                name = f"stream_{dtype}" if len(lanes) == 1 else f"store_{dtype}_x{len(lanes)}"
                lines.append(f"  {name}(r.y{leaf} + (i + {part} * W) * {len(lanes)}, {values});")
        states = ", ".join(f"const state& s{part}" for part in range(self.group))
        return "\n".join([f"INLINE void stream(const results& r, ms_int i, {states}) {{", *lines, "}"])

    def _carries(self) -> str:
        """Rows of carries: one array a lane, in the state's own dtypes."""
        spec = self.spec
        get, put = [], []
        for lane, at in carry_offsets(spec).items():
            dtype = spec.dtypes[lane]
            place = f"row + pitch * {at} + j * {SIZES[dtype]}"
            if lane not in spec.lanes_of(spec.carried):
                get.append(f"  if (whole) s.s{lane} = load_{dtype}({place});")
                put.append(f"  if (whole) store_{dtype}({place}, s.s{lane});")
            else:
                get.append(f"  s.s{lane} = load_{dtype}({place});")
                put.append(f"  store_{dtype}({place}, s.s{lane});")
        return f"""\
// A row of carries has `pitch` columns; the lanes that only partial folds need are in it if `whole`.
template <bool whole> INLINE void get_carry(const u8* row, ms_int pitch, ms_int j, state& s) {{
{chr(10).join(get)}
}}
template <bool whole> INLINE void put_carry(u8* row, ms_int pitch, ms_int j, const state& s) {{
{chr(10).join(put)}
}}
"""

    def identity(self) -> str:
        """The constants that an exclusive scan without init starts from."""
        spec = self.spec
        assert spec.identity is not None
        values = (self.dialect.literal(spec.identity[lane], spec.dtypes[lane]) for lane in self.lanes)
        return f"{{{', '.join(values)}}}"


def carry_offsets(spec: KernelSpec) -> dict[int, int]:
    """Where each lane's array stands in a row of carries, in bytes for each column."""
    offsets, total = {}, 0
    for lane in sorted(spec.lanes_of(spec.tree), key=lambda lane: -SIZES[spec.dtypes[lane]]):
        offsets[lane], total = total, total + SIZES[spec.dtypes[lane]]
    return offsets


def carry_bytes(spec: KernelSpec) -> int:
    """Bytes for each column of a row of carries."""
    return sum(SIZES[spec.dtypes[lane]] for lane in spec.lanes_of(spec.tree))
