"""A `BackwardSpec` rendered to C++: the step of the adjoint as a struct, its arrays, and the loop that walks back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.program.numbers import table
from monoscan.lowering.render import emit
from monoscan.lowering.render.backward_spec import BackwardSpec
from monoscan.lowering.render.estimates import INLINE_LIMIT, backward_nanoseconds
from monoscan.lowering.render.kernel import declare, tag, wrapped
from monoscan.lowering.render.scan_spec import mask_bytes

BOLD_CODE, SAVED = 160, 9
"""The most operations of a step that is written out twice, and the least that the second time does without: a look at the
results is as long."""


def render_backward(spec: BackwardSpec) -> str:
    """What of a backward kernel depends on its operator."""
    return _Backward(spec).text()


class _Backward:
    """Writes one kernel.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: BackwardSpec) -> None:
        self.spec = spec
        self.adjoint = spec.adjoint
        self.state = spec.adjoint.program.outputs
        self.element = spec.adjoint.program.elements
        self.programs = spec.programs
        self.captures = spec.adjoint.program.captures
        self.scalar = spec.width == 1
        self.pointers = 0
        self.bold = _bold(spec)

    def text(self) -> str:
        """All of it, in order."""
        step, programs = self.adjoint.step, self.programs
        used = {instr.dtype for program in programs for instr in program.code}
        mask = mask_bytes(used | {leaf.dtype for leaf in step.outputs})
        lists = self._lists()  # counts the pointers
        return f"""\
#define MS_WIDTH {4 if self.scalar else self.spec.width}
#define MS_MASK i{8 * mask}
#define MS_FLUSH {self.spec.flushes:d}
#define STEP {"INLINE" if len((self.bold or step).code) <= INLINE_LIMIT else "NOINLINE"}
#define MS_BOLD {self.bold is not None:d}
#include "{emit.header(*programs)}"
#include "arrays.h"

{self._operation()}
{declare(self._facts())}
{lists}
#include "backward.h"
"""

    def _facts(self) -> Iterator[tuple[str, object]]:
        adjoint, code = self.adjoint, len((self.bold or self.adjoint.step).code)
        arrays = len(adjoint.rights) + len(adjoint.lefts) + len(adjoint.weights)
        live, moved = len(adjoint.live), arrays + len(adjoint.outputs)
        yield from (("reverse", adjoint.reverse), ("inclusive", adjoint.inclusive), ("seeded", adjoint.seeded))
        yield from (("begins", adjoint.begin is not None), ("shifted", adjoint.shifted))
        yield from (("scalar_code", self.scalar), ("from_end", False))
        yield from (("inputs", arrays + len(self.captures)), ("outputs", len(adjoint.outputs)))
        yield from (("inits", live + len(adjoint.lefts) * adjoint.seeded), ("carries", max(live, 1)))
        yield from (("pointers", self.pointers), ("live_lanes", sum(self.state[i].lanes for i in adjoint.live)))
        # Each vector of columns waits for its own last step, so that more of them side by side hide more.
        yield "vectors_wide", 4 if code <= 12 else 2 if code <= 40 else 1
        yield "nanoseconds", float(f"{backward_nanoseconds(code, moved, self.scalar):.3g}")

    def _operation(self) -> str:
        step, live = self.adjoint.step, list(self._lanes("g", self.adjoint.live))
        element = list(_lanes("r", self.element, range(len(self.element))))
        captured = [(f"c{i}_{k}", leaf.dtype) for i, leaf in enumerate(self.captures) for k in range(leaf.lanes)]
        state = self._lanes("l", range(len(self.state)))
        first = [f"o.{name}" for name, _ in (*element, *captured)] + [f"g.{name}" for name, _ in live]
        read = [*(f"o.{name}" for name, _ in state), *first]
        given = [(f"d{i}_{k}", leaf.dtype) for i, leaf in enumerate(self.adjoint.outputs) for k in range(leaf.lanes)]
        given = [(name, dtype) for (name, _), dtype in zip(given, self._held(), strict=True)]
        targets = [*(f"left.{name}" for name, _ in live), *(f"d.{name}" for name, _ in given)]
        held = [
            *self._lanes("l", self.adjoint.lefts),
            *_lanes("r", self.element, self.adjoint.rights),
            *captured,
            *self._numbers(),
        ]
        steps = [_member("step", step, read, targets)]
        if self.bold is not None:
            steps += [_member("bold_step", self.bold, read, targets), _sum_of(targets, step.outputs[0].dtype)]
        start = "\n".join(f"    {line}" for line in self._start(first, given))
        return f"""\
template <class V> struct adjoint {{
{emit.family_types(self.programs, [dtype for _, dtype in (*live, *held, *given)])}
{_struct("cotangents", live)}
{_struct("operands", held)}
{_struct("gradients", given)}
{"".join(steps)}  INLINE void start({_used("const operands&", "o", start)}, {_used("const cotangents&", "g", start)}, \
{_used("gradients&", "d", start)}) {{
{start}
  }}
}};
typedef adjoint<{"scalars" if self.scalar else "vectors"}> operation;
"""

    def _lanes(self, prefix: str, leaves: Iterable[int]) -> Iterator[tuple[str, str]]:
        """The lanes of some leaves of the state, and their dtypes."""
        return _lanes(prefix, self.state, leaves)

    def _numbers(self) -> list[tuple[str, str]]:
        programs = zip(self.programs, "nb", strict=False)
        return [member for program, letter in programs for member in emit.number_lanes(program, letter)]

    def _held(self) -> list[str]:
        outputs = self.adjoint.step.outputs[len(self.adjoint.live) :]
        return [leaf.dtype for leaf in outputs for _ in range(leaf.lanes)]

    def _start(self, names: Sequence[str], given: Sequence[tuple[str, str]]) -> Iterator[str]:
        """The gradients of the first element, where no state comes before: its cotangents, where it is the first state."""
        if self.adjoint.seeded:
            return
        for start in self.programs[1:]:
            lines, results = emit.statements(start, names, "o.", "b", emit.called(start))
            yield from lines
            yield from (f"d.{target} = {value};" for (target, _), value in zip(given, results, strict=True))
            return
        own = list(self._lanes("g", self.adjoint.gradients))
        live = {name for name, _ in self._lanes("g", self.adjoint.live)}
        for number, (target, dtype) in enumerate(given):
            name = own[number][0] if number < len(own) else ""
            yield f"d.{target} = {f'g.{name}' if name in live else emit.literal(0, dtype)};"

    def _lists(self) -> str:
        adjoint, spec = self.adjoint, self.spec
        count = iter(range(len(adjoint.rights) + len(adjoint.lefts) + len(adjoint.weights) + len(self.captures)))
        rights = [self._array(next(count), adjoint.stored[i], "operands", f"r{i}", self.element[i].lanes)
                  for i in adjoint.rights]  # fmt: skip
        lefts = [self._array(next(count), name, "operands", f"l{i}", self.state[i].lanes)
                 for i, name in zip(adjoint.lefts, spec.states, strict=True)]  # fmt: skip
        weights = [self._array(next(count), name, "cotangents", f"g{i}", self.state[i].lanes)
                   for i, name in zip(adjoint.weights, spec.weights, strict=True)]  # fmt: skip
        captured = [self._array(next(count), name, "operands", f"c{n}", leaf.lanes)
                    for n, (leaf, name) in enumerate(zip(self.captures, spec.captures, strict=True))]  # fmt: skip
        out = [self._array(n, leaf.dtype, "gradients", f"d{n}", leaf.lanes) for n, leaf in enumerate(adjoint.outputs)]
        pointers = self.pointers
        before = [self._array(len(adjoint.live) + n, self.state[i].dtype, "operands", f"l{i}", self.state[i].lanes)
                  for n, i in enumerate(adjoint.lefts)] if adjoint.seeded else []  # fmt: skip
        self.pointers = 0  # the place of a lane in a row of cotangents
        ends = [self._array(n, self.state[i].dtype, "cotangents", f"g{i}", self.state[i].lanes)
                for n, i in enumerate(adjoint.live)]  # fmt: skip
        self.pointers = pointers
        named = {"rights": rights, "lefts": lefts, "weights": weights, "captured_arrays": captured, "out": out,
                 "states_before": before, "ends": ends}  # fmt: skip
        members = [f"&operation::operands::{name}" for name, _ in self._numbers()]
        lists = [wrapped("typedef arrays<", items, f"> {name};") for name, items in named.items()]
        return "\n".join([*lists, wrapped("typedef numbers<", members, "> held_numbers;")])

    def _array(self, number: int, dtype: str, struct: str, prefix: str, lanes: int) -> str:
        members = ", ".join(f"&operation::{struct}::{prefix}_{k}" for k in range(lanes))
        place, self.pointers = self.pointers, self.pointers + lanes
        return f"lanes_of<{number}, {place}, {tag(dtype)}, {members}>"


