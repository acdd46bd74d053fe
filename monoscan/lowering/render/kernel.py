"""A `KernelSpec` rendered to C++: the operator, the facts and leaves of the kernel, and the loop that it uses."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from monoscan.dtypes import HALF
from monoscan.lowering.program.cost_table import instructions
from monoscan.lowering.program.ir import MAX_LANES
from monoscan.lowering.program.nonfinite import HIGH, LOW, Kinds
from monoscan.lowering.render import emit
from monoscan.lowering.render.estimates import HEAVY, INLINE_LIMIT, WIDE_STATE, fold_share, nanoseconds, weight
from monoscan.lowering.render.operator import (
    element_lanes,
    held_members,
    input_lanes,
    number_members,
    operator,
    written,
)
from monoscan.lowering.render.rolled_spec import RolledSpec
from monoscan.lowering.render.scan_spec import SIZES, Loop, mask_bytes
from monoscan.lowering.render.spec import KernelSpec

_LOOPS = {
    Loop.ROWS: "rows.h", Loop.PANELS: "row_blocks.h", Loop.SWEEP: "sweep.h", Loop.NARROW: "few_columns.h",
    Loop.SHORT: "row_blocks.h", Loop.RUNS: "runs.h", Loop.SEQUENTIAL: "sequential.h",
}  # fmt: skip

AROUND_LIMIT = 24
"""Programs of more weight around a scan are called for each vector, and not written out in all places."""


def render(spec: KernelSpec) -> str:
    """What of a kernel depends on its operator; `headers.expand` puts the headers in place that it includes."""
    return _Kernel(spec).text()


def unsupported(spec: KernelSpec) -> str | None:
    """Why a kernel cannot be rendered, in words for the user; None if it can."""
    missing = next(filter(None, map(emit.missing, spec.programs(spec.computed))), None)
    if missing:
        return f"no CPU code for {missing}"
    if not spec.dtypes:
        return "an element has no lanes"
    if len(spec.dtypes) > MAX_LANES:
        return f"an element has {len(spec.dtypes)} lanes; kernels hold {MAX_LANES}"
    return unsupported_storage(spec)


def unsupported_storage(spec: KernelSpec | RolledSpec) -> str | None:
    """The first array whose items a kernel cannot read or write, in words for the user."""
    pairs = [(stored, leaf.dtype) for stored, leaf in zip(spec.elements, spec.inputs, strict=True)]
    pairs += [(stored, leaf.dtype) for leaf, stored in zip(spec.shown, spec.results, strict=True)]
    pairs += [(stored, leaf.dtype) for stored, leaf in zip(spec.capture_dtypes, spec.combine.captures, strict=True)]
    return storable(pairs)


def storable(pairs: Iterable[tuple[str, str]]) -> str | None:
    """The first of these dtypes in memory that does not hold that of a value, in words for the user."""
    for stored, held in pairs:
        if held not in emit.TYPES or (stored != held and (stored not in HALF or held != "float32")):
            return f"no CPU code for {stored} stored of {held} computed"
    return None


class _Kernel:
    """Writes one kernel.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: KernelSpec) -> None:
        self.spec = spec
        self.scalar = spec.loop is Loop.SEQUENTIAL
        self.leaves = spec.computed
        self.read = spec.read if self.scalar or spec.apart else spec.tree
        self.lanes = spec.lanes_of(sorted({*self.leaves, *(() if spec.apart else self.read)}))  # of the state
        self.outputs = list(zip(spec.shown, spec.results, strict=True)) if spec.want_results else []
        self.offsets = carry_offsets(spec)
        self.watched = _watched(spec)

    def text(self) -> str:
        """All of it, in order."""
        spec, family = self.spec, "scalars" if self.scalar else "vectors"
        light = weight(spec) <= INLINE_LIMIT and len(self.lanes) <= WIDE_STATE
        operands = bool(spec.alike)  # what all columns share is an operand in memory of the instructions that read it
        narrow = f"#define MS_NARROW {spec.narrow_bytes}\n" if spec.narrow else ""
        combine = "INLINE" if light or self.scalar or operands else "NOINLINE"
        return f"""\
#define MS_WIDTH {spec.width}
#define MS_MASK i{8 * (spec.narrow_bytes if spec.narrow else mask_bytes(spec.values))}
{narrow}#define MS_FLUSH {spec.flushes:d}
#define BULK {"INLINE" if operands or len(self.lanes) <= WIDE_STATE else "NOINLINE"}  // what moves whole states
#define COMBINE {combine}
#include "{emit.header(*spec.programs(self.leaves))}"

{operator(spec, self.leaves, self.lanes, family, calls=True, once=True)}
typedef operation::{"element" if spec.action else "state"} element;
typedef operation::{"input" if spec.around else "element" if spec.action else "state"} input;
{declare(self._facts())}
#include "state.h"
{self._lists()}
#include "{_LOOPS[spec.loop]}"
"""

    def _facts(self) -> Iterator[tuple[str, object]]:
        spec, arity, captured = self.spec, len(self.spec.inputs), len(self.spec.capture_dtypes)
        by_column = spec.loop in (Loop.SWEEP, Loop.PANELS, Loop.SHORT)
        share = fold_share(spec)
        yield from (("reverse", spec.reverse), ("inclusive", spec.inclusive))
        yield "has_identity", spec.identity is not None and not spec.inclusive
        yield from (("want_results", spec.want_results), ("from_end", spec.reverse and not by_column))
        yield "can_part", spec.can_part
        yield "turns", spec.loop is Loop.SHORT
        yield "guarded", bool(self.watched) or any(spec.parts.kinds if spec.parts else ())
        joins = not self.scalar and spec.loop is not Loop.RUNS
        if joins:
            yield "whole_watch", spec.watch is not None and spec.watch.whole
        yield from (("action", spec.action), ("begins", spec.begin is not None))
        yield from (("arity", arity), ("captured", captured), ("inputs", arity + captured))
        yield from (("states", len(spec.starts)), ("outputs", len(self.outputs)))
        if joins:
            yield "packs_captures", spec.loop is not Loop.ROWS
        held = sum(SIZES[spec.dtypes[lane]] for lane in spec.lanes_of(spec.tree))
        products = sum(SIZES[leaf.dtype] * leaf.lanes for leaf in spec.element) if spec.parts else 0
        yield "carry_bytes", max(held, products)
        yield "result_bytes", sum(SIZES[dtype] * leaf.lanes for leaf, dtype in self.outputs)
        if spec.loop in (Loop.ROWS, Loop.RUNS):
            around = spec.around.programs if spec.around else ()
            yield from (("prepares", bool(around)), ("presents", bool(around and self.outputs)))
            yield "calls_around", sum(map(instructions, around)) > AROUND_LIMIT
        yield "nanoseconds", float(f"{nanoseconds(spec):.3g}")
        yield from (("first_part", share / (2 + share)), ("second_part", 1 / (2 + share)))
        yield from self._loop_facts()

    def _loop_facts(self) -> Iterator[tuple[str, object]]:
        spec, few, heavy = self.spec, len(self.lanes), weight(self.spec) >= HEAVY
        if spec.parts is not None:
            yield "gates", sum(1 << leaf for leaf in spec.parts.gates)
            yield "steady_gates", spec.around is not None and spec.parts.steady
        if spec.loop in (Loop.ROWS, Loop.SWEEP):
            yield "cache_line", 64 // spec.vector_bytes
        if spec.loop is Loop.ROWS:
            yield from (("length", 8 if heavy and few <= 4 else 4), ("fold_length", 8 if few <= 2 and not heavy else 4))
            yield from (("paired", few <= 4 and not heavy), ("heavy", heavy))
        if spec.loop in (Loop.PANELS, Loop.SHORT):
            # As many vectors as leave registers for the work.
            widest = 4 if few <= 2 else 2 if few <= 4 else 1
            yield "widest", widest if weight(spec) <= INLINE_LIMIT else 1
        if spec.loop is Loop.SWEEP:
            yield "chains", self._chains()

    def _chains(self) -> bool:
        """Whether a row of results holds all that the next one needs, unrounded and lane by lane."""
        spec = self.spec
        plain = all(
            leaf.lanes == 1 and leaf.dtype == dtype and (SIZES[dtype] >= 4 or spec.narrow)
            for leaf, dtype in self.outputs
        )
        return spec.want_results and spec.inclusive and plain and set(spec.kept) <= set(self._emitted())

    def _lists(self) -> str:
        spec, arity = self.spec, len(self.spec.inputs)
        read = [self._read(leaf) for leaf in self.read]
        wrote = list(self._wrote())
        numbers = ", ".join(f"&captures::{name}" for name, _ in number_members(spec, self.leaves))
        captures = [f"numbers<{numbers}>"]
        for number, (array, dtype) in enumerate(zip(spec.combine.captures, spec.capture_dtypes, strict=True)):
            members = [f"&captures::c{number}_{lane}" for lane in range(array.lanes)]
            captures.append(f"leaf<{arity + number}, {tag(dtype)}, {', '.join(members)}>")
        registers = [self._lane(place, lane) for place, lane in enumerate(spec.lanes_of(self.leaves))]
        carried = []
        for leaf in spec.kept:
            held, size = spec.lanes[leaf], SIZES[spec.state[leaf].dtype]
            number = len(spec.starts) - len(spec.given) + spec.given.index(leaf)
            carried.append(f"{{{number}, {len(held)}, {size}, {self.offsets[held[0]]}}}")
        parts = [_typedef("lanes", list(self._parts()), "parts"), self._of_elements()] if spec.parts else []
        if spec.loop is Loop.SWEEP:
            kept = enumerate(held_members(spec, self.leaves))
            parts.append(
                _typedef("held_rows", [f"leaf<{n}, {tag(t)}, &captures::{name}>" for n, (name, t) in kept], "held")
            )
        return "\n".join([
            *parts, _typedef("leaves", read, "in"), _typedef("leaves", wrote, "out"),
            _typedef("constants", captures, "captured_arrays"), _typedef("lanes", registers, "registers"),
            wrapped("static constexpr carry_facts carried[] = {", carried, "};"),
        ])  # fmt: skip

    def _parts(self) -> Iterator[str]:
        spec = self.spec
        assert spec.parts is not None, "who calls this"
        lanes = element_lanes(spec, range(len(spec.element)))
        offsets = packed([SIZES[dtype] for _, dtype in lanes])
        for lane, ((name, dtype), kinds) in enumerate(zip(lanes, spec.parts.kinds, strict=True)):
            said = ["CARRIED", *kinds_of(kinds)] if kinds else ["CARRIED"]
            yield f"lane<{lane}, {tag(dtype)}, &element::{name}, {offsets[lane]}, -1, {' | '.join(said)}>"

    def _of_elements(self) -> str:
        """The leaves of elements, which what is read need not be."""
        found = []
        for number, leaf in enumerate(self.spec.element):
            members = ", ".join(f"&element::{name}" for name, _ in element_lanes(self.spec, (number,)))
            found.append(f"leaf<{number}, {tag(leaf.dtype)}, {members}>")
        return _typedef("leaves", found, "of_elements")

    def _read(self, leaf: int) -> str:
        members = [f"&input::{name}" for name, _ in input_lanes(self.spec, (leaf,))]
        start = f"leaf<{leaf}, {tag(self.spec.elements[leaf])}, "
        if leaf in self.spec.real:
            return f"real<{start}{', '.join(members[::2])}>, {', '.join(members[1::2])}>"
        read = f"{start}{', '.join(members)}>"
        return f"alike<{read}>" if leaf in self.spec.alike and self.spec.loop is Loop.SWEEP else read

    def _emitted(self) -> Sequence[int]:
        """The leaves of the state that results show as they are."""
        return () if self.spec.around else self.spec.emit[: len(self.outputs)]

    def _wrote(self) -> Iterator[str]:
        lanes = [f"&operation::output::{name}" for name, _ in written(self.spec)]
        lanes += [f"&state::s{lane}" for lane in self.spec.lanes_of(self._emitted())]
        for number, (leaf, dtype) in enumerate(self.outputs):
            yield f"leaf<{number}, {tag(dtype)}, {', '.join(lanes[: leaf.lanes])}>"
            del lanes[: leaf.lanes]

    def _lane(self, place: int, lane: int) -> str:
        spec = self.spec
        output = next((n for n, leaf in enumerate(self._emitted()) if spec.lanes[leaf][0] == lane), -1)
        said = ["CARRIED"] if lane in spec.lanes_of(spec.kept) else []
        said += self.watched.get(lane, [])
        return (
            f"lane<{place}, {tag(spec.dtypes[lane])}, &state::s{lane}, {self.offsets[lane]}, {output}, "
            f"{' | '.join(said) or '0'}>"
        )


