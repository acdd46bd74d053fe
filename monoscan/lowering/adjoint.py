"""Gradients and tangents of a scan, from the derivatives of its ``combine``.

With y_t = f(y_{t-1}, x_t), the cotangents obey a linear recurrence that runs backwards:
g_t = w_t + J_{t+1} g_{t+1}, where J holds the derivatives of f by its left operand. Then
dx_t and the cotangents of captured arrays follow step by step. Nothing here asks f to be
associative: it is the adjoint of the fold.

Source: Griewank and Walther, *Evaluating Derivatives* (SIAM, 2008), section 3.2; Martin
and Cundy (ICLR 2018) for the scalar linear case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering import aligned
from monoscan.lowering.aligned import AlignedScan, Arrays
from monoscan.lowering.builder import Builder
from monoscan.lowering.derivative import Term, differentiable, forward, jacobian, reverse
from monoscan.lowering.interpret import ARRAYS, evaluate
from monoscan.lowering.ir import Leaf, Program
from monoscan.lowering.strategies.combine import join_lanes, split_lanes
from monoscan.lowering.strategies.slices import Leaves, cut, flip, join

MAX_BLOCK = 4
"""Jacobian blocks of up to so many coupled lanes are scanned; larger ones are walked back step by step."""

Rescan = Callable[[Arrays], Leaves]
"""The inclusive states of all leaves in array order, for arrays as the scan took them."""


@attrs.frozen
class Tape:
    """What a backward pass reads, in fold order, one array a lane.

    Args:
        previous: y_{t-1} for every step that combines.
        elements: x_t for the same steps.
        captures: The lanes of captured arrays.
        cotangents: w_t for every position, the differentiable lanes alone.
        seeded: Whether the first position combines too.
        axis: The scan axis.
    """

    previous: Leaves
    elements: Leaves
    captures: Leaves
    cotangents: Leaves
    seeded: bool
    axis: int


def vjp(
    scan: AlignedScan,
    primals: Arrays,
    cotangents: Arrays,
    outputs: Arrays,
    axis: int,
    rank: int,
    rescan: Rescan | None = None,
) -> list[mx.array | None]:
    """The cotangents of all arrays that a scan read; ``None`` for those without any.

    Args:
        scan: The scan.
        primals: Its arrays.
        cotangents: One for each of its outputs.
        outputs: What it returned.
        axis: The scan axis.
        rank: The number of batch axes.
        rescan: How to run the inclusive scan again where ``outputs`` do not hold all states.
    """
    tape, into_init = _record(scan, primals, cotangents, outputs, axis, rank, rescan)
    dx, dc, ds = walk_back(scan.program, tape)
    wanted = differentiable(scan.state)
    element, captured, init = scan.unpack(primals)
    result: list[mx.array | None] = [None] * len(primals)
    dxs = _leaves(scan, dx, wanted)
    for leaf, d in zip(wanted, flip(dxs, axis) if scan.reverse else dxs, strict=True):
        result[leaf] = _fit(d, element[leaf], rank)
    offset = len(element)
    live = differentiable(scan.program.captures)
    for leaf, d in zip(live, join_lanes(dc, [scan.program.captures[i].shape for i in live]), strict=True):
        result[offset + leaf] = _fit(d, captured[leaf], rank)
    if init:
        start = [a if b is None else a + b for a, b in zip(ds, into_init, strict=True)]
        for leaf, d in zip(wanted, _leaves(scan, start, wanted), strict=True):
            result[offset + len(captured) + leaf] = _fit(d, init[leaf], rank)
    return result


def _leaves(scan: AlignedScan, lanes: Leaves, wanted: Sequence[int]) -> Leaves:
    return join_lanes(lanes, [scan.events[i] for i in wanted])


def _fit(d: mx.array, like: mx.array, rank: int) -> mx.array:
    """Sums over the axes along which an array was broadcast."""
    axes = [i for i in range(rank) if like.shape[i] == 1 and d.shape[i] != 1]
    return (d.sum(axes, keepdims=True) if axes else d).astype(like.dtype)


def _record(
    scan: AlignedScan, primals: Arrays, cotangents: Arrays, outputs: Arrays, axis: int, rank: int, rescan: Rescan | None
) -> tuple[Tape, list[mx.array | None]]:
    """The tape, and what reaches ``init`` directly as the first result of an exclusive scan."""
    lead = aligned.full_lead(primals, rank)
    one = (*lead[:axis], 1, *lead[axis + 1 :])
    elements, captures, init = scan.unpack(primals)
    order = (lambda xs: flip(xs, axis)) if scan.reverse else (lambda xs: xs)
    number = len(scan.state)
    xs = split_lanes(order(aligned.states(scan, elements, [lead] * number)), scan.events)
    ys = split_lanes(order(aligned.states(scan, _states(scan, primals, outputs, axis, rank, rescan), [lead] * number)), scan.events)
    n = lead[axis]
    before = cut(ys, axis, 0, n - 1)
    if init:
        before = join(axis, split_lanes(aligned.states(scan, init, [one] * number), scan.events), before)
    w, into_init = _weights(scan, cotangents, axis, lead)
    steps = xs if init else cut(xs, axis, 1, n)
    return Tape(before, steps, aligned.capture_lanes(captures, rank), w, bool(init), axis), into_init


def _states(
    scan: AlignedScan, primals: Arrays, outputs: Arrays, axis: int, rank: int, rescan: Rescan | None
) -> Leaves:
    """The inclusive states of all leaves: the results where they are that, else the scan again."""
    exact = scan.emit == tuple(range(len(scan.state))) and scan.results == tuple(leaf.dtype for leaf in scan.state)
    if scan.want_results and scan.inclusive and exact:
        return list(outputs[: len(scan.emit)])
    return (rescan or (lambda arrays: aligned.run(states_of(scan), arrays, axis, rank)))(primals)


def states_of(scan: AlignedScan) -> AlignedScan:
    """The inclusive scan of all leaves in the accumulation dtypes."""
    everything = tuple(range(len(scan.state)))
    names = tuple(leaf.dtype for leaf in scan.state)
    return attrs.evolve(
        scan, emit=everything, results=names, inclusive=True, want_results=True, want_carry=False, identity=None,
        strategy=_general(scan.strategy),
    )  # fmt: skip


def _general(strategy: str) -> str:
    """A strategy that runs any program and needs no identity."""
    return strategy if strategy in ("sequential", "hillis_steele") else "brent_kung"


def _weights(scan: AlignedScan, cotangents: Arrays, axis: int, lead: tuple[int, ...]) -> tuple[Leaves, list[mx.array | None]]:
    """w_t as lanes in fold order, from the cotangents of results and carry."""
    wanted = differentiable(scan.state)
    results = len(scan.emit) if scan.want_results else 0
    lanes: Leaves = []
    into_init: list[mx.array | None] = []
    for leaf in wanted:
        dtype = dtypes.by_name(scan.state[leaf].dtype)
        event = scan.events[leaf]
        total = mx.zeros((*lead, *event), dtype)
        first: mx.array | None = None
        if results and leaf in scan.emit:
            w = mx.broadcast_to(cotangents[scan.emit.index(leaf)].astype(dtype), (*lead, *event))
            w = flip([w], axis)[0] if scan.reverse else w
            if not scan.inclusive:
                first = cut([w], axis, 0, 1)[0]
                zero = mx.zeros_like(first)
                w = mx.concatenate([cut([w], axis, 1, lead[axis])[0], zero], axis)
            total = w
        if scan.want_carry:
            total = _add_last(total, cotangents[results + leaf].astype(dtype), axis)
        lanes += split_lanes([total], [event])
        into_init += split_lanes([first], [event]) if first is not None else [None] * scan.state[leaf].lanes
    return lanes, into_init


def _add_last(total: mx.array, carry: mx.array, axis: int) -> mx.array:
    """Adds the carry's cotangent to that of the last position."""
    n = total.shape[axis]
    last = cut([total], axis, n - 1, n)[0] + mx.expand_dims(carry, axis)
    return mx.concatenate([cut([total], axis, 0, n - 1)[0], last], axis)


