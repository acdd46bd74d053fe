"""The CPU target: a scan as one fused native loop inside MLX's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.cache import Cache
from monoscan.lowering.captures import Captures
from monoscan.lowering.problem import Problem
from monoscan.lowering.render.kernel import render
from monoscan.lowering.targets.cpu import build, groups
from monoscan.lowering.targets.cpu.bridge import Launch
from monoscan.lowering.targets.cpu.groups import Group
from monoscan.lowering.targets.cpu.kernels import compile_kernel
from monoscan.lowering.targets.cpu.rules import Rules

if TYPE_CHECKING:
    from monoscan.lowering.plan import Plan

Leaves = list[mx.array]
Results = list[mx.array | None]


@attrs.frozen(eq=False)
class Executable:
    """A compiled plan: a launch for each group of results. It holds no arrays."""

    problem: Problem
    launches: tuple[tuple[Group, Launch], ...]


_EXECUTABLES: Cache[Executable] = Cache(4096)


def unsupported(problem: Problem) -> str | None:
    """Why no kernel runs this scan on this machine, or ``None`` if one does."""
    if problem.program is None:
        return f"not traceable: {problem.traced.reason}"
    status = build.status()
    return groups.unsupported(problem) if status.available else status.reason


def source(problem: Problem) -> str:
    """The C++ text of a scan's kernels."""
    return "\n".join(render(group.spec) for group in groups.groups(problem))


def run(
    plan: Plan, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> tuple[Results, Results]:
    """The result leaves and the carry leaves, as the caller sees them; ``None`` for those not wanted."""
    executable = _EXECUTABLES.get(plan, lambda: _compile(plan.problem))
    problem = plan.problem
    xs = [_stored(problem, x, i) for i, x in enumerate(leaves)]
    captured = [c.reshape(*(1,) * (problem.layout.rank + 1), *c.shape) for c in captures.operands]
    starts = [] if init is None else [_start(problem, x, i) for i, x in enumerate(init)]
    results: Results = [None] * len(xs)
    carry: Results = [None] * len(xs)
    for group, launch in executable.launches:
        own = [xs[i] for i in group.leaves] + captured + [starts[i] for i in group.leaves if starts]
        outputs = launch(own)
        for leaf, y in zip(group.emit, outputs, strict=False) if problem.options.results else ():
            results[leaf] = problem.layout.restore(y, leaf)
        first_carry = len(group.emit) if problem.options.results else 0
        for leaf, c in zip(group.leaves, outputs[first_carry:], strict=False):
            if leaf in group.emit:
                carry[leaf] = c.reshape(problem.layout.carry_shape(leaf))
    return results, carry


def _stored(problem: Problem, x: mx.array, leaf: int) -> mx.array:
    aligned = problem.layout.align(x, leaf)
    return (
        aligned
        if problem.stored[leaf] == problem.results[leaf]
        else aligned.astype(dtypes.by_name(problem.results[leaf]))
    )


def _start(problem: Problem, x: mx.array, leaf: int) -> mx.array:
    return problem.layout.align_init(x, leaf).astype(dtypes.by_name(problem.accumulators[leaf]))


def _compile(problem: Problem) -> Executable:
    return Executable(problem, tuple((group, _launch(problem, group)) for group in groups.groups(problem)))


def _launch(problem: Problem, group: Group) -> Launch:
    spec, options = group.spec, problem.options
    kernel = compile_kernel(render(spec))
    state = [(dtypes.by_name(leaf.dtype), leaf.shape) for leaf in spec.state]
    events = [len(leaf.shape) for leaf in spec.state]
    captures = [len(leaf.shape) for leaf in spec.combine.captures]
    inits = len(state) if problem.layout.init is not None else 0
    outputs = [(dtypes.by_name(name), spec.state[i].shape) for i, name in zip(spec.emit, spec.results, strict=False)]
    return build.load().Launch(
        f"monoscan_{options.call}",
        schedule=kernel.schedule,
        task=kernel.task,
        axis=problem.layout.axis,
        rank=problem.layout.rank + 1,
        elements=len(state),
        captures=len(captures),
        inits=inits,
        event_ndims=events + captures + events * bool(inits),
        outputs=outputs,
        carries=state if group.scan.want_carry else [],
        donors=[i if spec.elements[i] == name else -1 for i, name in zip(spec.emit, spec.results, strict=False)],
        rules=Rules(group.scan),
    )
