"""Runs the launches of a scan on aligned arrays, whatever compiles and starts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs
import mlx.core as mx
import numpy as np

from monoscan.lowering.plan import aligned
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.plan.geometry import Geometry, geometry
from monoscan.lowering.plan.gpu import GpuLaunch
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.program.numbers import table
from monoscan.lowering.render.gpu_spec import Array, GpuSpec, Part
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.strategies.slices import Leaves


@attrs.frozen
class Output:
    """An output of a launch: its shape and its dtype."""

    shape: Shape
    dtype: str


Start = Callable[[GpuSpec, Arrays, Sequence[Output], int], Leaves]
"""Starts a kernel: ``start(spec, arrays, outputs, groups)``; the sizes come first among the arrays."""


class Planned(Protocol):
    """Says how a scan is launched, as `launches` does."""

    def __call__(self, kernel: KernelSpec, shape: Geometry, *, initial: bool, carry: bool) -> Sequence[GpuLaunch]:
        """The launches, in order."""


def forward(
    start: Start, plan: Planned, kernel: KernelSpec, scan: AlignedScan, arrays: Arrays, axis: int, rank: int
) -> Leaves:
    """Results, then carries, of a scan.

    Args:
        start: What starts a kernel.
        plan: How it is launched.
        kernel: What is computed.
        scan: The same, as gradients see it.
        arrays: The arrays of the scan.
        axis: The scan axis.
        rank: The number of batch axes.
    """
    elements, captures, init = scan.unpack(arrays)
    run = _Run(start, plan, axis, rank, elements[0].shape[axis])
    given = {"elements": elements, "captures": captures, "init": init}
    found = run.all(kernel, given, scan.want_carry)
    results = found["results"] if scan.want_results else []
    carry = found["carry"] if scan.want_carry else []
    leads = aligned.leads_of(scan, arrays, axis, rank)
    own = [_cut(c, (*lead[:axis], *lead[axis + 1 :])) for c, lead in zip(carry, leads, strict=bool(carry))]
    return [*results, *own]


def _cut(carry: mx.array, lead: Shape) -> mx.array:
    """A carry of the shape of all leaves, where its own leaf is the same along some axes."""
    wide = [size == 1 < full for size, full in zip(lead, carry.shape, strict=False)]
    return carry[tuple(slice(0, 1) if each else slice(None) for each in wide)] if any(wide) else carry


@attrs.frozen
class _Run:
    """One scan that runs.

    Args:
        start: What starts a kernel.
        plan: How it is launched.
        axis: The scan axis.
        rank: The number of batch axes.
        length: The length of the scan axis.
    """

    start: Start
    plan: Planned
    axis: int
    rank: int
    length: int

    def all(self, kernel: KernelSpec, given: Mapping[str, Arrays], carry: bool) -> Mapping[str, Leaves]:
        """The outputs of all launches, by group."""
        arrays = [*given["elements"], *given["captures"], *given["init"]]
        full = aligned.full_lead(arrays, self.rank)
        leads = [tuple(x.shape[: self.rank]) for x in arrays]
        shape = geometry([*leads, full], self.axis, self.length)
        planned = self.plan(kernel, shape, initial=bool(given["init"]), carry=carry)
        found: dict[str, Leaves] = {}
        seeds: Leaves = []
        for launch in planned:
            if launch.spec.part is Part.WHOLE and found:  # of the totals
                own = {**given, "elements": found["totals"]}
                found |= self.one(launch, own, full)
                seeds = found.get("results", [])
            else:
                found |= self.one(launch, {**given, "seeds": seeds}, full)
        return found

    def one(self, launch: GpuLaunch, given: Mapping[str, Arrays], full: Shape) -> dict[str, Leaves]:
        """The outputs of one launch, by group."""
        spec = launch.spec
        inputs = [given[array.group][array.number] for array in spec.inputs]
        length = given["elements"][0].shape[self.axis]
        outputs = [self._lead(full, self._length(array, launch, length)) for array in spec.outputs]
        leads = [tuple(x.shape[: self.rank]) for x in inputs] + outputs
        shape = geometry(leads, self.axis, length)
        made = self.start(
            spec,
            [sizes(launch, shape), *inputs],
            [Output(self._shape(a, lead), a.dtype) for a, lead in zip(spec.outputs, outputs, strict=True)],
            launch.groups,
        )
        found: dict[str, Leaves] = {}
        for array, y in zip(spec.outputs, made, strict=True):
            found.setdefault(array.group, []).append(y)
        return found

    def _lead(self, full: Shape, length: int) -> Shape:
        return (*full[: self.axis], length, *full[self.axis + 1 :])

    def _length(self, array: Array, launch: GpuLaunch, length: int) -> int:
        return {"results": length, "totals": launch.chunks, "published": launch.chunks, "carry": 1}[array.group]

    def _shape(self, array: Array, lead: Shape) -> Shape:
        kept = (*lead[: self.axis], *lead[self.axis + 1 :]) if array.group == "carry" else lead
        return (*kept, *array.event)


def sizes(launch: GpuLaunch, shape: Geometry) -> mx.array:
    """What a kernel reads first, in the order of ``memory.h``."""
    own = [shape.length, shape.inner, shape.rows, launch.chunks, launch.tiles, launch.groups]
    program = launch.spec.kernel.program(launch.spec.kernel.tree)
    numbers = np.frombuffer(table(program), np.int64)
    return mx.array(np.array([*own, *shape.outer, *(s for each in shape.strides for s in each), *numbers]))


WIDEST = 1 << 16
"""The most groups along the first axis of a grid; threads are counted by 32 bits there."""


def grid(groups: int) -> tuple[int, int]:
    """How groups are laid out, in two axes; a few more may start than there is work for."""
    down = -(-groups // WIDEST)
    return -(-groups // down), down
