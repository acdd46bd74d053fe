"""Parts of the text of kernels of windows and of their gradients."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from monoscan.lowering.program.alike import Parts
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.render import emit
from monoscan.lowering.render.emit import TYPES
from monoscan.lowering.render.kernel import tag, wrapped
from monoscan.lowering.render.operator import members
from monoscan.lowering.render.scan_spec import SIZES
from monoscan.lowering.render.window_back_spec import WindowBackSpec
from monoscan.lowering.render.window_spec import WindowSpec

Lanes = list[tuple[str, str]]
"""Members and their dtypes."""

Spec = WindowSpec | WindowBackSpec


def lanes_of(letter: str, leaves: Sequence[Leaf]) -> Lanes:
    """The members that hold these leaves."""
    dtypes = [leaf.dtype for leaf in leaves for _ in range(leaf.lanes)]
    return [(f"{letter}{lane}", dtype) for lane, dtype in enumerate(dtypes)]


def leaves_of(struct: str, letter: str, stored: Sequence[str], leaves: Sequence[Leaf], first: int = 0) -> Iterator[str]:
    """How these leaves stand in memory and in a struct, by the numbers of their arrays from the first one on."""
    lane = 0
    for number, (dtype, leaf) in enumerate(zip(stored, leaves, strict=True), first):
        names = ", ".join(f"&{struct}::{letter}{lane + place}" for place in range(leaf.lanes))
        lane += leaf.lanes
        yield f"leaf<{number}, {tag(dtype)}, {names}>"


def state_struct(spec: Spec) -> str:
    """The members of the state, of which those that are the same in all lanes are scalars."""
    alike = spec.split.lanes
    rows = [f"{'scalars::' if n in alike else ''}{TYPES[dtype]} s{n};" for n, dtype in enumerate(spec.dtypes)]
    return "\n".join(f"    {row}" for row in rows)


def state_lists(spec: Spec, watched: Mapping[int, list[str]]) -> str:
    """The lists of the state's lanes, and what is watched of them."""
    offset, registers = 0, {}
    for lane in sorted(spec.others, key=lambda lane: -SIZES[spec.dtypes[lane]]):
        said = " | ".join(["CARRIED", "RESULT", *watched.get(lane, [])])
        registers[lane] = f"lane<{lane}, {tag(spec.dtypes[lane])}, &state::s{lane}, {offset}, -1, {said}>"
        offset += SIZES[spec.dtypes[lane]]
    return "\n".join([
        wrapped("typedef lanes<", [registers[lane] for lane in sorted(registers)], "> registers;"),
        "static constexpr carry_facts carried[] = {{0, 0, 1, 0}};",
        '#include "window_lanes.h"',
        wrapped("typedef alone<", [f"&state::s{lane}" for lane in spec.split.lanes], "> same_lanes;"),
    ])  # fmt: skip


def combine_text(spec: Spec, captured: Sequence[str] = ()) -> str:
    """``combine``, and ``share`` of what all folds of as many elements share."""
    parts = spec.split.combine
    lines, results = emit.statements(
        parts.own, [*sides(spec), *crossing(parts), *captured], "k.", "n", emit.called(parts.own)
    )
    own = dict(zip(spec.others, results, strict=True))
    same = {lane: f"u.u{n}" for n, lane in enumerate(spec.split.lanes)}
    lines.append(f"return {{{', '.join(own.get(lane) or same[lane] for lane in range(len(spec.dtypes)))}}};")
    both = [("state", "l"), ("state", "r")]
    return "".join([
        share(spec, "shared", "share", "combine", "lr"),
        function("state", "combine", [*both, ("shared", "u"), ("captures", "k")], lines),
        function("state", "combine", [*both, ("captures", "k")], ["return combine(l, r, share(l, r), k);"]),
    ])  # fmt: skip


def share(spec: Spec, kind: str, name: str, called: str, operands: str) -> str:
    """What follows from the lanes of some states that are the same in all folds of as many elements."""
    given = ", ".join(f"{side}.s{lane}" for side in operands for lane in spec.split.lanes)
    line = f"return shared_operation::{called}({given});" if given else "return {};"
    return function(kind, name, [("state", side) for side in operands], [line])


def prepare_text(spec: Spec, captured: Sequence[str] = ()) -> str:
    """``prepare``."""
    names = [*(f"r.{name}" for name, _ in lanes_of("x", spec.inputs)), *captured]
    lines, results = emit.statements(spec.prepare, names, "k.", "p", emit.called(spec.prepare))
    for lane in spec.split.lanes:
        instr = spec.prepare.code[spec.prepare.results[lane] - spec.prepare.num_lanes]
        results[lane] = _scalar(instr.param, instr.dtype)
    lines.append(f"return {{{', '.join(results)}}};")
    return function("state", "prepare", [("input", "r"), ("captures", "k")], lines)


def sides(spec: Spec) -> list[str]:
    """The lanes of two states that differ."""
    return [f"{side}.s{lane}" for side in "lr" for lane in spec.others]


def function(kind: str, name: str, operands: Sequence[tuple[str, str]], lines: Sequence[str]) -> str:
    """A function of the operator; arguments that it does not read have no name."""
    body = "\n".join(f"    {line}" for line in lines)
    named = [re.search(rf"\b{side}\b", body) is not None for _, side in operands]
    arguments = ", ".join(
        f"{typed} {side}" if read else typed for (typed, side), read in zip(operands, named, strict=True)
    )
    return f"  INLINE {kind} {name}({arguments}) {{\n{body}\n  }}\n"


def scalars(kind: str, name: str, program: Program, given: Lanes) -> str:
    """A function of scalars, and the struct that it yields."""
    values = [(f"u{n}", leaf.dtype) for n, leaf in enumerate(program.outputs)]
    lines, results = emit.statements(program, [name for name, _ in given], "", "u")
    lines.append(f"return {{{', '.join(results)}}};")
    typed = [(TYPES[dtype], name) for name, dtype in given]
    return f"  struct {kind} {{\n{members(values)}\n  }};\n{function(kind, name, typed, lines)}"


def crossing(parts: Parts) -> list[str]:
    """What vector code reads of scalars: in every lane, but what it chooses by."""
    return [
        f"u.u{n}" if chooses else f"V::truth(u.u{n})" if dtype == "bool" else f"splat<{TYPES[dtype]}>(u.u{n})"
        for n, dtype, chooses in parts.read
    ]


def _scalar(value: object, dtype: str) -> str:
    """A constant in scalar code."""
    return ("true" if value else "false") if dtype == "bool" else emit.number(value, dtype)
