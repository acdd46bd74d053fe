"""What a scan would launch on an NVIDIA GPU, recorded on any machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np
from attrs import define, field, frozen

import monoscan as ms
from benchmarks.gpu.carried.package import Buffer
from monoscan import dtypes, tree
from monoscan.lowering.gradient import transforms
from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.gradient.ran import Ran
from monoscan.lowering.plan import on_arrays
from monoscan.lowering.plan.gpu import GpuKernel
from monoscan.lowering.plan.gpu_launches import launches
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.render.gpu_spec import Body, GpuSpec
from monoscan.lowering.targets.gpu.derivatives import Derivatives
from monoscan.lowering.targets.gpu.launch import Output, Planned, backward, forward, grid
from monoscan.lowering.targets.graph import aligned_arrays
from monoscan.lowering.targets.kernels import arrays_of
from monoscan.lowering.trace.reads.captures import Captures, capture

FOR_CUDA: Planned = partial(launches, target="cuda")


@frozen
class Recorded:
    """A launch.

    Args:
        spec: The kernel.
        grid: The groups along two axes.
        arguments: The numbers of the buffers.
    """

    spec: GpuSpec
    grid: tuple[int, int]
    arguments: tuple[int, ...]


@frozen
class Found:
    """What was recorded of a scan.

    Args:
        buffers: The memory.
        held: The arrays of inputs and sizes, by buffer.
        launches: The launches, in order.
        outputs: For each result, then for each carry, its buffer.
        in_order: Whether elements are combined from first to last, so that bits are those of the CPU.
    """

    buffers: list[Buffer]
    held: list[mx.array | None]
    launches: list[Recorded]
    outputs: list[int]
    in_order: bool


@define
class Recorder:
    """Starts nothing, and notes what it was to start; a ``Start``.

    Args:
        buffers: The memory, as it is met.
        launches: The launches, in order.
        held: For each buffer its array: what it starts with, or what stands for it.
    """

    buffers: list[Buffer] = field(factory=list)
    launches: list[Recorded] = field(factory=list)
    held: list[mx.array | None] = field(factory=list)

    def __call__(
        self, spec: GpuSpec, arrays: Sequence[mx.array], outputs: Sequence[Output], groups: int
    ) -> list[mx.array]:
        given = [self._new("sizes", arrays[0]), *(self.number(x) for x in arrays[1:])]
        if spec.body is Body.LOOK_BACK:
            self.buffers.append(Buffer("flags", [groups + 1], "uint32"))
            self.held.append(None)
            given.insert(1, len(self.buffers) - 1)
        made = [mx.zeros(y.shape, dtypes.by_name(y.dtype)) for y in outputs]
        given += [self._new("scratch", x) for x in made]
        self.launches.append(Recorded(spec, grid(groups), tuple(given)))
        return made

    def number(self, x: mx.array) -> int:
        """The number of an array's buffer; a new one is an input."""
        found = next((number for number, other in enumerate(self.held) if other is x), None)
        return self._new("input", x) if found is None else found

    def found(self, outputs: list[int], length: int) -> Found:
        """All of it.

        Args:
            outputs: The buffers that are looked at.
            length: The length of the scan axis.
        """
        for number in outputs:
            self.buffers[number] = Buffer("output", self.buffers[number].shape, self.buffers[number].dtype)
        whole = all(x.spec.run >= length or x.spec.body is Body.SEQUENTIAL for x in self.launches)
        return Found(self.buffers, self.held, self.launches, outputs, whole)

    def _new(self, role: str, x: mx.array) -> int:
        self.buffers.append(Buffer(role, list(x.shape), dtypes.name_of(x.dtype)))
        self.held.append(x)
        return len(self.buffers) - 1


