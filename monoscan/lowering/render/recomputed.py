"""A `RecomputedSpec` rendered to C++: the steps ahead and back as a struct, its arrays, and the loop that walks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.render import emit
from monoscan.lowering.render.estimates import backward_nanoseconds
from monoscan.lowering.render.kernel import declare, tag, wrapped
from monoscan.lowering.render.operator import members
from monoscan.lowering.render.recomputed_spec import RecomputedSpec
from monoscan.lowering.render.scan_spec import SIZES, mask_bytes

Lanes = list[tuple[str, str]]

SIDES = {"l": "state", "r": "element", "k": "captures", "g": "cotangents", "n": "state", "v": "kept"}
"""The parameters of a step, and what they are."""


def render_recomputed(spec: RecomputedSpec) -> str:
    """What of such a kernel depends on its operator."""
    return _Walk(spec).text()


class _Walk:
    """Writes one kernel.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: RecomputedSpec) -> None:
        self.spec = spec
        self.walk = spec.walk
        self.program = spec.walk.program
        self.state = _lanes("s", self.program.outputs, spec.walk.states)
        self.element = _lanes("r", self.program.elements, range(len(self.program.elements)))
        self.given = [text for i in range(len(self.program.elements)) for text in self._element(i)]
        self.captures = _lanes("c", self.program.captures, range(len(self.program.captures)))
        self.live = _lanes("g", self.program.outputs, spec.walk.live)
        timed = len(spec.walk.gradients)
        self.found = _lanes("d", spec.walk.outputs, range(timed))
        self.totals = _lanes("t", spec.walk.outputs, range(timed, len(spec.walk.outputs)))
        self.numbers = [n for p, x in zip(spec.walk.programs, "nmba", strict=False) for n in emit.number_lanes(p, x)]
        both = [spec.walk.parts, spec.walk.first]
        self.kept = [_values(x, each.back, each.kept) for x, each in zip("vw", both, strict=True) if each is not None]

    def text(self) -> str:
        """All of it, in order."""
        spec, programs = self.spec, self.walk.programs
        used = {dtype for program in programs for dtype in program.dtypes}
        used |= {leaf.dtype for leaf in (*self.program.inputs, *self.program.outputs)}
        return f"""\
#define MS_WIDTH {4 if spec.scalar else spec.width}
#define MS_MASK i{8 * mask_bytes(used)}
#define MS_FLUSH {spec.flushes:d}
#include "{emit.header(*programs)}"
{declare(self._facts())}
#include "pointed.h"

{self._operation(used)}
{self._lists()}
#include "recomputed.h"
"""

    def _facts(self) -> Iterator[tuple[str, object]]:
        walk, scan = self.walk, self.walk.scan
        yield from (("reverse", scan.reverse), ("seeded", walk.seeded))
        yield from (("scalar_code", self.spec.scalar), ("from_end", False))
        arrays = len(walk.stored) + len(walk.weights) + len(self.spec.captures)
        inits = len(walk.live) + len(walk.states) * walk.seeded
        yield from (("inputs", arrays), ("outputs", len(walk.outputs)), ("inits", inits))
        yield "carries", len(walk.live) if walk.seeded else 0
        yield "position_bytes", self._position_bytes()
        operations = sum(len(program.code) for program in walk.programs[:2]) + len(walk.programs[0].code)
        yield "nanoseconds", float(f"{backward_nanoseconds(operations, arrays, self.spec.scalar):.3g}")

    def _position_bytes(self) -> int:
        """The bytes that are read and written for each position of each column."""
        walk, spec, program = self.walk, self.spec, self.program
        own = [i for i in range(len(walk.stored)) if not (spec.alike[i] or spec.spread[i])]
        moved = [(walk.stored[i], program.elements[i]) for i in (*own, *(i for i in walk.gradients if i in own))]
        moved += [(name, program.outputs[i]) for i, name in zip(walk.weights, spec.weights, strict=True)]
        return sum(SIZES[name] * leaf.lanes for name, leaf in moved)

    def _operation(self, used: set[str]) -> str:
        structs = {
            "state": self.state, "captures": [*self.captures, *self.numbers],
            "cotangents": self.live, "kept": [lane for each in self.kept for lane in each],
            "gradients": self.found, "totals": self.totals,
        }  # fmt: skip
        own = [lane for i in range(len(self.walk.stored)) if not self.spec.pointed[i]
               for lane in _lanes("r", self.program.elements, [i])]  # fmt: skip
        pointed = [
            f"    shared_lanes<::{tag(name)}> r{i};" for i, name in enumerate(self.walk.stored) if self.spec.pointed[i]
        ]
        element = "\n".join([*pointed, members(own)])
        lines = [f"  struct element {{\n{element}\n  }};"]
        lines += [f"  struct {name} {{\n{members(lanes)}\n  }};" for name, lanes in structs.items()]
        return "\n".join([
            "template <class V> struct adjoint {", emit.family_types(self.walk.programs, used), *lines,
            *self._step(), *self._first(), "};", f"typedef adjoint<{'scalars' if self.spec.scalar else 'vectors'}> operation;",
        ])  # fmt: skip

    def _element(self, leaf: int) -> list[str]:
        """The text of each lane of a leaf. What all columns share is read where it is used."""
        lanes, dtype = range(self.program.elements[leaf].lanes), self.program.elements[leaf].dtype
        if not self.spec.pointed[leaf]:
            return [f"r.r{leaf}_{k}" for k in lanes]
        return [f"splat<{emit.TYPES[dtype]}>(r.r{leaf}[{k}])" for k in lanes]

    def _step(self) -> Iterator[str]:
        parts = self.walk.parts
        before = [f"l.s{i}_{k}" for i, leaf in enumerate(self.program.outputs) for k in range(leaf.lanes)]
        given = [*before, *self.given, *_in("k", self.captures)]
        yield _ahead("step", "l r k", parts.ahead, given, "n", [*_in("y", self.state), *_in("v", self.kept[0])])
        left = _in("left", self.live)
        names = [*given, *_in("g", self.live), *_in("n", self.state), *_in("v", self.kept[0])]
        yield _back("step_back", "l n v r k g", parts.back, names, "m", left, self._targets())

    def _first(self) -> Iterator[str]:
        first = self.walk.first
        if self.walk.seeded:
            return
        given = [*self.given, *_in("k", self.captures)]
        if first is not None:
            kept = _in("v", self.kept[1])
            yield _ahead("begin", "r k", first.ahead, given, "b", [*_in("y", self.state), *kept])
            names = [*given, *_in("g", self.live), *_in("n", self.state), *kept]
            yield _back("begin_back", "n v r k g", first.back, names, "a", [], self._targets())
            return
        values = [text for i in self.walk.states for text in self._element(i)]
        lines = [f"    y.{name} = {value};" for (name, _), value in zip(self.state, values, strict=True)]
        yield "  INLINE void begin(const element& r, const captures&, state& y, kept&) {"
        yield "\n".join([*lines, "  }"])
        live = {name for name, _ in self.live}
        own = [f"g{i}_{k}" for i in self.walk.gradients for k in range(self.program.elements[i].lanes)]
        yield "  INLINE void begin_back(const state&, const kept&, const element&, const captures&, const cotangents& g,"
        yield "                         gradients& d, totals&) {"
        for (target, dtype), name in zip(self.found, own, strict=True):
            yield f"    d.{target} = {f'g.{name}' if name in live else emit.literal(0, dtype)};"
        yield "  }"

    def _targets(self) -> list[tuple[str, bool]]:
        """What the cotangents of a step go to, and whether they are added there."""
        return [*((name, False) for name in _in("d", self.found)), *((name, True) for name in _in("c", self.totals))]

    def _lists(self) -> str:
        walk, spec, program = self.walk, self.spec, self.program
        k = len(walk.stored)
        behind, live = k + len(walk.weights), len(walk.live)
        read = [f"pointed<{i}, {tag(name)}, &operation::element::r{i}, {program.elements[i].lanes}>" if spec.pointed[i]
                else _leaf(i, name, "element", f"r{i}", program.elements[i], spec.alike[i])
                for i, name in enumerate(walk.stored)]  # fmt: skip
        weights = [_leaf(k + n, name, "cotangents", f"g{i}", program.outputs[i])
                   for n, (i, name) in enumerate(zip(walk.weights, spec.weights, strict=True))]  # fmt: skip
        captured = [_leaf(behind + i, name, "captures", f"c{i}", program.captures[i])
                    for i, name in enumerate(spec.captures)]  # fmt: skip
        ends = [_leaf(n, program.outputs[i].dtype, "cotangents", f"g{i}", program.outputs[i])
                for n, i in enumerate(walk.live)]  # fmt: skip
        given = [_leaf(live + n, program.outputs[i].dtype, "state", f"s{i}", program.outputs[i])
                 for n, i in enumerate(walk.states)] if walk.seeded else []  # fmt: skip
        lists = {"read_elements": read, "read_weights": weights, "captured_arrays": captured, "ends": ends,
                 "given_states": given, **self._results()}  # fmt: skip
        numbers = [f"&operation::captures::{name}" for name, _ in self.numbers]
        lines = [wrapped("typedef arrays<", items, f"> {name};") for name, items in lists.items()]
        return "\n".join([*lines, wrapped("typedef numbers<", numbers, "> held_numbers;")])

    def _results(self) -> dict[str, list[str]]:
        """The lists of cotangents, by how they come about."""
        walk, spec, timed = self.walk, self.spec, len(self.walk.gradients)
        found: dict[str, list[str]] = {
            "stored": [],
            "added": [],
            "summed": [],
            "totals_of_columns": [],
            "totals_of_all": [],
        }
        for n, leaf in enumerate(spec.outputs):
            own = walk.gradients[n] if n < timed else len(walk.stored) + walk.captured[n - timed]
            kind = "gradients" if n < timed else "totals"
            if n < timed:
                name = "summed" if spec.alike[own] else "added" if spec.spread[own] else "stored"
            else:
                name = "totals_of_all" if spec.alike[own] else "totals_of_columns"
            found[name].append(_leaf(n, leaf.dtype, kind, f"{'d' if n < timed else 't'}{n}", leaf))
        return found


