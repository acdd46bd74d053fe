"""Runs the launches of a scan on aligned arrays, whatever compiles and starts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import attrs
import mlx.core as mx
import numpy as np

from monoscan import dtypes
from monoscan.lowering.plan import aligned
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.plan.geometry import Geometry, geometry
from monoscan.lowering.plan.gpu_launches import GpuLaunch
from monoscan.lowering.plan.on_arrays import capture_lanes as lanes_of
from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.ir import Program, Shape
from monoscan.lowering.render.gpu_adjoint import Pulled
from monoscan.lowering.render.gpu_arrays import Array
from monoscan.lowering.render.gpu_spec import GpuSpec, Part
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.strategies.combine import join_lanes
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.gpu.hidden import hidden


@attrs.frozen
class Output:
    """An output of a launch: its shape and its dtype."""

    shape: Shape
    dtype: str


Group = dict[int, mx.array]
"""The arrays of a group, by `Array.number`."""

Start = Callable[[GpuSpec, Arrays, Sequence[Output], int], Leaves]
"""Starts a kernel: ``start(spec, arrays, outputs, groups)``; the sizes come first among the arrays."""


class Planned(Protocol):
    """Says how a scan is launched, as `launches` does."""

    def __call__(
        self, kernel: KernelSpec, shape: Geometry, *, initial: bool, carry: bool, pulled: Pulled | None = None
    ) -> Sequence[GpuLaunch]:
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
    run = _Run(start, plan, axis, rank, aligned.full_lead(arrays, rank)[axis])
    if kernel.around is not None and kernel.around.last is not None:
        return _acted(start, plan, kernel, kernel.around.last, scan, arrays, axis, rank)
    first = 0 if kernel.around is None else len(kernel.around.outputs)  # which are no states
    found = run.all(kernel, {"elements": elements, "captures": captures, "init": init[first:]}, scan.want_carry)
    carry = {first + n: y for n, y in found.get("carry", {}).items()}
    results = [*found["results"].values()] if scan.want_results else []
    return [*results, *(_carries(scan, arrays, carry, axis, rank) if scan.want_carry else [])]


def _acted(
    start: Start, plan: Planned, kernel: KernelSpec, program: Program, scan: AlignedScan, arrays: Arrays, axis: int,
    rank: int,
) -> Leaves:  # fmt: skip
    """The same of products that make states, by a program; the first state, if it is given, is captured."""
    elements, captures, init = scan.unpack(arrays)
    run = _Run(start, plan, axis, rank, aligned.full_lead(arrays, rank)[axis])
    first = init[scan.outputs :]  # without outputs, which are no states
    given = {"elements": elements, "captures": [*captures, *first], "init": []}
    found = run.all(kernel, given, scan.want_carry)
    results = [*found["results"].values()] if scan.want_results else []
    if not scan.want_carry:
        return results
    none = mx.zeros((1,) * (rank - 1))
    total = [
        lane
        for n, leaf in enumerate(kernel.state)
        for lane in (lanes_of([found["carry"][n]], rank - 1) if n in found["carry"] else [none] * leaf.lanes)
    ]
    lanes = evaluate(program, [*total, *lanes_of([x.squeeze(axis) for x in given["captures"]], rank - 1)], ARRAYS)
    shape = mx.broadcast_shapes(*(lane.shape for lane in lanes), ())
    last = join_lanes([mx.broadcast_to(lane, shape) for lane in lanes], [leaf.shape for leaf in program.outputs])
    known = dict(zip((i for i in scan.emit if i >= scan.outputs), last, strict=True))
    return [*results, *_carries(scan, arrays, known, axis, rank)]


def _carries(scan: AlignedScan, arrays: Arrays, known: Group, axis: int, rank: int) -> Iterator[mx.array]:
    """The carries of all leaves; those that take no part are zeros, which nobody reads."""
    for leaf, lead in enumerate(aligned.leads_of(scan, arrays, axis, rank)):
        own, state = (*lead[:axis], *lead[axis + 1 :]), scan.state[leaf]
        yield _cut(known[leaf], own) if leaf in known else mx.zeros((*own, *state.shape), dtypes.by_name(state.dtype))


def backward(start: Start, plan: Planned, pulled: Pulled, arrays: Arrays, axis: int, rank: int) -> Leaves:
    """What an `Adjoint` yields.

    Args:
        start: What starts a kernel.
        plan: How it is launched.
        pulled: The adjoint.
        arrays: Its arrays; ends and ``init`` have the dtypes of states.
        axis: The scan axis.
        rank: The number of batch axes.
    """
    given = attrs.asdict(pulled.adjoint.unpack(arrays), recurse=False)
    run = _Run(start, plan, axis, rank, aligned.full_lead(arrays, rank)[axis])
    found = run.all(pulled.kernel, given, pulled.adjoint.seeded, pulled)
    return [y for group in ("results", "carry") for y in found.get(group, {}).values()]


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

    def all(
        self, kernel: KernelSpec, arrays: Mapping[str, Arrays], carry: bool, pulled: Pulled | None = None
    ) -> Mapping[str, Group]:
        """The outputs of all launches."""
        given = {name: dict(enumerate(group)) for name, group in arrays.items()}
        flat = [x for group in arrays.values() for x in group]
        leads = [*(tuple(x.shape[: self.rank]) for x in flat), aligned.full_lead(flat, self.rank)]
        shape = geometry(leads, self.axis, self.length)
        initial = pulled is None and bool(given["init"])
        found: dict[str, Group] = {}
        for launch in self.plan(kernel, shape, initial=initial, carry=carry, pulled=pulled):
            if launch.spec.part is Part.WHOLE and found:  # of the totals
                found |= self.one(launch, {**given, "elements": found["totals"]}, leads)
                given["seeds"] = dict(zip(kernel.tree, found.get("results", {}).values(), strict=False))
            else:
                found |= self.one(launch, given, leads)
        return found

    def one(self, launch: GpuLaunch, given: Mapping[str, Group], leads: Sequence[Shape]) -> dict[str, Group]:
        """The outputs of one launch, whose axes merge as those of all arrays of the scan: ``leads``, the full one last."""
        spec, length = launch.spec, launch.length
        inputs = [given[array.group][array.number] for array in spec.inputs]
        outputs = [self._lead(leads[-1], self._length(array, launch)) for array in spec.outputs]
        own = [tuple(x.shape[: self.rank]) for x in inputs] + outputs
        shape = geometry([*own, *leads], self.axis, length)
        made = self.start(
            spec,
            [sizes(launch, attrs.evolve(shape, strides=shape.strides[: len(own)])), *inputs],
            [Output(self._shape(a, lead), a.dtype) for a, lead in zip(spec.outputs, outputs, strict=True)],
            launch.groups,
        )
        found: dict[str, Group] = {}
        for array, y in zip(spec.outputs, made, strict=True):
            found.setdefault(array.group, {})[array.number] = y
        return found

    def _lead(self, full: Shape, length: int) -> Shape:
        return (*full[: self.axis], length, *full[self.axis + 1 :])

    def _length(self, array: Array, launch: GpuLaunch) -> int:
        return {"results": launch.length, "totals": launch.chunks, "published": launch.chunks, "carry": 1}[array.group]

    def _shape(self, array: Array, lead: Shape) -> Shape:
        kept = (*lead[: self.axis], *lead[self.axis + 1 :]) if array.group == "carry" else lead
        return (*kept, *array.event)


def sizes(launch: GpuLaunch, shape: Geometry) -> mx.array:
    """What a kernel reads first, in the order of ``memory.h``."""
    own = [shape.length, shape.inner, shape.rows, launch.chunks, launch.tiles, launch.groups]
    numbers = np.frombuffer(launch.spec.numbers, np.int64)
    return mx.array(np.array([*own, *shape.outer, *(s for each in shape.strides for s in each), *numbers]))


WIDEST = 1 << 16
"""The most groups along the first axis of a grid; threads are counted by 32 bits there."""


def grid(groups: int) -> tuple[int, int]:
    """How groups are laid out, in two axes; a few more may start than there is work for."""
    down = -(-groups // WIDEST)
    return -(-groups // down), down


def start_text(
    kernel: Callable[..., Leaves], inputs: Arrays, outputs: Sequence[Output], threads: int, groups: int
) -> Leaves:
    """Starts a kernel that MLX makes of text, as ``mx.fast.metal_kernel`` and ``mx.fast.cuda_kernel`` return it."""
    across, down = grid(groups)
    made = kernel(
        inputs=list(inputs),
        output_shapes=[output.shape for output in outputs],
        output_dtypes=[dtypes.by_name(output.dtype) for output in outputs],
        grid=(across * threads, down, 1),
        threadgroup=(threads, 1, 1),
        stream=mx.gpu,
    )
    return hidden(made, inputs)