def record(operator: ms.Semigroup, elems: Any, axis: int, how: Planned = FOR_CUDA, **options: Any) -> Found:
    """Records a scan by kernels for CUDA.

    Args:
        operator: The operator.
        elems: The elements; those that nobody looks at are not evaluated.
        axis: The scan axis.
        how: How it is launched.
        options: As for ``explain``.
    """
    plan = ms.explain(operator, elems, axis, stream=mx.gpu, **{"strategy": "kernel", **options})
    given = options.get("init", options.get("state"))
    init = None if given is None else tree.flatten(given)[0]
    recorder = Recorder()
    results, carries = _record(recorder, how, plan, capture(operator), tree.flatten(elems)[0], init)
    return recorder.found([recorder.number(x) for x in (*results, *carries)], plan.problem.layout.length)


def record_gradient(operator: ms.Semigroup, elems: Any, axis: int) -> tuple[Found, list[mx.array]]:
    """Records the adjoint of a scan, and what it yields by array operations.

    Args:
        operator: The operator.
        elems: The elements.
        axis: The scan axis.
    """
    plan = ms.explain(operator, elems, axis, strategy="kernel", stream=mx.gpu)
    (kernel,), recorder = plan.kernels, Recorder()
    assert isinstance(kernel, GpuKernel)
    made: list[mx.array] = []
    expected: list[mx.array] = []
    ways = Derivatives(recorder, FOR_CUDA, "cuda")

    def pull(adjoint: Adjoint, arrays: Sequence[mx.array], axis: int, rank: int) -> list[mx.array]:
        found = ways.adjoint(adjoint, arrays)
        assert not isinstance(found, str), found
        made.extend(backward(recorder, FOR_CUDA, *found, axis, rank))
        expected.extend(transforms.by_operations(adjoint, arrays, axis, rank))
        return expected

    arrays = aligned_arrays(plan.problem, tree.flatten(elems)[0], capture(operator), None)
    at = plan.problem.layout.axis, plan.problem.layout.rank + 1
    outputs = on_arrays.run(kernel.scan, arrays, *at)
    random = np.random.default_rng(1)
    cotangents = [mx.array(random.uniform(-1, 1, y.shape).astype(np.float32)).astype(y.dtype) for y in outputs]
    transforms.vjp(Ran(kernel.scan, arrays, outputs, *at), cotangents, pull)
    return recorder.found([recorder.number(x) for x in made], plan.problem.layout.length), expected


def _record(
    recorder: Recorder,
    how: Planned,
    plan: Plan,
    captures: Captures,
    leaves: Sequence[mx.array],
    init: Sequence[mx.array] | None,
) -> tuple[list[mx.array], list[mx.array]]:
    """The results and the carries of a plan, of parts one after another."""
    results: list[mx.array] = []
    carries: list[mx.array] = []
    start = 0
    for part, operator in zip(plan.parts, captures.root.parts if plan.parts else (), strict=True):
        stop = start + tree.count(part.problem.structure)
        own = None if init is None else init[start:stop]
        found = _record(recorder, how, part, capture(operator), leaves[start:stop], own)
        results += found[0]
        carries += found[1]
        start = stop
    if plan.parts:
        return results, carries
    return _of_kernels(recorder, how, plan, aligned_arrays(plan.problem, leaves, captures, init))


def _of_kernels(
    recorder: Recorder, how: Planned, plan: Plan, arrays: list[mx.array]
) -> tuple[list[mx.array], list[mx.array]]:
    layout = plan.problem.layout
    results: dict[int, mx.array] = {}
    carries: dict[int, mx.array] = {}
    for kernel in plan.kernels:
        assert isinstance(kernel, GpuKernel)
        given = [arrays[i] for i in arrays_of(plan.problem, kernel)]
        made = forward(recorder, how, kernel.spec, kernel.scan, given, layout.axis, layout.rank + 1)
        results |= zip(kernel.shown, made, strict=False)
        ends = zip(kernel.states, made[len(kernel.shown) :], strict=False)
        carries |= {leaf: end for leaf, end in ends if leaf in kernel.emit}
    return [results[leaf] for leaf in sorted(results)], [carries[leaf] for leaf in sorted(carries)]


def as_numpy(x: mx.array) -> np.ndarray:
    """An array as it lies in memory; bfloat16 as bits."""
    return np.array(x.view(mx.uint16) if x.dtype == mx.bfloat16 else x)