def declare(facts: Iterable[tuple[str, object]]) -> str:
    """Facts as constants, those of one type on a line."""
    groups: dict[str, list[str]] = {}
    for name, value in facts:
        kind = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "double"
        groups.setdefault(kind, []).append(f"{name} = {str(value).lower()}")
    return "\n".join(wrapped(f"static constexpr {kind} ", names, ";") for kind, names in groups.items())


def wrapped(start: str, items: Sequence[str], end: str) -> str:
    """A list, over several lines where it is long; no item is broken."""
    line = f"{start}{', '.join(items)}{end}"
    if len(line) <= 120:
        return line
    whole = [item.replace(" ", "\u00a0") for item in items]
    line = textwrap.fill(f"{start}{', '.join(whole)}{end}", 120, subsequent_indent="    ", break_long_words=False)
    return line.replace("\u00a0", " ")


def carry_offsets(spec: KernelSpec) -> dict[int, int]:
    """Where each lane's array stands in a row of carries, in bytes for each column."""
    lanes = spec.lanes_of(spec.tree)
    return dict(zip(lanes, packed([SIZES[spec.dtypes[lane]] for lane in lanes]), strict=True))


def packed(sizes: Sequence[int]) -> list[int]:
    """Where arrays of items of these sizes begin one behind the other, the largest first."""
    offsets, total = [0] * len(sizes), 0
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        offsets[place], total = total, total + sizes[place]
    return offsets