def walk_back(program: Program, tape: Tape) -> tuple[Leaves, Leaves, Leaves]:
    """The cotangents of the elements, of captured arrays step by step, and of the state before.

    Each is a list of lanes; those of captured arrays keep the scan axis, to be summed.
    """
    blocks = _blocks(program)
    g, start = _scanned(program, tape) if blocks is not None else _walked(program, tape)
    n = g[0].shape[tape.axis] if g else 0
    steps = g if tape.seeded else cut(g, tape.axis, 1, n)
    if not program.code and not steps:
        return g, [], start
    left, right, captured = _step(program, tape.previous, tape.elements, tape.captures, steps)
    if not tape.seeded:
        return join(tape.axis, cut(g, tape.axis, 0, 1), right), captured, []
    return right, captured, cut(left, tape.axis, 0, 1)


def _step(program: Program, left: Leaves, right: Leaves, captures: Leaves, g: Leaves) -> tuple[Leaves, Leaves, Leaves]:
    """The cotangents of one step's operands, on whole arrays."""
    derivative = _reversed(program)
    results = evaluate(derivative, [*left, *right, *captures, *g], ARRAYS)
    shape = tuple(mx.broadcast_shapes(*(a.shape for a in (*left, *g)), left[0].shape))
    results = [mx.broadcast_to(y, shape) for y in results]
    lanes = sum(program.outputs[i].lanes for i in differentiable(program.outputs))
    return results[:lanes], results[lanes : 2 * lanes], results[2 * lanes :]


