"""The native target: MLX's own scans of commutative primitives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.problem import Problem
from monoscan.lowering.strategies.slices import Leaves

if TYPE_CHECKING:
    from monoscan.lowering.plan import Plan

_SCANS: dict[str, Callable[..., mx.array]] = {
    "cumsum": mx.cumsum,
    "cumprod": mx.cumprod,
    "cummax": mx.cummax,
    "cummin": mx.cummin,
    "logcumsumexp": mx.logcumsumexp,
}
_FOLDS: dict[str, Callable[..., mx.array]] = {
    "cumsum": mx.sum,
    "cumprod": mx.prod,
    "cummax": mx.max,
    "cummin": mx.min,
    "logcumsumexp": mx.logsumexp,
}
_COMBINES: dict[str, Callable[[mx.array, mx.array], mx.array]] = {
    "cumsum": mx.add,
    "cumprod": mx.multiply,
    "cummax": mx.maximum,
    "cummin": mx.minimum,
    "logcumsumexp": mx.logaddexp,
}


def unsupported(problem: Problem) -> str | None:
    """Why MLX has no scan for this, or ``None`` if it has."""
    facts = problem.facts
    if facts.native is None:
        return "MLX has no scan that computes it"
    if not facts.commutative:
        return "not commutative, and MLX's GPU scans swap operands"
    name = problem.accumulators[0]
    if len(problem.accumulators) != 1 or problem.layout.event[0]:
        return "MLX scans single arrays of scalars"
    if name == "complex64" and facts.native not in ("cumsum", "cumprod"):
        return f"mx.{facts.native} takes no complex64"
    return None


def run(plan: Plan, leaves: Sequence[mx.array], init: Sequence[mx.array] | None) -> tuple[Leaves, Leaves]:
    """The result leaf and the carry leaf, as the caller sees them."""
    problem = plan.problem
    options, layout, name = problem.options, problem.layout, problem.facts.native
    assert name is not None
    combine, axis = _COMBINES[name], layout.axis
    x = layout.align(leaves[0], 0).astype(dtypes.by_name(problem.accumulators[0]))
    seed = None if init is None else layout.align_init(init[0], 0).astype(x.dtype)
    if not options.results:
        total = _FOLDS[name](x, axis=axis, keepdims=True).astype(x.dtype)
        return [], [_carry(problem, total if seed is None else combine(seed, total))]
    y = _SCANS[name](x, axis=axis, reverse=options.reverse, inclusive=options.inclusive)
    y = y if seed is None else combine(seed, y)
    carry = [_carry(problem, _total(problem, combine, x, y))] if options.return_carry else []
    return [layout.restore(y.astype(dtypes.by_name(problem.results[0])), 0)], carry


def _total(problem: Problem, combine: Callable[[mx.array, mx.array], mx.array], x: mx.array, y: mx.array) -> mx.array:
    """The last inclusive value, with a scan axis of length 1."""
    last = (slice(None),) * problem.layout.axis + (slice(0, 1) if problem.options.reverse else slice(-1, None),)
    return y[last] if problem.options.inclusive else combine(y[last], x[last])


def _carry(problem: Problem, total: mx.array) -> mx.array:
    wanted = problem.layout.aligned_shape(0, 1)
    return problem.layout.restore_carry(total if tuple(total.shape) == wanted else mx.broadcast_to(total, wanted), 0)
