"""A `WindowSpec` rendered to C++: the operator with what stands before and behind it, and the loop."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from monoscan.lowering.program.alike import Parts
from monoscan.lowering.program.ir import MAX_LANES, Leaf, Program
from monoscan.lowering.render import emit
from monoscan.lowering.render.emit import TYPES
from monoscan.lowering.render.estimates import INLINE_LIMIT, WIDE_STATE
from monoscan.lowering.render.kernel import declare, kinds_of, storable, tag, wrapped
from monoscan.lowering.render.operator import members
from monoscan.lowering.render.spec import SIZES
from monoscan.lowering.render.window_spec import WindowSpec

_LETTERS = ("p", "n", "q")
"""Of the numbers of ``prepare``, ``combine`` and ``present``."""

Lanes = list[tuple[str, str]]
"""Members and their dtypes."""


def unsupported_window(spec: WindowSpec) -> str | None:
    """Why a kernel of windows cannot be rendered, in words for the user; None if it can."""
    missing = next(
        filter(None, map(emit.missing, (*spec.programs, spec.split.combine.shared, spec.split.present.shared))), None
    )
    if missing:
        return f"no CPU code for {missing}"
    if len(spec.dtypes) > MAX_LANES:
        return f"an element has {len(spec.dtypes)} lanes; kernels hold {MAX_LANES}"
    pairs = [(stored, leaf.dtype) for stored, leaf in zip(spec.stored, spec.inputs, strict=True)]
    pairs += [(stored, leaf.dtype) for stored, leaf in zip(spec.results, spec.outputs, strict=True)]
    pairs += [(leaf.dtype, leaf.dtype) for leaf in spec.captures]
    return storable(pairs)


def render_window(spec: WindowSpec) -> str:
    """What of a kernel depends on its operator."""
    return _Window(spec).text()


class _Window:
    """Writes one kernel.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: WindowSpec) -> None:
        self.spec, self.split = spec, spec.split
        self.inputs, self.outputs = _lanes("x", spec.inputs), _lanes("y", spec.outputs)
        self.state = [(f"s{lane}", dtype) for lane, dtype in enumerate(spec.dtypes)]
        self.captures = [
            (f"c{n}_{lane}", leaf.dtype) for n, leaf in enumerate(spec.captures) for lane in range(leaf.lanes)
        ]
        self.numbers = [
            number for program, letter in zip(spec.programs, _LETTERS, strict=True)
            for number in emit.number_lanes(program, letter)
        ]  # fmt: skip

    def text(self) -> str:
        """All of it, in order."""
        spec = self.spec
        light = spec.weight <= INLINE_LIMIT and len(self.state) <= WIDE_STATE
        return f"""\
#define MS_WIDTH {spec.width}
#define MS_MASK i{8 * spec.mask}
#define MS_FLUSH {spec.flushes:d}
#define BULK {"INLINE" if len(self.state) <= WIDE_STATE else "NOINLINE"}  // what moves whole states
#define COMBINE {"INLINE" if light else "NOINLINE"}
#include "{emit.header(*spec.programs, self.split.combine.shared, self.split.present.shared)}"

{self._shared()}{self._operator()}
typedef operation::state element;
typedef operation::input input;
typedef operation::output output;
{declare(self._facts())}
#include "state.h"
{self._lists()}
#include "{"windows_along.h" if spec.along else "windows.h"}"
"""

    def _shared(self) -> str:
        """What follows from lanes that are the same in all folds of as many elements, in scalars."""
        split = self.split
        if not split.lanes:
            return "struct shared {};\n"
        own = [self.state[lane] for lane in split.lanes]
        both = [(f"{side}{name}", dtype) for side in "lr" for name, dtype in own]
        programs = [split.combine.shared, split.present.shared]
        return f"""\
template <class V> struct shared_op {{
{emit.family_types(programs, [dtype for _, dtype in own])}
{_scalars("values", "combine", programs[0], both)}{_scalars("shown", "present", programs[1], own)}}};
typedef shared_op<scalars> shared_operation;
typedef shared_operation::values shared;
"""

    def _operator(self) -> str:
        spec = self.spec
        alike = {f"s{lane}" for lane in self.split.lanes}
        state = [f"    {'scalars::' if name in alike else ''}{TYPES[dtype]} {name};" for name, dtype in self.state]
        typed = [dtype for _, dtype in (*self.state, *self.inputs, *self.outputs)]
        constants = members([*self.captures, *self.numbers])
        return f"""\
template <class V> struct op {{
{emit.family_types(spec.programs, typed)}
  struct state {{
{chr(10).join(state)}
  }};
  struct input {{
{members(self.inputs)}
  }};
  struct output {{
{members(self.outputs)}
  }};
  struct captures {{{chr(10) + constants + chr(10) + "  " if constants else ""}}};
{self._combine()}{self._prepare()}{self._present()}}};
typedef op<vectors> operation;
"""

    def _combine(self) -> str:
        split, parts = self.split, self.split.combine
        sides = [f"{side}.s{lane}" for side in "lr" for lane in self.spec.others]
        lines, results = emit.statements(
            parts.own, [*sides, *_crossing(parts), *self._captured()], "k.", "n", emit.called(parts.own)
        )
        own = dict(zip(self.spec.others, results, strict=True))
        same = {lane: f"u.u{n}" for n, lane in enumerate(split.lanes)}
        lines.append(f"return {{{', '.join(own.get(lane) or same[lane] for lane in range(len(self.state)))}}};")
        given = ", ".join(f"{side}.s{lane}" for side in "lr" for lane in split.lanes)
        share = f"return shared_operation::combine({given});" if given else "return {};"
        by_share = ["return combine(l, r, share(l, r), k);"]
        typed = [("state", "l"), ("state", "r")]
        return "".join([
            _function("shared", "share", typed, [share]),
            _function("state", "combine", [*typed, ("shared", "u"), ("captures", "k")], lines),
            _function("state", "combine", [*typed, ("captures", "k")], by_share),
        ])  # fmt: skip

    def _prepare(self) -> str:
        spec = self.spec
        names = [*(f"r.{name}" for name, _ in self.inputs), *self._captured()]
        lines, results = emit.statements(spec.prepare, names, "k.", "p", emit.called(spec.prepare))
        for lane in self.split.lanes:
            instr = spec.prepare.code[spec.prepare.results[lane] - spec.prepare.num_lanes]
            results[lane] = _scalar(instr.param, instr.dtype)
        lines.append(f"return {{{', '.join(results)}}};")
        return _function("state", "prepare", [("input", "r"), ("captures", "k")], lines)

    def _present(self) -> str:
        parts = self.split.present
        names = [f"l.s{lane}" for lane in self.spec.others] + [f"r.{name}" for name, _ in self.inputs]
        lines, results = emit.statements(
            parts.own, [*names, *_crossing(parts), *self._captured()], "k.", "q", emit.called(parts.own)
        )
        if parts.crossing:
            given = ", ".join(f"l.s{lane}" for lane in self.split.lanes)
            lines.insert(0, f"const auto u = shared_operation::present({given});")
        lines.append(f"return {{{', '.join(results)}}};")
        return _function("output", "present", [("state", "l"), ("input", "r"), ("captures", "k")], lines)

    def _captured(self) -> list[str]:
        return [f"k.{name}" for name, _ in self.captures]

    def _facts(self) -> Iterator[tuple[str, object]]:
        spec, arity, captured = self.spec, len(self.spec.inputs), len(self.spec.captures)
        yield from (("reverse", False), ("inclusive", True), ("has_identity", False), ("want_results", True))
        yield from (("from_end", False), ("can_part", False), ("turns", not spec.along))
        yield from (("guarded", bool(self._watched())), ("action", False), ("begins", False))
        yield "reads_inputs", spec.reads_inputs
        yield from (("arity", arity), ("captured", captured), ("inputs", arity + captured))
        yield from (("states", 0), ("outputs", len(spec.outputs)))
        yield "carry_bytes", sum(SIZES[dtype] for lane, dtype in enumerate(spec.dtypes) if lane in self.spec.others)
        yield (
            "result_bytes",
            sum(SIZES[dtype] * leaf.lanes for dtype, leaf in zip(spec.results, spec.outputs, strict=True)),
        )
        moved = 3.8 * (len(self.inputs) + len(self.outputs))
        yield "nanoseconds", float(f"{(moved + 0.5 * spec.combine_cycles) / spec.width:.3g}")
        yield from (("first_part", 0.5), ("second_part", 0.5))
        few = len(self.spec.others)
        widest = 4 if few <= 2 else 2 if few <= 4 else 1
        yield "widest", widest if spec.weight <= INLINE_LIMIT else 1

    def _watched(self) -> dict[int, list[str]]:
        """For each lane that may come out bad, how."""
        watch = self.spec.watch
        if watch is None:
            return {}
        found = {lane: kinds_of(kinds) for lane, kinds in enumerate(watch.kinds) if kinds}
        return found if set(found) & set(self.spec.others) else {}

    def _lists(self) -> str:
        spec, arity = self.spec, len(self.spec.inputs)
        read = [
            _leaf(n, stored, "input", "x", leaf, spec.inputs) for n, (stored, leaf) in _typed(spec.stored, spec.inputs)
        ]
        wrote = [
            _leaf(n, stored, "output", "y", leaf, spec.outputs)
            for n, (stored, leaf) in _typed(spec.results, spec.outputs)
        ]
        captures = [f"numbers<{', '.join(f'&captures::{name}' for name, _ in self.numbers)}>"]
        for number, leaf in enumerate(spec.captures):
            names = ", ".join(f"&captures::c{number}_{lane}" for lane in range(leaf.lanes))
            captures.append(f"leaf<{arity + number}, {tag(leaf.dtype)}, {names}>")
        watched, offset, registers = self._watched(), 0, {}
        for lane in sorted(self.spec.others, key=lambda lane: -SIZES[spec.dtypes[lane]]):
            said = " | ".join(["CARRIED", "RESULT", *watched.get(lane, [])])
            registers[lane] = f"lane<{lane}, {tag(spec.dtypes[lane])}, &state::s{lane}, {offset}, -1, {said}>"
            offset += SIZES[spec.dtypes[lane]]
        same = [f"&state::s{lane}" for lane in self.split.lanes]
        return "\n".join([
            wrapped("typedef leaves<", read, "> in;"), wrapped("typedef leaves<", wrote, "> out;"),
            wrapped("typedef constants<", captures, "> captured_arrays;"),
            wrapped("typedef lanes<", [registers[lane] for lane in sorted(registers)], "> registers;"),
            "static constexpr carry_facts carried[] = {{0, 0, 1, 0}};",
            '#include "window_states.h"',
            wrapped("typedef alone<", same, "> same_lanes;"),
        ])  # fmt: skip


