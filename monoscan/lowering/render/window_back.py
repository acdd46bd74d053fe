"""A `WindowBackSpec` rendered to C++: the operator with its derivatives, and the loop."""

from __future__ import annotations

from collections.abc import Iterator

from monoscan.lowering.program.ir import MAX_LANES
from monoscan.lowering.render import emit
from monoscan.lowering.render import window_parts as text
from monoscan.lowering.render.estimates import INLINE_LIMIT, WIDE_STATE
from monoscan.lowering.render.kernel import declare, storable, wrapped
from monoscan.lowering.render.operator import members
from monoscan.lowering.render.window_back_spec import WindowBackSpec

_LETTERS = ("p", "n", "b", "w", "o")
"""Of the numbers of ``prepare``, ``combine``, ``back``, ``weigh`` and ``give``."""


def unsupported_back(spec: WindowBackSpec) -> str | None:
    """Why such a kernel cannot be rendered, in words for the user; None if it can."""
    missing = next(filter(None, map(emit.missing, (*spec.programs, *spec.shared))), None)
    if missing:
        return f"no CPU code for {missing}"
    if max(len(spec.dtypes), sum(leaf.lanes for leaf in spec.gradients)) > MAX_LANES:
        return f"an element has more lanes than kernels hold, {MAX_LANES}"
    stored, held = (*spec.stored, *spec.weights, *spec.results), (*spec.inputs, *spec.cotangents, *spec.outputs)
    return storable((dtype, leaf.dtype) for dtype, leaf in zip(stored, held, strict=True))


def render_back(spec: WindowBackSpec) -> str:
    """What of a kernel depends on its operator."""
    light = spec.weight <= INLINE_LIMIT and len(spec.dtypes) <= WIDE_STATE
    return f"""\
#define MS_WIDTH {spec.width}
#define MS_MASK i{8 * spec.mask}
#define MS_FLUSH {spec.flushes:d}
#define BULK {"INLINE" if len(spec.dtypes) <= WIDE_STATE else "NOINLINE"}  // what moves whole states
#define COMBINE {"INLINE" if light else "NOINLINE"}
#include "{emit.header(*spec.programs, *spec.shared)}"

{_shared(spec)}{_operator(spec)}
typedef operation::state element;
typedef operation::input input;
typedef operation::weights weights;
typedef operation::gradient gradient;
typedef operation::sides sides;
typedef operation::output output;
{declare(_facts(spec))}
#include "state.h"
{_lists(spec)}
#include "windows_back.h"
"""


def _shared(spec: WindowBackSpec) -> str:
    """What follows from lanes that are the same in all folds of as many elements, in scalars."""
    own = [(f"s{lane}", spec.dtypes[lane]) for lane in spec.split.lanes]
    if not own:
        return "struct shared {};\nstruct shared_back {};\nstruct shared_weigh {};\n"
    both = [(f"{side}{name}", dtype) for side in "lr" for name, dtype in own]
    combine, back, weigh = spec.shared
    return f"""\
template <class V> struct shared_op {{
{emit.family_types(spec.shared, [dtype for _, dtype in own])}
{text.scalars("values", "combine", combine, both)}{text.scalars("pulled", "back", back, both)}\
{text.scalars("weighed", "weigh", weigh, own)}}};
typedef shared_op<scalars> shared_operation;
typedef shared_operation::values shared;
typedef shared_operation::pulled shared_back;
typedef shared_operation::weighed shared_weigh;
"""


def _operator(spec: WindowBackSpec) -> str:
    structs = {
        "input": text.lanes_of("x", spec.inputs), "weights": text.lanes_of("w", spec.cotangents),
        "gradient": text.lanes_of("g", spec.gradients), "output": text.lanes_of("y", spec.outputs),
        "captures": [
            number for program, letter in zip(spec.programs, _LETTERS, strict=True)
            for number in emit.number_lanes(program, letter)
        ],
    }  # fmt: skip
    held = [dtype for name in structs for _, dtype in structs[name]]
    declared = "\n".join(f"  struct {name} {{\n{members(lanes)}\n  }};" for name, lanes in structs.items())
    return f"""\
template <class V> struct op {{
{emit.family_types(spec.programs, [*held, *spec.dtypes])}
  struct state {{
{text.state_struct(spec)}
  }};
{declared}
  struct sides {{
    gradient left, right;
  }};
{text.combine_text(spec)}{text.prepare_text(spec)}{_back(spec)}{_weigh(spec)}{_give(spec)}}};
typedef op<vectors> operation;
"""


