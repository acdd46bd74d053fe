"""The CPU target: a scan as one fused native loop inside MLX's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import mlx.core as mx
import numpy as np

from monoscan import dtypes
from monoscan.cache import Cache
from monoscan.lowering.gradient.transforms import portable
from monoscan.lowering.plan import fused as groups
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.fused import Group
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.render.kernel import render
from monoscan.lowering.render.spec import KernelSpec, Layout
from monoscan.lowering.targets.cpu import build, kernels
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cpu.rules import Rules
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.targets.graph import aligned_arrays
from monoscan.lowering.trace.reads.captures import Captures

if TYPE_CHECKING:
    from monoscan.lowering.plan.plan import Plan

Leaves = list[mx.array]
Results = list[mx.array | None]


@attrs.frozen(eq=False)
class Executable:
    """A compiled plan. It holds no arrays.

    Args:
        plain: The caller's leaves are the launch's arrays as they stand.
        direct: The only launch, where it takes all leaves and yields all results and no carry.
        launches: For each group of results the arrays that it takes, and its launch.
    """

    plain: bool
    direct: Launch | None
    launches: tuple[tuple[Group, tuple[int, ...], Launch], ...]


_EXECUTABLES: Cache[Executable] = Cache(4096)
_RESCANS: Cache[Launch] = Cache(1024)


def unsupported(problem: Problem) -> str | None:
    """Why no kernel runs this scan on this machine, or ``None`` if one does."""
    return not_expressible(problem) or _not_built(problem)


def not_expressible(problem: Problem) -> str | None:
    """Why no kernel can be written for this scan, on any machine, or ``None`` if one can."""
    if problem.program is None:
        return f"not traceable: {problem.traced.reason}"
    return groups.unsupported(problem)


def announce_if_not_built(problem: Problem) -> None:
    """Says once that a scan which could have a kernel has none, and why."""
    reason = None if not_expressible(problem) else _not_built(problem)
    if reason is not None:
        (kernels if build.status().available else build).announce(reason)


def _not_built(problem: Problem) -> str | None:
    """Why this machine has no kernel for a scan: what is missing, or what failed in this process."""
    status = build.status()
    if not status.available:
        return status.reason
    if not FAILURES.generation:
        return None
    reasons = (kernels.unavailable(render(group.spec)) for group in groups.groups(problem))
    return next((reason for reason in reasons if reason), None)


def source(problem: Problem) -> str:
    """The C++ text of a scan's kernels."""
    return "\n".join(render(group.spec) for group in groups.groups(problem))


def prepare(plan: Plan) -> Executable:
    """Compiles the kernels of a plan, if that has not been done.

    Raises:
        BridgeUnavailable: One of them, or the bridge, cannot be built.
    """
    return _EXECUTABLES.get(plan, lambda: _compile(plan.problem))