@lru_cache(maxsize=256)
def _reversed(program: Program) -> Program:
    return reverse(program)


def _walked(program: Program, tape: Tape) -> tuple[Leaves, Leaves]:
    """g_t step by step from the last position back."""
    n, axis = tape.cotangents[0].shape[tape.axis], tape.axis
    g = cut(tape.cotangents, axis, n - 1, n)
    found = [g]
    offset = 0 if tape.seeded else 1
    for t in range(n - 1, 0, -1):
        at = t - offset
        previous, elements = cut(tape.previous, axis, at, at + 1), cut(tape.elements, axis, at, at + 1)
        moved, _, _ = _step(program, previous, elements, tape.captures, g)
        g = [w + m for w, m in zip(cut(tape.cotangents, axis, t - 1, t), moved, strict=True)]
        found.append(g)
    return join(axis, *reversed(found)), []


def _scanned(program: Program, tape: Tape) -> tuple[Leaves, Leaves]:
    """g_t by a scan of sparse Jacobian blocks, from the last position back."""
    blocks = _blocks(program)
    assert blocks is not None
    pairs, entries, combine = blocks
    axis, n = tape.axis, tape.cotangents[0].shape[tape.axis]
    if n == 1 or not tape.cotangents:
        return tape.cotangents, []
    steps = evaluate(entries, [*tape.previous, *tape.elements, *tape.captures], ARRAYS)
    shape = tape.cotangents[0].shape
    wide = (*shape[:axis], n if tape.seeded else n - 1, *shape[axis + 1 :])
    known = dict(zip(pairs, (mx.broadcast_to(s, wide) for s in steps), strict=True))
    gates = []
    for pair in combine.pairs:
        gate = known.get(pair)
        gate = mx.zeros(wide, tape.cotangents[0].dtype) if gate is None else gate
        inner = cut([gate], axis, 1, n)[0] if tape.seeded else gate
        gates.append(mx.concatenate([inner, cut([inner], axis, 0, 1)[0]], axis))  # the last gate is never an operand
    xs = flip([*gates, *tape.cotangents], axis)
    scan = AlignedScan(combine.program, tuple(range(len(xs))), tuple(dtypes.name_of(x.dtype) for x in xs))
    ys = aligned.run(scan, xs, axis, len(shape))
    return flip(ys[len(gates) :], axis), []


@attrs.frozen
class LinearMaps:
    """The operator of sparse affine maps g -> J g + w: its pattern and its program."""

    pairs: tuple[tuple[int, int], ...]
    program: Program


@lru_cache(maxsize=256)
def _blocks(program: Program) -> tuple[tuple[tuple[int, int], ...], Program, LinearMaps] | None:
    """The Jacobian's pattern and program and the maps' operator, or ``None`` if blocks are too large."""
    pairs, entries = jacobian(program)
    lanes = [leaf.dtype for i in differentiable(program.outputs) for leaf in [program.outputs[i]] for _ in range(leaf.lanes)]
    pattern = _closed(set(pairs))
    if any(len(block) > MAX_BLOCK for block in _components(pattern, len(lanes))) or len(set(lanes)) > 1:
        return None
    return pairs, entries, LinearMaps(tuple(sorted(pattern)), _maps(sorted(pattern), lanes))


