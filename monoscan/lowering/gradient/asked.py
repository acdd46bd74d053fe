"""What is asked of a gradient: whose cotangents there are, and whose are wanted."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan.lowering.gradient.ran import Cotangents, Ran, ends, placed, reached_leaves
from monoscan.lowering.gradient.steps import heard_leaves, live_leaves
from monoscan.lowering.plan import aligned
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.derivative import differentiable
from monoscan.lowering.program.ir import Program
from monoscan.lowering.strategies.slices import Leaves


@attrs.frozen(eq=False)
class Asked:
    """Which leaves a walk back is about.

    Args:
        live: The leaves of the state whose cotangents are not zero throughout.
        gradients: The leaves of the elements that get a cotangent.
        captured: The captured arrays that get one.
        weights: The cotangents of results, by leaf.
        ends: Those of the carry, for all live leaves, with a scan axis of length 1.
    """

    live: tuple[int, ...]
    gradients: tuple[int, ...]
    captured: tuple[int, ...]
    weights: dict[int, mx.array]
    ends: Leaves


def asked_of(ran: Ran, cotangents: Cotangents, wanted: Sequence[int], program: Program | ArrayProgram) -> Asked | None:
    """What is asked; ``None`` where all cotangents are zero.

    Args:
        ran: The scan.
        cotangents: One for each of its outputs, ``None`` where it is known to be zero.
        wanted: Which of the arrays' cotangents are.
        program: Its step.
    """
    scan = ran.scan
    elements, captures, init = scan.unpack(ran.arrays)
    k, first = len(elements), len(elements) + len(captures)
    live = live_leaves(program, reached_leaves(scan, cotangents))
    gradients = tuple(i for i in differentiable(program.elements) if i in wanted)
    captured = tuple(i for i in differentiable(program.captures) if k + i in wanted)
    starts = tuple(i for i in live if first + i in wanted) if init else ()
    live = heard_leaves(program, live, gradients, captured, starts, scan.begun)
    if not live:
        return None
    lead = aligned.lead_of(ran.arrays, k, ran.axis, ran.rank)
    given = dict(zip(scan.shown, cotangents, strict=False))
    weights = {i: placed(w, lead) for i in live if (w := given.get(i)) is not None}
    return Asked(live, gradients, captured, weights, ends(ran, live, cotangents, lead))
