"""A `WindowSpec` rendered to C++: the operator with what stands before and behind it, and the loop."""

from __future__ import annotations

from collections.abc import Iterator

from monoscan.lowering.program.ir import MAX_LANES
from monoscan.lowering.render import emit
from monoscan.lowering.render import window_parts as text
from monoscan.lowering.render.estimates import INLINE_LIMIT, WIDE_STATE
from monoscan.lowering.render.kernel import declare, kinds_of, storable, tag, wrapped
from monoscan.lowering.render.operator import members
from monoscan.lowering.render.scan_spec import SIZES
from monoscan.lowering.render.window_spec import WindowSpec

_LETTERS = ("p", "n", "q")
"""Of the numbers of ``prepare``, ``combine`` and ``present``."""


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
        self.inputs, self.outputs = text.lanes_of("x", spec.inputs), text.lanes_of("y", spec.outputs)
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
{text.scalars("values", "combine", programs[0], both)}{text.scalars("shown", "present", programs[1], own)}}};
typedef shared_op<scalars> shared_operation;
typedef shared_operation::values shared;
"""

    def _operator(self) -> str:
        spec = self.spec
        typed = [dtype for _, dtype in (*self.state, *self.inputs, *self.outputs)]
        constants = members([*self.captures, *self.numbers])
        return f"""\
template <class V> struct op {{
{emit.family_types(spec.programs, typed)}
  struct state {{
{text.state_struct(spec)}
  }};
  struct input {{
{members(self.inputs)}
  }};
  struct output {{
{members(self.outputs)}
  }};
  struct captures {{{chr(10) + constants + chr(10) + "  " if constants else ""}}};
{text.combine_text(spec, self._captured())}{text.prepare_text(spec, self._captured())}{self._present()}}};
typedef op<vectors> operation;
"""

    def _present(self) -> str:
        parts = self.split.present
        names = [f"l.s{lane}" for lane in self.spec.others] + [f"r.{name}" for name, _ in self.inputs]
        lines, results = emit.statements(
            parts.own, [*names, *text.crossing(parts), *self._captured()], "k.", "q", emit.called(parts.own)
        )
        if parts.crossing:
            given = ", ".join(f"l.s{lane}" for lane in self.split.lanes)
            lines.insert(0, f"const auto u = shared_operation::present({given});")
        lines.append(f"return {{{', '.join(results)}}};")
        return text.function("output", "present", [("state", "l"), ("input", "r"), ("captures", "k")], lines)

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
        read = list(text.leaves_of("input", "x", spec.stored, spec.inputs))
        wrote = list(text.leaves_of("output", "y", spec.results, spec.outputs))
        captures = [f"numbers<{', '.join(f'&captures::{name}' for name, _ in self.numbers)}>"]
        for number, leaf in enumerate(spec.captures):
            names = ", ".join(f"&captures::c{number}_{lane}" for lane in range(leaf.lanes))
            captures.append(f"leaf<{arity + number}, {tag(leaf.dtype)}, {names}>")
        return "\n".join([
            wrapped("typedef leaves<", read, "> in;"), wrapped("typedef leaves<", wrote, "> out;"),
            wrapped("typedef constants<", captures, "> captured_arrays;"),
            text.state_lists(spec, self._watched()),
        ])  # fmt: skip
