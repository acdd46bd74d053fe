"""What a kernel of the adjoint is made from."""

from __future__ import annotations

from functools import cached_property

import attrs

from monoscan.dtypes import HALF
from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.render import emit
from monoscan.lowering.render.spec import vector_lanes


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
    """

    adjoint: Adjoint
    states: tuple[str, ...]
    weights: tuple[str, ...]
    captures: tuple[str, ...]
    vector_bytes: int
    flush: bool = True

    @property
    def flushes(self) -> bool:
        """Whether subnormal results may become zero."""
        return self.flush and "float64" not in self.adjoint.step.dtypes

    @cached_property
    def width(self) -> int:
        """Lanes of a vector."""
        step = self.adjoint.step
        used = {step.dtypes[a] for instr in step.code for a in instr.args} | {instr.dtype for instr in step.code}
        used |= {leaf.dtype for leaf in step.outputs}
        return vector_lanes(used, self.vector_bytes) if self.vector_bytes else 1


def can_render(spec: BackwardSpec) -> bool:
    """Whether there is code for all that it computes and holds."""
    names = (*spec.states, *spec.weights, *spec.captures, *spec.adjoint.stored)
    return emit.missing(spec.adjoint.step) is None and not set(names) - {*emit.TYPES, *HALF}
