"""The kernels of a scan on a GPU."""

from __future__ import annotations

from functools import cached_property
from math import prod

import attrs

from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.fused import Fused, computed, padded
from monoscan.lowering.plan.geometry import Geometry, geometry
from monoscan.lowering.plan.gpu_acts import Computed, acted_products, in_order, products
from monoscan.lowering.plan.gpu_launches import GpuLaunch, launches, too_many_registers
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.render.gpu import unsupported as not_rendered
from monoscan.lowering.render.gpu_spec import Part
from monoscan.lowering.render.scan_spec import SIZES
from monoscan.lowering.render.spec import KernelSpec

LONGEST = (1 << 31) - (1 << 14)
"""The most steps of a row: kernels count them by 32 bits, up to a tile beyond the last one."""


@attrs.frozen
class GpuKernel:
    """The results of one shape, computed by one launch or several.

    Args:
        leaves: The leaves of the elements that they read, ascending.
        states: The leaves of the state that they hold, ascending; of a scan the same.
        emit: The leaves among all that they yield.
        spec: What is computed.
        scan: The same, for gradients.
        shape: The geometry.
        initial: Whether there is an ``init``.
        carry: Whether the last state is wanted.
        target: What the launches are for, ``metal`` or ``cuda``.
        bytes: What results, elements and captures take; those that are read twice count twice.
    """

    leaves: tuple[int, ...]
    states: tuple[int, ...]
    emit: tuple[int, ...]
    spec: KernelSpec
    scan: AlignedScan
    shape: Geometry
    initial: bool
    carry: bool
    target: str
    bytes: int

    @cached_property
    def launches(self) -> tuple[GpuLaunch, ...]:
        """The launches, in order."""
        return self.launches_for(self.target)

    def launches_for(self, target: str) -> tuple[GpuLaunch, ...]:
        """Those for another target."""
        return launches(self.spec, self.shape, initial=self.initial, carry=self.carry, target=target)

    @property
    def shown(self) -> tuple[int, ...]:
        """The leaves of which there are results."""
        return self.emit[: len(self.spec.results)]

    @property
    def real(self) -> tuple[int, ...]:
        """The leaves of the elements that they read without the imaginary parts: none."""
        return ()


def gpu_kernels(problem: Problem, target: str) -> tuple[GpuKernel, ...] | str:
    """The kernels of a scan on a GPU; or why there are none.

    Args:
        problem: What was asked.
        target: ``metal`` or ``cuda``.
    """
    if problem.options.shapeless:
        return "GPU kernels hold the sizes of a trace, and mx.compile(..., shapeless=True) has other sizes"
    if problem.acts is None:
        return _made(problem, _scans(problem), target)
    found = _made(problem, products(problem, problem.acts), target)
    if not isinstance(found, str):
        return found
    ordered = _made(problem, in_order(problem, problem.acts), target)
    if not isinstance(ordered, str):
        return ordered
    products_act = _made(problem, acted_products(problem, problem.acts), target)
    return f"{found}; {ordered}; {products_act}" if isinstance(products_act, str) else products_act


def _made(problem: Problem, found: tuple[Computed, ...] | str, target: str) -> tuple[GpuKernel, ...] | str:
    """The kernels of what is computed, if bodies hold all of it."""
    if isinstance(found, str):
        return found
    missing = [unfit(each.spec, problem.joint.length, target) for each in found]
    return next(filter(None, missing), None) or tuple(_kernel(problem, each, target) for each in found)


def unfit(kernel: KernelSpec, length: int, target: str) -> str | None:
    """Why no kernel computes this along an axis of some length, or ``None`` if one does."""
    if length > LONGEST:
        return f"{length:,} steps; a GPU kernel counts {LONGEST:,}"
    return too_many_registers(kernel) or not_rendered(kernel, target)


def _scans(problem: Problem) -> tuple[Computed, ...] | str:
    """The scans of a problem, likewise."""
    found = computed(problem, 16, [] if problem.program is None else [problem.program])
    return found if isinstance(found, str) else tuple(_scan(problem, each) for each in found)


def _scan(problem: Problem, part: Fused) -> Computed:
    layout = problem.layout
    leads = [padded(problem, leaf) for leaf in part.leaves]
    leads += [layout.aligned_batch(layout.init[leaf], 1) for leaf in part.leaves if layout.init is not None]
    leads.append(layout.aligned_shape(part.emit[0], layout.length)[: layout.rank + 1])
    return Computed(part.leaves, part.states, part.emit, part.straight, part.scan, tuple(leads), part.bytes)


def _kernel(problem: Problem, part: Computed, target: str) -> GpuKernel:
    layout, options = problem.joint, problem.options
    carry = options.return_carry or not options.results
    return kernel_of(part, layout.axis, layout.length, initial=layout.init is not None, carry=carry, target=target)


def kernel_of(part: Computed, axis: int, length: int, *, initial: bool, carry: bool, target: str) -> GpuKernel:
    """The kernel of what is computed along an axis of some length.

    Args:
        part: What is computed.
        axis: The scan axis.
        length: Its length.
        initial: Whether there is an ``init``, or a state.
        carry: Whether the last state is wanted.
        target: ``metal`` or ``cuda``.
    """
    made = GpuKernel(
        part.leaves,
        part.states,
        part.emit,
        part.spec,
        part.scan,
        geometry(part.leads, axis, length),
        initial=initial and (part.spec.around is None or part.spec.around.last is None),
        carry=carry,
        target=target,
        bytes=part.bytes,
    )
    read = sum(SIZES[dtype] * prod((*lead, *leaf.shape)) for dtype, lead, leaf in
               zip(part.spec.elements, part.leads, part.spec.inputs, strict=False))  # fmt: skip
    again = any(each.spec.part is Part.SEEDED for each in made.launches)
    return attrs.evolve(made, bytes=part.bytes + again * read)
