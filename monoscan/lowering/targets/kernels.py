"""Runs the kernels of a scan, on any device: each on its leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.slices import spread
from monoscan.lowering.targets.graph import aligned_arrays, aligned_behind, restored, restored_carry
from monoscan.lowering.trace.reads.captures import Captures

Results = list[mx.array | None]


class Kernel(Protocol):
    """The results of one shape."""

    @property
    def leaves(self) -> tuple[int, ...]:
        """The leaves of the elements that it reads, ascending."""

    @property
    def real(self) -> tuple[int, ...]:
        """The leaves of the elements that it reads without the imaginary parts, which are zero."""

    @property
    def states(self) -> tuple[int, ...]:
        """The leaves of the state that it holds, ascending."""

    @property
    def emit(self) -> tuple[int, ...]:
        """The leaves of the state that it yields."""

    @property
    def shown(self) -> tuple[int, ...]:
        """Those of which there are results."""


@attrs.frozen(eq=False)
class Arranged:
    """The compiled kernels of a scan, with what each of them takes and yields. It holds no arrays.

    Args:
        problem: What was asked.
        launches: For each kernel the arrays that it takes, and what runs it on them.
    """

    problem: Problem
    launches: Sequence[tuple[Kernel, tuple[int, ...], Callable[[Sequence[mx.array]], Sequence[mx.array]]]]

    @cached_property
    def plain(self) -> bool:
        """The caller's leaves, and the launches' results, are taken as they stand."""
        return as_they_stand(self.problem)

    @cached_property
    def real(self) -> frozenset[int]:
        """The leaves of the elements that kernels read without their imaginary parts."""
        return frozenset[int]().union(*(kernel.real for kernel, *_ in self.launches))

    @cached_property
    def timeless(self) -> tuple[bool, ...]:
        """For each kernel, whether all elements that it reads are the same at every step; one of them counts the steps."""
        return tuple(set(k.leaves) <= set(self.problem.options.fixed) for k, *_ in self.launches)

    @cached_property
    def counting(self) -> tuple[bool, ...]:
        """For each kernel, whether an element is there to say how many steps there are and no more."""
        acts = self.problem.acts
        return tuple(acts is not None and not any(acts.reads(i)[0] for i in k.emit) for k, *_ in self.launches)

    def run(
        self, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None, *bounds: mx.array
    ) -> tuple[Results, Results]:
        """The result leaves and the carry leaves, as the caller sees them; ``None`` for those not wanted."""
        problem = self.problem
        behind = _aligned_bounds(problem, bounds)
        if self.plain:
            arrays = [*leaves, *aligned_behind(problem, captures, init)]
        else:
            arrays = aligned_arrays(problem, leaves, captures, init, self.real)
        results: Results = [None] * len(problem.rounded)
        carry: Results = [None] * len(problem.carried)
        for (kernel, chosen, launch), counting, timeless in zip(
            self.launches, self.counting, self.timeless, strict=True
        ):
            first, *others = [arrays[i] for i in chosen]
            first = spread(arrays[: len(leaves)], problem.joint.axis)[chosen[0]] if timeless else first
            outputs = launch([_one_column(problem, first) if counting else first, *others, *behind])
            for leaf, y in zip(kernel.shown, outputs, strict=False):
                results[leaf] = y if self.plain else restored(problem, y, leaf)
            outputs = outputs[len(kernel.shown) :]
            for leaf, c in zip(kernel.states, outputs, strict=False):
                if leaf in kernel.emit:
                    carry[leaf] = c if self.plain else restored_carry(problem, c, leaf)
        return results, carry


def _one_column(problem: Problem, x: mx.array) -> mx.array:
    """As many steps and one batch, of a leaf that nothing reads."""
    batch = [i for i in range(problem.joint.rank + 1) if i != problem.joint.axis]
    return mx.any(x, batch, keepdims=True).astype(x.dtype) if batch else x


def _aligned_bounds(problem: Problem, bounds: Sequence[mx.array]) -> list[mx.array]:
    """Lengths, which are aligned, and offsets along the scan axis."""
    if problem.sequences is None:
        return list(bounds)
    shape = [1] * (problem.joint.rank + 1)
    shape[problem.joint.axis] = -1
    return [*bounds[:-1], bounds[-1].reshape(shape)]


def as_they_stand(problem: Problem) -> bool:
    """Whether the caller's leaves are what kernels take, and results what the caller sees."""
    layout = problem.joint
    return (
        problem.stored == problem.results
        and not dtypes.COMPLEX.intersection(problem.stored + problem.rounded)
        and all(len(batch) == layout.rank for batch in layout.batch)
        and (problem.acts is None or all(len(batch) == layout.rank for batch in problem.acts.layout.batch))
    )


def arrays_of(problem: Problem, kernel: Kernel) -> tuple[int, ...]:
    """Which of the aligned arrays a kernel takes: its leaves of elements, all captures, its leaves of the first state."""
    number, captured = len(problem.stored), len(problem.captures.arrays)
    inits = tuple(number + captured + i for i in kernel.states) if problem.joint.init is not None else ()
    return (*kernel.leaves, *range(number, number + captured), *inits)