def _lanes(prefix: str, leaves: Sequence[Leaf], chosen: Sequence[int] | range) -> Lanes:
    return [(f"{prefix}{i}_{k}", leaves[i].dtype) for i in chosen for k in range(leaves[i].lanes)]


def _values(prefix: str, program: Program, number: int) -> Lanes:
    """What is kept for the way back: the last inputs of its program."""
    last = program.inputs[len(program.inputs) - number :]
    return [(f"{prefix}{i}", leaf.dtype) for i, leaf in enumerate(last)]


def _in(side: str, lanes: Lanes) -> list[str]:
    return [f"{side}.{name}" for name, _ in lanes]


def _ahead(name: str, sides: str, program: Program, given: Sequence[str], letter: str, targets: Sequence[str]) -> str:
    lines, results = emit.statements(program, given, "k.", letter, emit.called(program))
    lines = _assigned(lines, [(target, value, False) for target, value in zip(targets, results, strict=True)])
    return _function(name, sides, ["state& y", "kept& v"], lines)


def _back(
    name: str, sides: str, program: Program, given: Sequence[str], letter: str, left: Sequence[str],
    targets: Sequence[tuple[str, bool]],
) -> str:  # fmt: skip
    lines, results = emit.statements(program, given, "k.", letter, emit.called(program))
    both = [*((target, False) for target in left), *targets]
    lines = _assigned(lines, [(target, value, add) for (target, add), value in zip(both, results, strict=True)])
    return _function(name, sides, ["cotangents& left"] * bool(left) + ["gradients& d", "totals& c"], lines)