def _watched(spec: KernelSpec) -> dict[int, list[str]]:
    """For each lane that may come out bad, how; empty where nothing can go wrong."""
    if spec.parts is not None:
        return {
            lane: kinds_of(spec.parts.states[lane]) for lane in spec.lanes_of(spec.carried) if spec.parts.states[lane]
        }
    found = spec.watch
    if found is None or spec.loop is Loop.SEQUENTIAL:
        return {}
    results = spec.lanes_of(spec.carried if found.whole else spec.emit)
    said = {}
    for lane, kinds, lasting in zip(spec.lanes_of(spec.tree), found.kinds, found.lasting, strict=True):
        if kinds:
            first, end = ["RESULT"] * (lane in results), ["LASTING"] * lasting
            said[lane] = [*first, *kinds_of(kinds), *end]
    return said if set(said) & set(spec.lanes_of(spec.carried)) else {}


def kinds_of(kinds: Kinds) -> list[str]:
    """How the headers say in which ways a lane may be bad."""
    return ["WATCHED", *["HIGH"] * (HIGH in kinds), *["LOW"] * (LOW in kinds)]


def tag(dtype: str) -> str:
    """What the headers call a dtype."""
    return "boolean" if dtype == "bool" else dtype


def _typedef(kind: str, items: list[str], name: str) -> str:
    return wrapped(f"typedef {kind}<", items, f"> {name};")
