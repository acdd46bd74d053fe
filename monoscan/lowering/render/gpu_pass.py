"""An aggregator around the scan of its elements: the text of its functions, and its arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.render import emit
from monoscan.lowering.render.around import Around
from monoscan.lowering.render.gpu_arrays import Array, array, captures, given, members, state_members
from monoscan.lowering.render.gpu_functions import Functions, Lane
from monoscan.lowering.render.operator import identity_function
from monoscan.lowering.render.operator import members as declared
from monoscan.lowering.render.spec import KernelSpec


@attrs.frozen
class Passed(Functions):
    """What a kernel computes around a scan: elements from inputs as they are loaded, and outputs from states.

    Args:
        kernel: The scan. What it captures are fixed inputs and captured arrays.
        around: Its `Around`.
    """

    kernel: KernelSpec
    around: Around

    @property
    def header(self) -> str:
        """The header that loads and stores."""
        return "pass"

    @property
    def facts(self) -> dict[str, bool]:
        """What the header is told beside what all are."""
        return {}

    @property
    def programs(self) -> dict[str, Program]:
        """All that runs, by the letter of its numbers."""
        own = dict(zip("em", self.around.programs, strict=False))
        return {"n": self.kernel.program(self.kernel.tree), **own}

    # ------------------------------------------------------------------ arrays
    @property
    def prepared(self) -> frozenset[int]:
        """The inputs that elements are made of."""
        return frozenset[int]().union(*(right for _, right in self.around.prepare.reads))

    @property
    def presented(self) -> frozenset[int]:
        """The inputs that are read for outputs."""
        present = self.around.present
        return frozenset[int]().union(*(right for _, right in present.reads) if present else ())

    @property
    def inputs(self) -> Iterator[Array]:
        """What it reads, but for states."""
        for n in self.around.read:
            yield array("elements", n, self.kernel.elements[n], self._input(n), members(f"x{n}", self._input(n)))
        yield from captures(self.kernel)

    @property
    def results(self) -> Iterator[Array]:
        """What it writes step by step."""
        for n, (leaf, dtype) in enumerate(zip(self.around.outputs, self.kernel.results, strict=False)):
            yield array("results", n, dtype, leaf, members(f"y{n}", leaf))

    @property
    def last(self) -> Iterator[Array]:
        """The last states."""
        return given(self.kernel, "carry")

    def _input(self, n: int) -> Leaf:
        return self.kernel.inputs[n]

    # ------------------------------------------------------------------ text
    def operation(self, lanes: Sequence[int]) -> str:
        """The operator as a struct; ``lanes`` are those of the scan's state."""
        state = [(f"s{lane}", self.kernel.dtypes[lane]) for lane in lanes]
        operands = [lane for n in self.around.read for lane in _lanes(f"x{n}", self._input(n))]
        shown = [lane for n, leaf in enumerate(self.around.outputs) for lane in _lanes(f"y{n}", leaf)]
        captured = [lane for n, leaf in enumerate(self.kernel.combine.captures) for lane in _lanes(f"c{n}", leaf)]
        structs = {"state": state, "captures": [*captured, *self.number_lanes], "operands": operands}
        structs |= {"presented": shown} if shown else {}
        declarations = "\n".join(f"  struct {name} {{\n{declared(own)}\n  }};" for name, own in structs.items())
        types = [dtype for own in structs.values() for _, dtype in own]
        text = f"""\
template <class V> struct pass_of {{
{emit.family_types(tuple(self.programs.values()), types)}
{declarations}
{self._function("state combine(state l, state r, captures k)", "n", self._both())}\
{self._function("state prepare(operands o, captures k)", "e", self._given())}"""
        if shown:
            text += self._function("presented present(state s, operands o, captures k)", "m", self._shown())
        return f"{text}{identity_function(self.kernel, lanes)}}};\ntypedef pass_of<scalars> operation;\n"

    def _function(self, signature: str, letter: str, operands: Sequence[str]) -> str:
        lines, values = emit.statements(self.programs[letter], operands, "k.", letter)
        body = "\n".join(f"    {line}" for line in (*lines, f"return {{{', '.join(values)}}};"))
        return f"  INLINE {signature} {{\n{body}\n  }}\n"

    def _both(self) -> list[str]:
        return [f"{side}.s{lane}" for side in "lr" for lane in range(len(self.kernel.dtypes))] + self._captured()

    def _given(self) -> list[str]:
        own = [f"o.{name}" for n, leaf in enumerate(self.kernel.inputs) for name in members(f"x{n}", leaf)]
        return own + self._captured()

    def _shown(self) -> list[str]:
        states = [f"s.{name}" for leaf in self.kernel.given for name in state_members(self.kernel, leaf)]
        return states + self._given()

    def _captured(self) -> list[str]:
        return [f"k.{name}" for n, leaf in enumerate(self.kernel.combine.captures) for name in members(f"c{n}", leaf)]


def _lanes(prefix: str, leaf: Leaf) -> list[Lane]:
    return [(name, leaf.dtype) for name in members(prefix, leaf)]