def _assigned(lines: Sequence[str], results: Sequence[tuple[str, str, bool]]) -> list[str]:
    """The statements, each result assigned, or added to what is there, as soon as it is known."""
    after: dict[str, list[str]] = {}
    for target, value, added in results:
        after.setdefault(value, []).append(f"{target} = {f'{target} + ' if added else ''}{value};")
    found = []
    for line in lines:
        found += [line, *after.pop(line.split(" ")[2], [])]
    return found + [line for rest in after.values() for line in rest]


def _function(name: str, sides: str, more: Sequence[str], lines: Sequence[str]) -> str:
    given = [f"[[maybe_unused]] const {SIDES[side]}& {side}" for side in sides.split()]
    parameters = ", ".join([*given, *(f"[[maybe_unused]] {each}" for each in more)])
    body = "".join(f"    {line}\n" for line in lines)
    return f"  INLINE void {name}({parameters}) {{\n{body}  }}"


def _leaf(number: int, dtype: str, struct: str, prefix: str, leaf: Leaf, shared: bool = False) -> str:
    lanes = ", ".join(f"&operation::{struct}::{prefix}_{k}" for k in range(leaf.lanes))
    text = f"leaf<{number}, {tag(dtype)}, {lanes}>"
    return f"alike<{text}>" if shared else text
