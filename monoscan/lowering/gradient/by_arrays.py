"""The adjoint by array operations: a scan of sparse Jacobian blocks, or step by step."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.gradient import ruled, step_by_step
from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.gradient.jacobian_maps import maps_of
from monoscan.lowering.plan import aligned, on_arrays, shapeless
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.strategies.combine import join_lanes, split_lanes
from monoscan.lowering.strategies.slices import Leaves, cut, flip, join


@attrs.frozen
class Tape:
    """What is read, in fold order, one array a lane.

    Args:
        previous: y_{t-1} for every position that combines.
        elements: x_t for the same positions.
        first: x_0.
        captures: The lanes of captured arrays.
        weights: w_t for every position, the live lanes alone.
        seeded: Whether the first position combines too.
        axis: The scan axis.
        run: How programs run.
    """

    previous: Leaves
    elements: Leaves
    first: Leaves
    captures: Leaves
    weights: Leaves
    seeded: bool
    axis: int
    run: ruled.Run


def backward(adjoint: Adjoint, arrays: Arrays, axis: int, rank: int, run: ruled.Run = ruled.plain) -> Leaves:
    """Runs an adjoint; what it takes and yields stands in `Adjoint`.

    Args:
        adjoint: The adjoint.
        arrays: Its arrays.
        axis: The scan axis.
        rank: The number of batch axes.
        run: How programs run: by `ruled.run` where MLX is to differentiate this.
    """
    shapeless.refuse("This gradient")
    if isinstance(adjoint.program, ArrayProgram):
        return step_by_step.backward(adjoint, arrays, axis, rank)
    lead = aligned.full_lead(arrays, rank)
    tape, direct = _tape(adjoint, arrays, axis, rank, lead, run)
    g = _scanned(adjoint, tape) if maps_of(adjoint.scalar, adjoint.live) is not None else _walked(adjoint, tape)
    right, captured, left = _operands(adjoint, tape, g)
    events = [leaf.shape for leaf in adjoint.outputs]
    outputs = join_lanes([*right, *captured], events)
    typed = [y.astype(dtypes.by_name(leaf.dtype)) for y, leaf in zip(outputs, adjoint.outputs, strict=True)]
    typed = flip(typed, axis) if adjoint.reverse else typed
    if not adjoint.seeded:
        return typed
    start = [a if b is None else a + b for a, b in zip(left, direct, strict=True)]
    live = _chosen(adjoint.program.outputs, adjoint.live)
    return typed + [d.squeeze(axis) for d in join_lanes(start, [leaf.shape for leaf in live])]


def _chosen(operand: Sequence[Leaf], places: Sequence[int]) -> list[Leaf]:
    return [operand[i] for i in places]


def _tape(
    adjoint: Adjoint, arrays: Arrays, axis: int, rank: int, lead: tuple[int, ...], run: ruled.Run
) -> tuple[Tape, list[mx.array | None]]:
    """The tape, and what reaches ``init`` directly, as the first result of an exclusive scan."""
    operands = adjoint.unpack(arrays)
    n, one = lead[axis], (*lead[:axis], 1, *lead[axis + 1 :])
    state = adjoint.program.outputs

    def lanes(given: Arrays, leaves: Sequence[Leaf], lead: tuple[int, ...], ordered: bool = True) -> Leaves:
        rows = zip(given, leaves, strict=True)
        full = [mx.broadcast_to(x.astype(dtypes.by_name(leaf.dtype)), (*lead, *leaf.shape)) for x, leaf in rows]
        return split_lanes(flip(full, axis) if ordered and adjoint.reverse else full, [leaf.shape for leaf in leaves])

    xs = lanes(operands.rights, _chosen(adjoint.program.elements, adjoint.rights), lead)
    lefts = _chosen(state, adjoint.lefts)
    before = lanes(operands.lefts, lefts, lead)
    if adjoint.shifted:
        before = cut(before, axis, 0, n - 1)
        before = (
            join(axis, lanes(operands.init, lefts, one, ordered=False), before) if adjoint.seeded and before else before
        )
    elif not adjoint.seeded:
        before = cut(before, axis, 1, n)
    w, direct = _weights(adjoint, lanes(operands.weights, _chosen(state, adjoint.weights), lead), axis, lead)
    w = _add_last(w, lanes(operands.ends, _chosen(state, adjoint.live), one, ordered=False), axis)
    steps = xs if adjoint.seeded else cut(xs, axis, 1, n)
    return Tape(
        before,
        steps,
        cut(xs, axis, 0, 1),
        on_arrays.capture_lanes(operands.captures, rank),
        w,
        adjoint.seeded,
        axis,
        run,
    ), direct


def _weights(adjoint: Adjoint, given: Leaves, axis: int, lead: tuple[int, ...]) -> tuple[Leaves, list[mx.array | None]]:
    """w_t as live lanes in fold order; an exclusive result stands one position late."""
    names = [adjoint.program.outputs[i].dtype for i in adjoint.live for _ in range(adjoint.program.outputs[i].lanes)]
    has = [i in adjoint.weights for i in adjoint.live for _ in range(adjoint.program.outputs[i].lanes)]
    queue = iter(given)
    lanes: Leaves = []
    direct: list[mx.array | None] = []
    for name, present in zip(names, has, strict=True):
        zeros = mx.zeros(lead, dtypes.by_name(name))
        w = next(queue) if present else zeros
        if adjoint.inclusive or not present:
            lanes.append(w)
            direct.append(None)
        else:
            first, rest = cut([w], axis, 0, 1)[0], cut([w], axis, 1, lead[axis])[0]
            lanes.append(mx.concatenate([rest, mx.zeros_like(first)], axis))
            direct.append(first)
    return lanes, direct


def _add_last(w: Leaves, ends: Leaves, axis: int) -> Leaves:
    n = w[0].shape[axis]
    last = [a + b for a, b in zip(cut(w, axis, n - 1, n), ends, strict=True)]
    return join(axis, cut(w, axis, 0, n - 1), last)


def _lanes_in(operand: Sequence[Leaf], tape_lanes: Leaves, places: Sequence[int]) -> Leaves:
    """Lanes for all leaves of an operand; those that nothing reads are zeros."""
    known = dict(zip(places, _grouped(tape_lanes, _chosen(operand, places)), strict=True))
    filled: Leaves = []
    for i, leaf in enumerate(operand):
        filled += known.get(i, [mx.array(0, dtypes.by_name(leaf.dtype))] * leaf.lanes)
    return filled


def _grouped(lanes: Leaves, leaves: Sequence[Leaf]) -> list[Leaves]:
    groups, start = [], 0
    for leaf in leaves:
        stop = start + leaf.lanes
        groups.append(lanes[start:stop])
        start = stop
    return groups


def _step(adjoint: Adjoint, tape: Tape, previous: Leaves, elements: Leaves, g: Leaves) -> tuple[Leaves, Leaves, Leaves]:
    """The cotangents of the left operand, the right one and captured arrays, on whole arrays."""
    left = _lanes_in(adjoint.program.outputs, previous, adjoint.lefts)
    right = _lanes_in(adjoint.program.elements, elements, adjoint.rights)
    results = tape.run(adjoint.step, [*left, *right, *tape.captures, *g])
    a = sum(leaf.lanes for leaf in _chosen(adjoint.program.outputs, adjoint.live))
    b = a + sum(leaf.lanes for leaf in _chosen(adjoint.program.elements, adjoint.gradients))
    return results[:a], results[a:b], results[b:]


def _operands(adjoint: Adjoint, tape: Tape, g: Leaves) -> tuple[Leaves, Leaves, Leaves]:
    """The cotangents of elements, of captured arrays step by step, and of the state before the first."""
    axis, n = tape.axis, g[0].shape[tape.axis]
    if tape.seeded:
        left, right, captured = _step(adjoint, tape, tape.previous, tape.elements, g)
        return right, captured, cut(left, axis, 0, 1)
    first, first_captured = _start(adjoint, tape, cut(g, axis, 0, 1))
    if n == 1:
        return first, first_captured, []
    _, right, captured = _step(adjoint, tape, tape.previous, tape.elements, cut(g, axis, 1, n))
    return join(axis, first, right), join(axis, first_captured, captured), []


def _start(adjoint: Adjoint, tape: Tape, g: Leaves) -> tuple[Leaves, Leaves]:
    """The cotangents of the first element, and of captured arrays at the first step, where nothing comes before."""
    lanes = sum(leaf.lanes for leaf in _chosen(adjoint.program.elements, adjoint.gradients))
    if adjoint.start is not None:
        element = _lanes_in(adjoint.program.elements, tape.first, adjoint.rights)
        found = tape.run(adjoint.start, [*element, *tape.captures, *g])
        return found[:lanes], found[lanes:]
    own = _grouped(g, _chosen(adjoint.program.outputs, adjoint.live))
    first: Leaves = []
    nothing = mx.zeros_like(g[0])
    for i in adjoint.gradients:
        first += own[adjoint.live.index(i)] if i in adjoint.live else [nothing] * adjoint.program.outputs[i].lanes
    return first, [nothing for i in adjoint.captured for _ in range(adjoint.program.captures[i].lanes)]


def _walked(adjoint: Adjoint, tape: Tape) -> Leaves:
    """g_t step by step from the last position back."""
    axis = tape.axis
    n = tape.weights[0].shape[axis]
    g = cut(tape.weights, axis, n - 1, n)
    found, offset = [g], 0 if tape.seeded else 1
    for t in range(n - 1, 0, -1):
        at = t - offset
        previous, elements = cut(tape.previous, axis, at, at + 1), cut(tape.elements, axis, at, at + 1)
        moved, _, _ = _step(adjoint, tape, previous, elements, g)
        g = [w + m for w, m in zip(cut(tape.weights, axis, t - 1, t), moved, strict=True)]
        found.append(g)
    return join(axis, *reversed(found))


def _scanned(adjoint: Adjoint, tape: Tape) -> Leaves:
    """g_t by a scan of the maps g -> J g + w, from the last position back."""
    maps = maps_of(adjoint.scalar, adjoint.live)
    assert maps is not None
    axis, shape = tape.axis, tape.weights[0].shape
    n = shape[axis]
    if n == 1:
        return tape.weights
    left = _lanes_in(adjoint.program.outputs, tape.previous, adjoint.lefts)
    right = _lanes_in(adjoint.program.elements, tape.elements, adjoint.rights)
    steps = tape.run(maps.entries, [*left, *right, *tape.captures])
    wide = (*shape[:axis], n if tape.seeded else n - 1, *shape[axis + 1 :])
    known = {pair: mx.broadcast_to(step, wide) for pair, step in zip(maps.pairs, steps, strict=True)}
    gates = []
    for pair in maps.pattern:
        gate = known[pair] if pair in known else mx.zeros(wide, tape.weights[0].dtype)
        inner = cut([gate], axis, 1, n)[0] if tape.seeded else gate
        gates.append(mx.concatenate([inner, cut([inner], axis, 0, 1)[0]], axis))  # the last is nobody's operand
    xs = flip([*gates, *tape.weights], axis)
    scan = AlignedScan(maps.program, tuple(range(len(xs))), tuple(dtypes.name_of(x.dtype) for x in xs))
    ys = on_arrays.run(scan, xs, axis, len(shape), ruled.combine(maps.program, run=tape.run))
    return flip(ys[len(gates) :], axis)