def run(
    plan: Plan, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> tuple[Sequence[mx.array | None], Sequence[mx.array | None]]:
    """The result leaves and the carry leaves, as the caller sees them; ``None`` for those not wanted."""
    executable = prepare(plan)
    if executable.direct is not None:
        return executable.direct(leaves), ()
    problem, layout = plan.problem, plan.problem.layout
    arrays = leaves if executable.plain else aligned_arrays(problem, leaves, captures, init)
    number = len(leaves)
    results: Results = [None] * number
    carry: Results = [None] * number
    for group, chosen, launch in executable.launches:
        outputs = launch([arrays[i] for i in chosen])
        if problem.options.results:
            for leaf, y in zip(group.emit, outputs, strict=False):
                results[leaf] = y if executable.plain else layout.restore(y, leaf)
            outputs = outputs[len(group.emit) :]
        for leaf, c in zip(group.leaves, outputs, strict=False):
            if leaf in group.emit:
                carry[leaf] = c if executable.plain else layout.restore_carry(c, leaf)
    return results, carry


def _compile(problem: Problem) -> Executable:
    layout, number = problem.layout, len(problem.stored)
    plain = (
        problem.stored == problem.results
        and all(len(batch) == layout.rank for batch in layout.batch)
        and not problem.captures.arrays
        and layout.init is None
    )
    launches = tuple((g, _chosen(problem, g, number), _launch(problem, g)) for g in groups.groups(problem))
    everything = tuple(range(number))
    group, chosen, launch = launches[0]
    direct = plain and chosen == group.emit == everything and problem.options.results and not group.scan.want_carry
    return Executable(plain, launch if direct else None, launches)


def _chosen(problem: Problem, group: Group, number: int) -> tuple[int, ...]:
    """Which of the aligned arrays a launch takes: its own leaves, all captures, its own leaves' init."""
    captured = len(problem.captures.arrays)
    inits = tuple(number + captured + i for i in group.leaves) if problem.layout.init is not None else ()
    return (*group.leaves, *range(number, number + captured), *inits)


def _launch(problem: Problem, group: Group) -> Launch:
    layout = problem.layout
    seeded = layout.init is not None
    identity, name = _identity(problem, group), problem.operator.name
    return launch_of(group.scan, group.spec, layout.axis, layout.rank + 1, seeded, name, identity)


def _identity(problem: Problem, group: Group) -> tuple[bytes, ...]:
    """The carry of no steps, leaf by leaf. Where sizes are known, such a scan runs no kernel."""
    open_ended = problem.options.shapeless and group.scan.want_carry and problem.operator.has_identity
    constants = problem.neutral if open_ended else None
    if constants is None:
        return ()
    typed = zip(group.leaves, group.spec.state, strict=True)
    return tuple(np.array(constants[i], leaf.dtype).tobytes() for i, leaf in typed)


def launch_of(
    scan: AlignedScan,
    spec: KernelSpec,
    axis: int,
    rank: int,
    seeded: bool,
    name: str,
    identity: tuple[bytes, ...] = (),
) -> Launch:
    """The launch of a kernel.

    Args:
        scan: What it computes.
        spec: The kernel.
        axis: The scan axis.
        rank: The number of batch axes, the scan axis among them.
        seeded: Whether there is an ``init``.
        name: What messages call the operator.
        identity: The bytes of the identity, one for each leaf; none if an empty axis needs none.
    """
    bridge = build.load()
    kernel = kernels.compile_kernel(render(spec))
    state = [(dtypes.by_name(leaf.dtype), leaf.shape) for leaf in spec.state]
    events = [leaf.shape for leaf in spec.state]
    captures = [leaf.shape for leaf in spec.combine.captures]

    def rescan(again: AlignedScan, arrays: Sequence[mx.array], axis: int, rank: int) -> Leaves:
        own = attrs.evolve(
            spec, emit=again.emit, results=again.results, inclusive=True, want_results=True, identity=None
        )
        if not groups.regroups_safely(own):  # fewer leaves may show less
            own = attrs.evolve(own, layout=Layout.SEQUENTIAL)
        key = (again, own, axis, rank, seeded)
        try:
            launch = _RESCANS.get(key, lambda: launch_of(again, own, axis, rank, seeded, name))
        except BridgeUnavailable:  # said and remembered where it failed
            return portable(again, arrays, axis, rank)
        return launch(arrays)

    return bridge.Launch(
        "monoscan",
        schedule=kernel.schedule,
        task=kernel.task,
        axis=axis,
        rank=rank,
        elements=len(state),
        captures=len(captures),
        inits=len(state) if seeded else 0,
        events=events + captures + events * seeded,
        outputs=[(dtypes.by_name(name), spec.state[i].shape) for i, name in zip(spec.emit, spec.results, strict=False)],
        carries=state if scan.want_carry else [],
        donors=[i if spec.elements[i] == name else -1 for i, name in zip(spec.emit, spec.results, strict=False)],
        identity=identity,
        rules=Rules(scan, rescan),
        label=name,
    )
