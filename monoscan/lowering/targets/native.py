"""The native target: MLX's own scans of commutative primitives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.slices import Leaves, cut
from monoscan.lowering.targets.cpu.attach import attach
from monoscan.lowering.trace.reads.captures import Captures

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


def run(
    problem: Problem, scan: AlignedScan, leaves: Sequence[mx.array], captures: Captures, init: Sequence[mx.array] | None
) -> tuple[Leaves, Leaves]:
    """The result leaf and the carry leaf, as the caller sees them."""
    name, layout = problem.facts.native, problem.layout
    assert name is not None
    arrays = [layout.align(leaves[0], 0), *(layout.align_init(x, 0) for x in init or ())]
    if name == "cumsum":  # MLX's own rules for sums are exact, cheap and complete
        outputs = _run(name, scan, arrays, layout.axis)
    else:
        outputs = _ruled(name, problem, scan, arrays, layout.axis, layout.rank + 1)
    results = [layout.restore(outputs[0], 0)] if problem.options.results else []
    return results, [layout.restore_carry(c, 0) for c in outputs[len(results) :]]


def _ruled(name: str, problem: Problem, scan: AlignedScan, arrays: Sequence[mx.array], axis: int, rank: int) -> Leaves:
    """`_run` with this library's derivatives."""

    def forward(inputs: Sequence[mx.array], axis: int, rank: int) -> Leaves:
        return _run(name, scan, inputs, axis)

    def rescan(again: AlignedScan, inputs: Sequence[mx.array], axis: int, rank: int) -> Leaves:
        return _ruled(name, problem, again, inputs, axis, rank)

    return attach(problem, scan, forward, rescan, arrays, axis, rank)


def _run(name: str, scan: AlignedScan, arrays: Sequence[mx.array], axis: int) -> Leaves:
    """The result and the carry, on aligned arrays."""
    combine, dtype = _COMBINES[name], dtypes.by_name(scan.state[0].dtype)
    x = arrays[0].astype(dtype)
    seed = arrays[1].astype(dtype) if len(arrays) > 1 else None
    # What is exact commutes with the scan; floats would overflow before an init that came behind.
    behind = seed is not None and (name in ("cummax", "cummin") or dtypes.is_exact(scan.state[0].dtype))
    led = x if seed is None or behind else _led(scan, combine, seed, x, axis)
    if scan.want_results:
        y = _SCANS[name](led, axis=axis, reverse=scan.reverse, inclusive=scan.inclusive or led is not x)
    else:
        y = _FOLDS[name](led, axis=axis, keepdims=True).astype(dtype)
    y = combine(seed, y) if seed is not None and behind else y
    if not scan.want_results:
        return [y.squeeze(axis)]
    carry = [_total(scan, combine, x, y, axis).squeeze(axis)] if scan.want_carry else []
    return [y.astype(dtypes.by_name(scan.results[0])), *carry]


def _led(
    scan: AlignedScan, combine: Callable[[mx.array, mx.array], mx.array], seed: mx.array, x: mx.array, axis: int
) -> mx.array:
    """The elements led by an ``init``: their inclusive scan, or their fold, is the one that was asked for."""
    n = x.shape[axis]
    without_first, without_last = (cut([x], axis, at, at + n - 1)[0] for at in (1, 0))
    if scan.reverse:
        without_first, without_last = without_last, without_first
    first = cut([x], axis, n - 1, n)[0] if scan.reverse else cut([x], axis, 0, 1)[0]
    head, tail = (combine(seed, first), without_first) if scan.inclusive else (seed, without_last)
    lead = list(mx.broadcast_shapes(head.shape, first.shape))
    head = mx.broadcast_to(head, lead)
    lead[axis] = n - 1
    tail = mx.broadcast_to(tail, lead)
    return mx.concatenate([tail, head] if scan.reverse else [head, tail], axis)


def _total(
    scan: AlignedScan, combine: Callable[[mx.array, mx.array], mx.array], x: mx.array, y: mx.array, axis: int
) -> mx.array:
    """The last inclusive value, with a scan axis of length 1."""
    last = (slice(None),) * axis + (slice(0, 1) if scan.reverse else slice(-1, None),)
    return y[last] if scan.inclusive else combine(y[last], x[last])
