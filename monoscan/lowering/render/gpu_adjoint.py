"""The adjoint of a scan as a scan of maps g -> J g + w: the text of its operator, and its arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import attrs

from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.gradient.jacobian_maps import Maps, maps_of
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.render import emit
from monoscan.lowering.render.gpu_arrays import Array, array, members, state_members
from monoscan.lowering.render.gpu_functions import Functions, Lane
from monoscan.lowering.render.operator import members as declared
from monoscan.lowering.render.spec import KernelSpec


@attrs.frozen
class Pulled(Functions):
    """What a backward kernel computes around the scan of maps: what these are made from, and what follows from g.

    Args:
        adjoint: The adjoint; its maps are small enough to scan, and nothing begins a state.
        states: The storage dtype of each of its `lefts`.
        weights: The storage dtype of each of its `weights`.
        captures: The storage dtype of each captured array.
    """

    adjoint: Adjoint
    states: tuple[str, ...]
    weights: tuple[str, ...]
    captures: tuple[str, ...]

    @property
    def maps(self) -> Maps:
        """The maps."""
        found = maps_of(self.adjoint.scalar, self.adjoint.live)
        assert found is not None, "adjoints without maps have no kernel"
        return found

    @cached_property
    def kernel(self) -> KernelSpec:
        """The scan of maps, of which the cotangents are wanted."""
        program, first = self.maps.program, len(self.maps.pattern)
        dtypes = tuple(leaf.dtype for leaf in program.outputs)
        return KernelSpec(program, dtypes, dtypes[first:], tuple(range(first, len(dtypes))))

    @property
    def programs(self) -> dict[str, Program]:
        """All that runs, by the letter of its numbers."""
        return {"n": self.maps.program, "e": self.maps.entries, "m": self.adjoint.step}

    @property
    def header(self) -> str:
        """The header that loads and stores."""
        return "adjoint"

    @property
    def facts(self) -> dict[str, bool]:
        """What the header is told."""
        adjoint = self.adjoint
        return {
            "reverse": adjoint.reverse,
            "late": not adjoint.inclusive,
            "shifted": adjoint.shifted,
            "seeded": adjoint.seeded,
        }

    @property
    def state(self) -> tuple[Leaf, ...]:
        """The leaves of the other scan's state."""
        return self.adjoint.program.outputs

    # ------------------------------------------------------------------ arrays
    @property
    def inputs(self) -> Iterator[Array]:
        """What it reads."""
        adjoint, element = self.adjoint, self.adjoint.program.elements
        for n, i in enumerate(adjoint.rights):
            yield array("rights", n, adjoint.stored[i], element[i], members(f"r{i}", element[i]))
        for n, (i, dtype) in enumerate(zip(adjoint.lefts, self.states, strict=True)):
            yield array("lefts", n, dtype, self.state[i], members(f"l{i}", self.state[i]))
        for n, (i, dtype) in enumerate(zip(adjoint.weights, self.weights, strict=True)):
            yield array("weights", n, dtype, self.state[i], self._cotangent(i))
        for n, (leaf, dtype) in enumerate(zip(adjoint.program.captures, self.captures, strict=True)):
            yield array("captures", n, dtype, leaf, members(f"c{n}", leaf))
        for n, i in enumerate(adjoint.live):
            yield array("ends", n, self.state[i].dtype, self.state[i], self._cotangent(i))
        for n, i in enumerate(adjoint.lefts if adjoint.seeded else ()):
            yield array("init", n, self.state[i].dtype, self.state[i], members(f"l{i}", self.state[i]))

    @property
    def results(self) -> Iterator[Array]:
        """What it writes step by step."""
        for n, leaf in enumerate(self.adjoint.outputs):
            yield array("results", n, leaf.dtype, leaf, members(f"d{n}", leaf))

    @property
    def last(self) -> Iterator[Array]:
        """The cotangents of the state before the first step, where there is one."""
        for n, i in enumerate(self.adjoint.live if self.adjoint.seeded else ()):
            yield array("carry", n, self.state[i].dtype, self.state[i], members(f"p{i}", self.state[i]))

    def late(self, weights: Array) -> Array:
        """Cotangents of results, where the first of them are those of the state before the first step."""
        leaf = self.adjoint.weights[weights.number]
        return attrs.evolve(weights, members=members(f"p{leaf}", self.state[leaf]))

    def _cotangent(self, leaf: int) -> tuple[str, ...]:
        """The members of the maps' state that hold the cotangents of a leaf."""
        lanes = [i for i in self.adjoint.live for _ in range(self.state[i].lanes)]
        first = len(self.maps.pattern)
        return tuple(name for n, i in enumerate(lanes) if i == leaf for name in state_members(self.kernel, first + n))

    # ------------------------------------------------------------------ text
    def operation(self, lanes: Sequence[int]) -> str:
        """The operator as a struct; ``lanes`` are those of the maps' state."""
        adjoint, element = self.adjoint, self.adjoint.program.elements
        state = [(f"s{lane}", self.kernel.dtypes[lane]) for lane in lanes]
        operands = [lane for i in adjoint.rights for lane in _lanes(f"r{i}", element[i])]
        operands += [lane for i in adjoint.lefts for lane in _lanes(f"l{i}", self.state[i])]
        held = adjoint.step.outputs[len(adjoint.live) :]  # halves are rounded when they are stored
        pulled = [lane for n, leaf in enumerate(held) for lane in _lanes(f"d{n}", leaf)]
        pulled += [lane for i in adjoint.live for lane in _lanes(f"p{i}", self.state[i])]
        captured = [lane for n, leaf in enumerate(adjoint.program.captures) for lane in _lanes(f"c{n}", leaf)]
        structs = {
            "state": state, "captures": [*captured, *self.number_lanes], "operands": operands, "pulled": pulled,
        }  # fmt: skip
        declarations = "\n".join(f"  struct {name} {{\n{declared(own)}\n  }};" for name, own in structs.items())
        types = [dtype for own in structs.values() for _, dtype in own]
        return f"""\
template <class V> struct adjoint_of {{
{emit.family_types(tuple(self.programs.values()), types)}
{declarations}
  INLINE state combine(state l, state r, captures k) {{
{_block(self._combine())}
  }}
  INLINE state moved(operands o, state x, captures k) {{
{_block(self._moved())}
  }}
  INLINE pulled step(operands o, state g, captures k) {{
{_block(self._step())}
  }}
  INLINE pulled start(state g) {{
{_block(self._start())}
  }}
}};
typedef adjoint_of<scalars> operation;
"""

    def _combine(self) -> Iterator[str]:
        names = [f"{side}.s{lane}" for side in "lr" for lane in range(len(self.kernel.dtypes))]
        lines, values = emit.statements(self.kernel.program(self.kernel.tree), names, "k.")
        yield from lines
        yield f"return {{{', '.join(values)}}};"

    def _moved(self) -> Iterator[str]:
        lines, values = emit.statements(self.maps.entries, self._operands(), "k.", "e")
        yield from lines
        places = [self.maps.pattern.index(pair) for pair in self.maps.pairs]
        yield from (f"x.s{place} = {value};" for place, value in zip(places, values, strict=True))
        yield "return x;"

    def _step(self) -> Iterator[str]:
        adjoint = self.adjoint
        cotangents = [f"g.{name}" for i in adjoint.live for name in self._cotangent(i)]
        lines, values = emit.statements(adjoint.step, [*self._operands(), *cotangents], "k.", "m")
        targets = [name for i in adjoint.live for name in members(f"p{i}", self.state[i])]
        targets += [name for n, leaf in enumerate(adjoint.outputs) for name in members(f"d{n}", leaf)]
        yield from (*lines, "pulled y;")
        yield from (f"y.{target} = {value};" for target, value in zip(targets, values, strict=True))
        yield "return y;"

    def _start(self) -> Iterator[str]:
        """Where no state comes before: the first element is the first state."""
        adjoint = self.adjoint
        yield "pulled y = pulled();"
        for n, i in enumerate(() if adjoint.seeded else adjoint.gradients):
            if i in adjoint.live:
                pairs = zip(members(f"d{n}", self.state[i]), self._cotangent(i), strict=True)
                yield from (f"y.{target} = g.{name};" for target, name in pairs)
        yield "return y;"

    def _operands(self) -> list[str]:
        """All lanes of the operands of a step, and of what it captures."""
        program = self.adjoint.program
        names = [f"o.{name}" for i, leaf in enumerate(program.outputs) for name in members(f"l{i}", leaf)]
        names += [f"o.{name}" for i, leaf in enumerate(program.elements) for name in members(f"r{i}", leaf)]
        return names + [f"k.{name}" for i, leaf in enumerate(program.captures) for name in members(f"c{i}", leaf)]


def _lanes(prefix: str, leaf: Leaf) -> list[Lane]:
    return [(name, leaf.dtype) for name in members(prefix, leaf)]


def _block(lines: Iterator[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)