def _bold(spec: BackwardSpec) -> Program | None:
    """The step without a look for zero times infinity, where that is shorter and one sum of its results says whether it did."""
    step = spec.adjoint.step
    if len(step.code) > BOLD_CODE or len({leaf.dtype for leaf in step.outputs}) > 1:
        return None
    bold = spec.adjoint.bold_step
    # Both read the numbers of one table.
    return bold if len(bold.code) + SAVED <= len(step.code) and table(bold) == table(step) else None


def _member(name: str, step: Program, read: Sequence[str], targets: Sequence[str]) -> str:
    """A function of what a step reads."""
    lines, results = emit.statements(step, read, "o.", calls=emit.called(step))
    lines += [f"{target} = {value};" for target, value in zip(targets, results, strict=True)]
    body = "\n".join(f"    {line}" for line in lines)
    return f"""\
  INLINE void {name}({_used("const operands&", "o", body)}, {_used("const cotangents&", "g", body)}, \
{_used("cotangents&", "left", body)}, {_used("gradients&", "d", body)}) {{
{body}
  }}
"""


def _sum_of(results: Sequence[str], dtype: str) -> str:
    """A function of all results that is NaN if one of them is."""
    body = f"    return {' + '.join(results)};"
    return f"""\
  INLINE {emit.TYPES[dtype]} sum({_used("const cotangents&", "left", body)}, {_used("const gradients&", "d", body)}) {{
{body}
  }}
"""


def _lanes(prefix: str, leaves: Sequence[Leaf], chosen: Iterable[int]) -> Iterator[tuple[str, str]]:
    return ((f"{prefix}{i}_{k}", leaves[i].dtype) for i in chosen for k in range(leaves[i].lanes))


def _struct(name: str, lanes: Sequence[tuple[str, str]]) -> str:
    groups = groupby(lanes, key=lambda lane: emit.TYPES[lane[1]])
    members = "".join(f"    {kind} {', '.join(name for name, _ in names)};\n" for kind, names in groups)
    return f"  struct {name} {{\n{members}  }};"


def _used(kind: str, name: str, body: str) -> str:
    """A parameter, without its name where the body has no use for it: compilers warn of such names."""
    return f"{kind} {name}" if re.search(rf"\b{name}\.", body) else kind
