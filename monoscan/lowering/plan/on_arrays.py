"""A scan on aligned arrays by array operations."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from monoscan import dtypes
from monoscan.lowering.plan.aligned import AlignedScan, Arrays, full_lead, leads_of, without
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.interpret_arrays import evaluate_arrays
from monoscan.lowering.program.ir import Program
from monoscan.lowering.strategies.combine import by_arrays, by_lanes, join_lanes, split_lanes
from monoscan.lowering.strategies.run import run_strategy
from monoscan.lowering.strategies.slices import Combine, Leaves, cut, flip, join, length_of
from monoscan.lowering.strategies.states import run_states


def run(scan: AlignedScan, arrays: Arrays, axis: int, rank: int, combine: Combine | None = None) -> Leaves:
    """Results, then carries (without the scan axis), by array operations.

    Args:
        scan: The scan.
        arrays: Its arrays.
        axis: The scan axis.
        rank: The number of batch axes.
        combine: Combines lanes. Default: the program does.
    """
    if scan.action:
        return _run_act(scan, arrays, axis, rank)
    elements, captures, init = scan.unpack(arrays)
    leads = leads_of(scan, arrays, axis, rank)
    xs = states(scan, elements, leads)
    first = None
    if init:
        first = states(scan, init, [without(lead, axis) for lead in leads])
    elif scan.identity is not None:
        first = states(scan, constants(scan), [without(lead, axis) for lead in leads])
    xs = flip(xs, axis) if scan.reverse else xs
    if isinstance(scan.program, ArrayProgram):
        combine = combine or by_arrays(scan.program, captures)
    else:
        xs, first = split_lanes(xs, scan.events), None if first is None else split_lanes(first, scan.events)
        combine = combine or by_lanes(scan.program, capture_lanes(captures, rank))
    ys, carry = run_strategy(
        scan.strategy, combine, xs, first, axis,
        seeded=bool(init), inclusive=scan.inclusive, results=scan.want_results,
    )  # fmt: skip
    if not isinstance(scan.program, ArrayProgram):
        ys, carry = (join_lanes(lanes, scan.events) if lanes else lanes for lanes in (ys, carry))
    return _outputs(scan, ys, axis) + _carries(scan, carry, axis)


def _run_act(scan: AlignedScan, arrays: Arrays, axis: int, rank: int) -> Leaves:
    """The states that elements lead through from a first one."""
    if isinstance(scan.program, ArrayProgram):
        return _run_wide_act(scan, scan.program, arrays, axis, rank)
    elements, captures, init = scan.unpack(arrays)
    leads = leads_of(scan, arrays, axis, rank)
    xs = _products(scan, elements, captures, rank)
    xs = flip(xs, axis) if scan.reverse else xs
    constants = capture_lanes(captures, rank)
    spread = [lead for lead, leaf in zip(leads, scan.state, strict=True) for _ in range(leaf.lanes)]

    def run(program: Program, lanes: Leaves, length: int) -> Leaves:
        moved = zip(evaluate(program, [*lanes, *constants], ARRAYS), spread, strict=True)
        return [mx.broadcast_to(y, (*lead[:axis], length, *lead[axis + 1 :])) for y, lead in moved]

    def act(state: Leaves, xs: Leaves) -> Leaves:
        return run(scan.scalar, [*state, *xs], length_of(xs, axis))

    begun: Leaves = []
    if scan.begun is None:
        first = split_lanes(states(scan, init, [without(lead, axis) for lead in leads]), scan.events)
    else:
        begun = first = run(scan.begun, cut(xs, axis, 0, 1), 1)
        xs = cut(xs, axis, 1, length_of(xs, axis))
    ys, last = begun, first
    if length_of(xs, axis):
        combine = None if scan.combine is None else by_lanes(scan.combine, constants)
        ys, last = run_states(scan.strategy, combine, act, xs, first, axis, inclusive=scan.inclusive)
        ys = join(axis, begun, ys) if begun else ys
    joined = [join_lanes(lanes, scan.events) for lanes in (ys, last)]
    return _outputs(scan, joined[0], axis) + _carries(scan, joined[1], axis)


def _run_wide_act(scan: AlignedScan, program: ArrayProgram, arrays: Arrays, axis: int, rank: int) -> Leaves:
    """The same of states of many lanes, in order."""
    elements, captures, init = scan.unpack(arrays)
    leads = [without(lead, axis) for lead in leads_of(scan, arrays, axis, rank)]
    rows = zip(elements, program.elements, strict=True)
    xs = [x.astype(dtypes.by_name(leaf.dtype)) for x, leaf in rows]
    n = full_lead(elements, rank)[axis]
    xs = [
        mx.broadcast_to(x, (*x.shape[:axis], n, *x.shape[axis + 1 :])) for x in (flip(xs, axis) if scan.reverse else xs)
    ]

    def act(state: Leaves, xs: Leaves) -> Leaves:
        return states(scan, evaluate_arrays(program, [*state, *xs, *captures]), leads)

    begun: Leaves = []
    if scan.begin is None:
        first = states(scan, init, leads)
    else:
        assert isinstance(scan.begin, ArrayProgram), "of a kind with the step"
        begun = first = states(scan, evaluate_arrays(scan.begin, [*cut(xs, axis, 0, 1), *captures]), leads)
        xs = cut(xs, axis, 1, n)
    ys, last = begun, first
    if length_of(xs, axis):
        ys, last = run_states("sequential", None, act, xs, first, axis, inclusive=scan.inclusive)
        ys = join(axis, begun, ys) if begun else ys
    return _outputs(scan, ys, axis) + _carries(scan, last, axis)


def _products(scan: AlignedScan, elements: Arrays, captures: Arrays, rank: int) -> Leaves:
    """The lanes of elements, with the batch shapes that products of them have."""
    leaves, combine = scan.program.elements, scan.combine
    own, shared = [tuple(x.shape[:rank]) for x in elements], [tuple(c.shape[:rank]) for c in captures]
    spread = []
    for i, (x, leaf) in enumerate(zip(elements, leaves, strict=True)):
        shapes = [own[j] for j in ((i,) if combine is None else combine.carried((i,), parts=True))]
        lead = mx.broadcast_shapes(*shapes, *shared, *shapes[:1])
        spread.append(mx.broadcast_to(x.astype(dtypes.by_name(leaf.dtype)), (*lead, *leaf.shape)))
    return split_lanes(spread, [leaf.shape for leaf in leaves])


def _outputs(scan: AlignedScan, leaves: Leaves, axis: int) -> Leaves:
    if not scan.want_results:
        return []
    ys = [leaves[i] for i in scan.shown]
    ys = flip(ys, axis) if scan.reverse else ys
    return [y.astype(dtypes.by_name(name)) for y, name in zip(ys, scan.results, strict=True)]


def _carries(scan: AlignedScan, leaves: Leaves, axis: int) -> Leaves:
    return [leaf.squeeze(axis) for leaf in leaves] if scan.want_carry else []


def states(scan: AlignedScan, arrays: Arrays, leads: Sequence[tuple[int, ...]]) -> Leaves:
    """Arrays as states: in the accumulation dtype, of these batch shapes."""
    rows = zip(arrays, scan.state, leads, strict=True)
    return [mx.broadcast_to(x.astype(dtypes.by_name(s.dtype)), (*lead, *s.shape)) for x, s, lead in rows]


def constants(scan: AlignedScan) -> Leaves:
    """The identity as arrays without batch axes."""
    assert scan.identity is not None
    leaves, start = [], 0
    for leaf in scan.state:
        values = list(scan.identity[start : start + leaf.lanes])
        leaves.append(
            mx.array(np.array(values, _numpy(leaf.dtype))).astype(dtypes.by_name(leaf.dtype)).reshape(leaf.shape)
        )
        start += leaf.lanes
    return leaves


def _numpy(name: str) -> np.dtype[np.generic]:
    return np.dtype("float32" if name == "bfloat16" else name)


def capture_lanes(captures: Arrays, rank: int) -> Leaves:
    """Each lane of the captured arrays, with their batch axes."""
    flat = [c.reshape(*c.shape[:rank], -1) for c in captures]
    return [c[..., i] for c in flat for i in range(c.shape[-1])]
