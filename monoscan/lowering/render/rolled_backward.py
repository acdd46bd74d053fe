"""A backward kernel of wide elements: the step of the adjoint as loops over arrays of lanes, and the lists of leaves."""

from __future__ import annotations

from collections.abc import Iterator

from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.render.backward_spec import BackwardSpec
from monoscan.lowering.render.loops import Loops
from monoscan.lowering.render.places import own_place
from monoscan.lowering.render.rolled import events, text_of
from monoscan.lowering.render.rolled_estimates import nanoseconds_of_step
from monoscan.lowering.render.rolled_spec import vectors_of


def render_rolled_backward(spec: BackwardSpec) -> str:
    """What of a backward kernel depends on its operator."""
    return _RolledBackward(spec).text()


class _RolledBackward:
    """Writes one kernel.

    Args:
        spec: The kernel.
    """

    def __init__(self, spec: BackwardSpec) -> None:
        self.spec, self.adjoint, self.step = spec, spec.adjoint, spec.adjoint.array_step
        self.vectors = vectors_of(self.step, spec.loop, spec.vector_bytes)
        self.loops = Loops(self.step, self.vectors, len(spec.adjoint.program.captures))
        self.memory = self.loops.memory

    def text(self) -> str:
        """All of it, in order."""
        adjoint, spec, state = self.adjoint, self.spec, self.adjoint.program.outputs
        arity, captured = adjoint.program.arity, len(adjoint.program.captures)
        held = arity + adjoint.program.rights
        cotangents = {leaf: held + captured + n for n, leaf in enumerate(adjoint.live)}
        gradients = [self._array(leaf.shape, state_dtype) for leaf, state_dtype in self._held()]
        totals = [self._array(leaf.shape, leaf.dtype) for leaf in adjoint.totals]
        behind = len(adjoint.live) if adjoint.seeded else 0
        first = [] if adjoint.seeded else [cotangents.get(leaf, -1) for leaf in adjoint.gradients]
        zeros = [self._array(leaf.shape, dtype) if value < 0 else value
                 for value, (leaf, dtype) in zip(first, self._held(), strict=False)]  # fmt: skip
        rights, lefts = len(adjoint.rights), len(adjoint.rights) + len(adjoint.lefts)
        arrays = lefts + len(adjoint.weights)
        outputs = [(n, leaf.dtype) for n, leaf in enumerate(adjoint.outputs)]
        lists = {
            "rights": [(n, adjoint.stored[i], arity + i) for n, i in enumerate(adjoint.rights)],
            "lefts": [(rights + n, spec.states[n], i) for n, i in enumerate(adjoint.lefts)],
            "weights": [(lefts + n, spec.weights[n], cotangents[i]) for n, i in enumerate(adjoint.weights)],
            "captured_arrays": [(arrays + n, name, held + n) for n, name in enumerate(spec.captures)],
            "ends": [(n, state[i].dtype, cotangents[i]) for n, i in enumerate(adjoint.live)],
            "states_before": [
                (len(adjoint.live) + n, state[i].dtype, i) for n, i in enumerate(adjoint.lefts) if adjoint.seeded
            ],
            "out": [(*output, value) for output, value in zip(outputs, gradients, strict=True)],
            "copied": [(*output, value) for output, value in zip(outputs, zeros, strict=False)],
            "totals": [
                (behind + n, leaf.dtype, value)
                for n, (leaf, value) in enumerate(zip(adjoint.totals, totals, strict=True))
            ],
        }
        named = {name: events(self.memory, leaves) for name, leaves in lists.items()}
        operation = self.loops.text([*cotangents.values(), *gradients, *totals], "", sums=totals)  # counts the memory
        return text_of(
            [self.step],
            self.vectors,
            operation,
            self._facts(arrays + captured),
            named,
            "event_adjoint.h",
            self.spec.flush,
        )

    def _held(self) -> list[tuple[Leaf, str]]:
        """The gradients, and the dtypes in which they are computed."""
        live = len(self.adjoint.live)
        given = self.step.outputs[live : live + len(self.adjoint.gradients)]
        return [(leaf, held.dtype) for leaf, held in zip(self.adjoint.outputs, given, strict=True)]

    def _array(self, shape: tuple[int, ...], dtype: str) -> int:
        """One more array, zero until it is written."""
        return self.memory.add(own_place(Leaf(dtype, shape), self.vectors))

    def _facts(self, inputs: int) -> Iterator[tuple[str, object]]:
        adjoint, live = self.adjoint, len(self.adjoint.live)
        yield from (("reverse", adjoint.reverse), ("inclusive", adjoint.inclusive), ("seeded", adjoint.seeded))
        yield from (("shifted", adjoint.shifted), ("inputs", inputs), ("outputs", len(adjoint.outputs)))
        yield from (("inits", live + len(adjoint.lefts) * adjoint.seeded), ("carries", len(adjoint.last)))
        yield from (("memory_bytes", self.memory.bytes),)
        yield "nanoseconds", float(f"{nanoseconds_of_step(self.step, self.vectors):.3g}")