def _back(spec: WindowBackSpec) -> str:
    parts, lanes = spec.split.back, text.lanes_of("g", spec.gradients)
    names = [*text.sides(spec), *text.crossing(parts), *(f"g.{name}" for name, _ in lanes)]
    lines, results = emit.statements(parts.own, names, "k.", "b", emit.called(parts.own))
    left, right = results[: len(lanes)], results[len(lanes) :]
    lines.append(f"return {{{{{', '.join(left)}}}, {{{', '.join(right)}}}}};")
    operands = [("state", "l"), ("state", "r"), ("gradient", "g"), ("shared_back", "u"), ("captures", "k")]
    shared = text.share(spec, "shared_back", "share_back", "back", "lr")
    return shared + text.function("sides", "back", operands, lines)


def _weigh(spec: WindowBackSpec) -> str:
    parts = spec.split.weigh
    names = [f"l.s{lane}" for lane in spec.others] + text.crossing(parts)
    names += [f"w.{name}" for name, _ in text.lanes_of("w", spec.cotangents)]
    lines, results = emit.statements(parts.own, names, "k.", "w", emit.called(parts.own))
    lines.append(f"return {{{', '.join(results)}}};")
    operands = [("state", "l"), ("weights", "w"), ("shared_weigh", "u"), ("captures", "k")]
    shared = text.share(spec, "shared_weigh", "share_weigh", "weigh", "l")
    return shared + text.function("gradient", "weigh", operands, lines)


def _give(spec: WindowBackSpec) -> str:
    names = [f"r.{name}" for name, _ in text.lanes_of("x", spec.inputs)]
    names += [f"g.{name}" for name, _ in text.lanes_of("g", spec.gradients)]
    lines, results = emit.statements(spec.give, names, "k.", "o", emit.called(spec.give))
    lines.append(f"return {{{', '.join(results)}}};")
    return text.function("output", "give", [("input", "r"), ("gradient", "g"), ("captures", "k")], lines)


def _facts(spec: WindowBackSpec) -> Iterator[tuple[str, object]]:
    arity = len(spec.inputs) + len(spec.cotangents)
    yield from (("inclusive", True), ("has_identity", False), ("from_end", False), ("action", False))
    yield from (("begins", False), ("reads_states", bool(spec.dtypes)))
    yield from (("arity", arity), ("captured", 0), ("inputs", arity), ("outputs", len(spec.outputs)))
    moved = 3.8 * (2 * arity + len(spec.outputs))
    yield "nanoseconds", float(f"{(moved + 0.5 * spec.cycles) / spec.width:.3g}")
    yield "widest", 2 if spec.weight <= INLINE_LIMIT and len(spec.dtypes) <= 4 else 1


def _lists(spec: WindowBackSpec) -> str:
    read = list(text.leaves_of("input", "x", spec.stored, spec.inputs))
    weighed = list(text.leaves_of("weights", "w", spec.weights, spec.cotangents, len(read)))
    wrote = text.leaves_of("output", "y", spec.results, spec.outputs)
    numbers = [
        f"&captures::{name}" for program, letter in zip(spec.programs, _LETTERS, strict=True)
        for name, _ in emit.number_lanes(program, letter)
    ]  # fmt: skip
    summed = [f"&gradient::{name}" for name, _ in text.lanes_of("g", spec.gradients)]
    return "\n".join([
        wrapped("typedef leaves<", [*read, *weighed], "> in;"),
        wrapped("typedef leaves<", read, "> ins;"),
        wrapped("typedef leaves<", weighed, "> weighed;"),
        wrapped("typedef leaves<", list(wrote), "> out;"),
        f"typedef constants<numbers<{', '.join(numbers)}>> captured_arrays;",
        text.state_lists(spec, {}),
        wrapped("typedef summed<", summed, "> gradients;"),
    ])  # fmt: skip