def _closed(pattern: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The pattern of all products of such matrices."""
    while True:
        grown = pattern | {(i, k) for i, j in pattern for h, k in pattern if j == h}
        if grown == pattern:
            return pattern
        pattern = grown


def _components(pattern: set[tuple[int, int]], lanes: int) -> list[set[int]]:
    """Which lanes are coupled."""
    blocks = [{i} for i in range(lanes)]
    for i, j in pattern:
        joined = next(b for b in blocks if i in b) | next(b for b in blocks if j in b)
        blocks = [b for b in blocks if not b & joined] + [joined]
    return blocks


def _maps(pattern: list[tuple[int, int]], lanes: list[str]) -> Program:
    """(J_r J_l, J_r w_l + w_r), on the entries of the pattern alone."""
    leaves = tuple(Leaf(lanes[i]) for i, _ in pattern) + tuple(Leaf(name) for name in lanes)
    builder = Builder(leaves + leaves)
    terms = [Term(builder, int(ids)) for ids in builder.leaves()]
    left, right = terms[: len(leaves)], terms[len(leaves) :]
    entry_l, entry_r = (dict(zip(pattern, side, strict=False)) for side in (left, right))
    results: list[Term] = []
    for i, k in pattern:
        results.append(_sum([entry_r[i, j] * entry_l[j, k] for j in range(len(lanes)) if (i, j) in entry_r and (j, k) in entry_l], left[0]))
    for i in range(len(lanes)):
        parts = [entry_r[i, j] * left[len(pattern) + j] for j in range(len(lanes)) if (i, j) in entry_r]
        results.append(_sum([*parts, right[len(pattern) + i]], left[0]))
    return Program(builder.inputs, leaves, tuple(builder.code), tuple(term.number for term in results), len(leaves))


def _sum(parts: list[Term], like: Term) -> Term:
    if not parts:
        return like.const(0)
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def jvp(scan: AlignedScan) -> AlignedScan:
    """The scan of values and tangents together: ``combine`` on dual numbers.

    Its arrays are the scan's with their tangents behind them, group by group; its results
    are the scan's results and then the tangents of the differentiable ones.
    """
    program = forward(scan.program)
    k, live = scan.program.arity, differentiable(scan.state)
    live_captures = differentiable(scan.program.captures)
    c = len(scan.program.captures)
    base, tangents = list(range(2 * k + c)), list(range(2 * k + c, 2 * k + c + 2 * len(live) + len(live_captures)))
    left = base[:k] + tangents[: len(live)]
    right = base[k : 2 * k] + tangents[len(live) : 2 * len(live)]
    captures = base[2 * k :] + tangents[2 * len(live) :]
    wanted = [i for i in scan.emit if i in live]
    emit = scan.emit + tuple(k + live.index(i) for i in wanted)
    names = scan.results + tuple(scan.results[scan.emit.index(i)] for i in wanted) if scan.want_results else ()
    zeros = tuple(0 for i in live for _ in range(scan.state[i].lanes))
    return attrs.evolve(
        scan,
        program=_reordered(program, [*left, *right, *captures], k + len(live)),
        emit=emit,
        results=names,
        identity=None if scan.identity is None else scan.identity + zeros,
        strategy=_general(scan.strategy),
    )


def _reordered(program: Program, order: list[int], arity: int) -> Program:
    """The program with its input leaves in another order."""
    numbers: dict[int, int] = {}
    for leaf in order:
        for lane in program.input_lanes[leaf]:
            numbers[lane] = len(numbers)
    for number in range(program.num_lanes, len(program.dtypes)):
        numbers[number] = number
    code = tuple(attrs.evolve(instr, args=tuple(numbers[a] for a in instr.args)) for instr in program.code)
    inputs = tuple(program.inputs[i] for i in order)
    return Program(inputs, program.outputs, code, tuple(numbers[v] for v in program.results), arity)
