"""The adjoint that makes states again, on the CPU: which gradients it is for, and its loop."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.cache import COMPILED
from monoscan.lowering.gradient.ran import Cotangents, Ran, shown_exactly
from monoscan.lowering.gradient.recomputed import Recomputed, by_array_operations, posed
from monoscan.lowering.gradient.steady import Steady
from monoscan.lowering.plan import aligned, shapeless
from monoscan.lowering.program.ir import Program, Shape
from monoscan.lowering.program.numbers import table
from monoscan.lowering.render.recomputed import render_recomputed
from monoscan.lowering.render.recomputed_spec import RecomputedSpec, can_recompute
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.by_function import FunctionRules
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cpu.kernels import compile_kernel
from monoscan.lowering.targets.cpu.launches import of_kernel
from monoscan.lowering.targets.cpu.patience import waiting
from monoscan.lowering.targets.cpu.registers import flush, vector_bytes


def _rules(walk: Recomputed, rank: int) -> FunctionRules:
    """How MLX differentiates the loop itself; ``mx.vmap`` puts more batch axes in front of those that it was made for."""
    return FunctionRules(lambda arrays, axis, now: by_array_operations(walk, arrays, axis, now, now - rank))


def vjp(
    ran: Ran, cotangents: Cotangents, asked: Sequence[int], steady: Steady | None = None
) -> list[mx.array | None] | None:
    """The cotangents of a scan's arrays by this loop; ``None`` where it is not the one for them.

    Args:
        ran: The scan.
        cotangents: One for each of its outputs, ``None`` where it is known to be zero.
        asked: Which of the arrays' cotangents are wanted.
        steady: As in `Recomputed`.
    """
    if not _fits(ran):
        return None
    rows = None if ran.scan.bounded else _rows(ran, asked)  # rows that have sequences of their own stay rows
    return _vjp(ran, cotangents, asked, steady) if rows is None else _by_columns(ran, cotangents, asked, rows, steady)


def _vjp(ran: Ran, cotangents: Cotangents, asked: Sequence[int], steady: Steady | None) -> list[mx.array | None] | None:
    found = posed(ran, cotangents, asked, steady)
    if found is None:
        return None
    walk, arrays, targets = found
    spec = _spec(walk, arrays, ran)
    if not _pays(ran, spec):
        return None
    try:
        (launch,) = COMPILED.get((spec, ran.axis, ran.rank), lambda: (_launch(spec, ran.axis, ran.rank),))
    except BridgeUnavailable:  # said and remembered where it failed
        return None
    if launch is None:
        return None
    result: list[mx.array | None] = [None] * len(ran.arrays)
    first = ran.scan.program.rights + len(ran.scan.program.captures)
    for target, d in zip(targets, launch(arrays), strict=True):
        whole = d if target < first or ran.scan.offsets else mx.expand_dims(d, ran.axis)
        result[target] = _given(whole, ran, target) if target >= first else d
    return [d if d is None else d.astype(x.dtype) for d, x in zip(result, ran.arrays, strict=True)]


def _by_columns(
    ran: Ran, cotangents: Cotangents, asked: Sequence[int], rows: int, steady: Steady | None
) -> list[mx.array | None] | None:
    """The same where rows stand as columns: their axis comes last."""
    last = ran.rank - 1
    results = len(ran.scan.shown) if ran.scan.want_results else 0
    ends = [last] * results + [last - 1] * (len(cotangents) - results)  # a carry has no scan axis
    arrays = [mx.moveaxis(x, rows, last) for x in ran.arrays]
    outputs = [mx.moveaxis(y, rows, end) for y, end in zip(ran.outputs, ends, strict=True)]
    moved = attrs.evolve(ran, arrays=arrays, outputs=outputs, axis=ran.axis - 1)
    rows_last = [w if w is None else mx.moveaxis(w, rows, end) for w, end in zip(cotangents, ends, strict=True)]
    found = _vjp(moved, rows_last, asked, steady)
    return None if found is None else [d if d is None else mx.moveaxis(d, last, rows) for d in found]


def _given(d: mx.array, ran: Ran, target: int) -> mx.array:
    return shapeless.sum_to(d, ran.arrays[target], ran.rank)


def _fits(ran: Ran) -> bool:
    """Whether the loop computes anything of the kind."""
    scan = ran.scan
    if shapeless.tracing() or not isinstance(scan.program, Program) or not scan.inclusive:
        return False
    return 0 not in _lead(ran)


def _pays(ran: Ran, spec: RecomputedSpec) -> bool:
    """Whether the other loop would hold more than this one: what all steps share, or rows, or states."""
    if spec.scalar:  # one step waits for another: to make states again takes as long as to walk back
        program = spec.walk.program
        captured = sum(program.captures[i].lanes for i in spec.walk.captured)
        return captured > sum(leaf.lanes for leaf in program.elements)
    return any(spec.summed) or _wide_states(ran, spec.walk)


def _rows(ran: Ran, asked: Sequence[int]) -> int | None:
    """The batch axis in front of the scan axis that had better be behind it; ``None`` if none had.

    That copies elements, so it pays where cotangents of captured arrays would take more, a step of a row (measured).
    """
    program, axis = ran.scan.scalar, ran.axis
    lead, few = _lead(ran), vector_bytes() // 8
    longest = max(range(axis), key=lambda i: lead[i], default=axis)
    captured = sum(leaf.lanes for i, leaf in enumerate(program.captures, program.rights) if i in asked)
    pays = captured > sum(leaf.lanes for leaf in program.elements)
    return longest if pays and axis > 0 and lead[longest] >= few > columns_of(ran, lead) else None


def _lead(ran: Ran) -> Shape:
    return aligned.lead_of(ran.arrays, ran.scan.program.rights, ran.axis, ran.rank)


def columns_of(ran: Ran, lead: Shape) -> int:
    """How many columns lie side by side: those of the last axis, and of others along which all arrays go on as there."""
    elements, captures, _ = ran.scan.unpack(ran.arrays)
    shapes = [x.shape for x in (*elements, *captures)]
    axes = [i for i in range(ran.axis + 1, ran.rank) if lead[i] != 1]
    if ran.scan.lengths and axes and ran.scan.bounds(ran.arrays)[0].shape[axes[-1]] != 1:
        return 0  # each column ends where it will
    joined = [i for i in axes if all((shape[i] == 1) == (shape[axes[-1]] == 1) for shape in shapes)]
    others = [i for i in axes if i not in joined]
    return prod(lead[i] for i in joined if i > max(others, default=-1))


def _wide_states(ran: Ran, walk: Recomputed) -> bool:
    """Whether derivatives read states that outputs do not hold, and for which gradients have no room.

    Where they have, the other loop is as fast or faster (measured: folds of Affine and LogSumExp, 1 to 2 times).
    """
    made = sum(ran.scan.state[i].lanes for i in walk.states if shown_exactly(ran.scan, i) is None)
    return made > sum(ran.scan.program.elements[i].lanes for i in walk.gradients)


def _spec(walk: Recomputed, arrays: Leaves, ran: Ran) -> RecomputedSpec:
    lead, axis = _lead(ran), ran.axis
    elements, captures, _ = ran.scan.unpack(ran.arrays)
    shared = [tuple(x.shape[: ran.rank]) for x in (*elements, *captures)]
    vectors = columns_of(ran, lead) >= vector_bytes() // 8
    inner = max((i for i in range(axis + 1, len(lead)) if lead[i] != 1), default=axis) if vectors else axis
    outer = [i for i in range(len(lead)) if i not in (inner, axis) and lead[i] != 1]
    k = len(elements)
    return RecomputedSpec(
        walk,
        weights=tuple(dtypes.name_of(x.dtype) for x in arrays[k : k + len(walk.weights)]),
        captures=tuple(dtypes.name_of(x.dtype) for x in captures),
        alike=tuple(vectors and shape[inner] == 1 for shape in shared),
        spread=tuple(any(shape[i] == 1 for i in outer) for shape in shared),
        vector_bytes=vector_bytes() if vectors else 0,
        flush=flush(),
    )


def _launch(spec: RecomputedSpec, axis: int, rank: int) -> Launch | None:
    """The launch of the loop; ``None`` where there can be none."""
    if not can_recompute(spec):
        return None
    walk = spec.walk
    with waiting("the kernel of a gradient"):
        kernel = compile_kernel(render_recomputed(spec))
    state, program = walk.program.outputs, walk.program
    elements = [leaf.shape for leaf in program.elements] + [state[i].shape for i in walk.weights]
    inits = [*walk.live, *(walk.states if walk.seeded else ())]
    return of_kernel(
        "monoscan_adjoint",
        kernel,
        axis,
        rank,
        elements,
        [leaf.shape for leaf in program.captures],
        [state[i].shape for i in inits],
        lengths=walk.scan.lengths,
        offsets=walk.scan.offsets,
        outputs=spec.outputs,
        carries=[state[i] for i in walk.live] if walk.seeded else [],
        donors=_donors(spec),
        likes=walk.likes,
        numbers=b"".join(map(table, walk.programs)),
        rules=_rules(walk, rank),
        label="the gradient of a scan",
    )


def _donors(spec: RecomputedSpec) -> list[int]:
    """For each output the cotangents whose buffer it may take, or -1: they are read before it is written."""
    walk, state = spec.walk, spec.walk.program.outputs
    rows = enumerate(zip(walk.weights, spec.weights, strict=True), len(walk.stored))
    free = [(n, name, state[i].shape) for n, (i, name) in rows]
    donors = []
    for leaf, summed in zip(spec.outputs, spec.summed, strict=True):
        fits = [] if summed else [each for each in free if each[1:] == (leaf.dtype, leaf.shape)]
        donors.append(fits[0][0] if fits else -1)
        free = [each for each in free if each not in fits[:1]]
    return donors