def _lanes(letter: str, leaves: Sequence[Leaf]) -> Lanes:
    dtypes = [leaf.dtype for leaf in leaves for _ in range(leaf.lanes)]
    return [(f"{letter}{lane}", dtype) for lane, dtype in enumerate(dtypes)]


def _typed(stored: Sequence[str], leaves: Sequence[Leaf]) -> Iterable[tuple[int, tuple[str, Leaf]]]:
    return enumerate(zip(stored, leaves, strict=True))


def _leaf(number: int, stored: str, struct: str, letter: str, leaf: Leaf, leaves: Sequence[Leaf]) -> str:
    first = sum(each.lanes for each in leaves[:number])
    names = ", ".join(f"&{struct}::{letter}{first + lane}" for lane in range(leaf.lanes))
    return f"leaf<{number}, {tag(stored)}, {names}>"


def _function(kind: str, name: str, sides: Sequence[tuple[str, str]], lines: Sequence[str]) -> str:
    """A function of the operator; arguments that it does not read have no name."""
    body = "\n".join(f"    {line}" for line in lines)
    named = [re.search(rf"\b{side}\b", body) is not None for _, side in sides]
    arguments = ", ".join(
        f"{typed} {side}" if read else typed for (typed, side), read in zip(sides, named, strict=True)
    )
    return f"  INLINE {kind} {name}({arguments}) {{\n{body}\n  }}\n"


def _scalars(kind: str, name: str, program: Program, given: Lanes) -> str:
    """A function of scalars, and the struct that it yields."""
    values = [(f"u{n}", leaf.dtype) for n, leaf in enumerate(program.outputs)]
    lines, results = emit.statements(program, [name for name, _ in given], "", "u")
    lines.append(f"return {{{', '.join(results)}}};")
    typed = [(TYPES[dtype], name) for name, dtype in given]
    return f"  struct {kind} {{\n{members(values)}\n  }};\n{_function(kind, name, typed, lines)}"


def _crossing(parts: Parts) -> list[str]:
    """What vector code reads of scalars: in every lane, but what it chooses by."""
    return [
        f"u.u{n}" if chooses else f"V::truth(u.u{n})" if dtype == "bool" else f"splat<{TYPES[dtype]}>(u.u{n})"
        for n, dtype, chooses in parts.read
    ]


def _scalar(value: object, dtype: str) -> str:
    """A constant in scalar code."""
    return ("true" if value else "false") if dtype == "bool" else emit.number(value, dtype)
