"""What a kernel of the adjoint is made from."""

from __future__ import annotations

from functools import cached_property

import attrs

from monoscan.dtypes import HALF
from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.program.ir import Program
from monoscan.lowering.render import emit
from monoscan.lowering.render.scan_spec import Loop, vector_lanes


@attrs.frozen
class BackwardSpec:
    """One backward kernel.

    Args:
        adjoint: What it computes.
        states: The storage dtype of each of the adjoint's `lefts`.
        weights: The storage dtype of each of its `weights`.
        captures: The storage dtype of each captured array.
        vector_bytes: The width of the machine's registers; 0 writes scalar code.
        flush: As of a `KernelSpec`.
        loop: What vectors hold of wide elements, `Loop.EVENTS` or `Loop.BATCH`.
    """

    adjoint: Adjoint
    states: tuple[str, ...]
    weights: tuple[str, ...]
    captures: tuple[str, ...]
    vector_bytes: int
    flush: bool = True
    loop: Loop = Loop.EVENTS

    @property
    def programs(self) -> tuple[Program, ...]:
        """What runs: the step, and what starts, where there is a program of that."""
        start = self.adjoint.start
        return (self.adjoint.step,) if start is None else (self.adjoint.step, start)

    @property
    def flushes(self) -> bool:
        """Whether subnormal results may become zero."""
        return self.flush and all("float64" not in program.dtypes for program in self.programs)

    @cached_property
    def width(self) -> int:
        """Lanes of a vector."""
        used = {leaf.dtype for leaf in self.adjoint.step.outputs}
        for program in self.programs:
            used |= {program.dtypes[a] for instr in program.code for a in instr.args}
            used |= {instr.dtype for instr in program.code}
        return vector_lanes(used, self.vector_bytes) if self.vector_bytes else 1


def can_render(spec: BackwardSpec) -> bool:
    """Whether there is code for all that it computes and holds."""
    names = (*spec.states, *spec.weights, *spec.captures, *spec.adjoint.stored)
    return not any(map(emit.missing, spec.programs)) and not set(names) - {*emit.TYPES, *HALF}
