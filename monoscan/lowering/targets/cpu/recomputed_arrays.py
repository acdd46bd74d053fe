"""The adjoint of wide states that makes them again, on the CPU: which gradients it is for, and its loop."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from monoscan import dtypes
from monoscan.cache import COMPILED
from monoscan.lowering.gradient.begun import Pull
from monoscan.lowering.gradient.ran import Cotangents, Ran, Rescan
from monoscan.lowering.gradient.recomputed_arrays import RecomputedArrays, by_states, posed
from monoscan.lowering.plan import aligned, shapeless
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.numbers import table
from monoscan.lowering.render.rolled_recomputed import RolledRecomputedSpec, can_render, render_rolled_recomputed
from monoscan.lowering.render.rolled_spec import vectors_of
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.strategies.slices import Leaves
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.by_function import FunctionRules
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cpu.kernels import compile_kernel
from monoscan.lowering.targets.cpu.launches import of_kernel
from monoscan.lowering.targets.cpu.patience import waiting
from monoscan.lowering.targets.cpu.recomputed import columns_of
from monoscan.lowering.targets.cpu.registers import flush, vector_bytes


def vjp(
    ran: Ran, cotangents: Cotangents, asked: Sequence[int], pull: Pull, rescan: Rescan
) -> list[mx.array | None] | None:
    """The cotangents of an act's arrays by this loop; ``None`` where it is not the one for them.

    Args:
        ran: The act.
        cotangents: One for each of its outputs, ``None`` where it is known to be zero.
        asked: Which of the arrays' cotangents are wanted.
        pull: How to find those of an act whose states are held.
        rescan: How to run the act.
    """
    if not _fits(ran):
        return None
    found = posed(ran, cotangents, asked)
    if found is None:
        return None
    walk, arrays, targets = found
    spec = _spec(walk, arrays, ran)
    key = (spec, ran.scan, ran.axis, ran.rank)
    try:
        (launch,) = COMPILED.get(key, lambda: (_launch(spec, ran, pull, rescan),))
    except BridgeUnavailable:  # said and remembered where it failed
        return None
    if launch is None:
        return None
    result: list[mx.array | None] = [None] * len(ran.arrays)
    first = ran.scan.program.rights + len(ran.scan.program.captures)
    for target, d in zip(targets, launch(arrays), strict=True):
        own = shapeless.sum_to(mx.expand_dims(d, ran.axis), ran.arrays[target], ran.rank) if target >= first else d
        result[target] = own.astype(ran.arrays[target].dtype)
    return result


def _fits(ran: Ran) -> bool:
    """Whether the loop computes anything of the kind: an act from a first state on, on rows that are one sequence each."""
    scan = ran.scan
    wide = isinstance(scan.program, ArrayProgram) and scan.begin is None
    if not wide or scan.bounded or shapeless.tracing() or not scan.unpack(ran.arrays)[2]:
        return False
    return 0 not in aligned.lead_of(ran.arrays, scan.program.rights, ran.axis, ran.rank)


def _spec(walk: RecomputedArrays, arrays: Leaves, ran: Ran) -> RolledRecomputedSpec:
    lead = aligned.lead_of(ran.arrays, ran.scan.program.rights, ran.axis, ran.rank)
    elements, captures, _ = ran.scan.unpack(ran.arrays)
    columns, bytes_of = columns_of(ran, lead), vector_bytes()
    wide = vectors_of(walk.back, Loop.BATCH, bytes_of).width
    inner = max((i for i in range(ran.axis + 1, len(lead)) if lead[i] != 1), default=ran.axis)
    shapes = [x.shape[: ran.rank] for x in (*elements, *captures)]
    alike = [i for i, shape in enumerate(shapes) if shape[inner] == 1]
    k = len(elements)
    return RolledRecomputedSpec(
        walk,
        weights=tuple(dtypes.name_of(x.dtype) for x in arrays[k : k + len(walk.weights)]),
        captures=tuple(dtypes.name_of(x.dtype) for x in captures),
        summed=tuple(tuple(shapes[i]) != tuple(lead) for i in walk.gradients),
        shared=tuple(alike) if columns and columns % wide == 0 else (),
        vector_bytes=bytes_of,
        flush=flush(),
        loop=Loop.BATCH if 2 * columns >= wide else Loop.EVENTS,
    )


def _launch(spec: RolledRecomputedSpec, ran: Ran, pull: Pull, rescan: Rescan) -> Launch | None:
    """The launch of the loop; ``None`` where there can be none."""
    if not can_render(spec):
        return None
    walk, scan, rank = spec.walk, ran.scan, ran.rank
    with waiting("the kernel of a gradient"):
        kernel = compile_kernel(render_rolled_recomputed(spec))
    state, program = walk.program.outputs, walk.program
    return of_kernel(
        "monoscan_adjoint",
        kernel,
        ran.axis,
        rank,
        [*(leaf.shape for leaf in program.elements), *(state[i].shape for i in walk.weights)],
        [leaf.shape for leaf in program.captures],
        [state[i].shape for i in (*walk.live, *walk.states)],
        outputs=spec.outputs,
        carries=[state[i] for i in walk.live],
        likes=walk.likes,
        numbers=table(walk.back) + table(walk.ahead),
        rules=_rules(scan, walk, rank, pull, rescan),
        label="the gradient of a scan",
    )


def _rules(scan: AlignedScan, walk: RecomputedArrays, rank: int, pull: Pull, rescan: Rescan) -> FunctionRules:
    """How MLX differentiates the loop itself; ``mx.vmap`` puts more batch axes in front of those that it was made for."""

    def function(arrays: Arrays, axis: int, now: int) -> Leaves:
        return by_states(scan, walk, arrays, axis, now, now - rank, pull, rescan)

    return FunctionRules(function)
