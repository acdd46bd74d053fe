"""The adjoint of an act on wide states that makes its states again, as `recomputed` is of few lanes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.gradient.asked import asked_of
from monoscan.lowering.gradient.begun import Pull
from monoscan.lowering.gradient.ran import Cotangents, Ran, Rescan, shown_exactly
from monoscan.lowering.gradient.steps import reads_of, stepped
from monoscan.lowering.gradient.walk_back import WalkBack
from monoscan.lowering.plan import aligned
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.log_factors import factored
from monoscan.lowering.strategies.slices import Leaves


@attrs.frozen(cache_hash=True)
class RecomputedArrays(WalkBack):
    """What such a walk computes, from a first state of which it reads the leaves `states`.

    Args:
        program: The step.
        reverse: Whether the fold starts at the last element.
        inclusive: Whether results include their own element.
    """

    program: ArrayProgram
    reverse: bool
    inclusive: bool

    @property
    def back(self) -> ArrayProgram:
        """The cotangents of one step's operands."""
        step = stepped(self.program, self.live, self.gradients, self.captured)
        assert isinstance(step, ArrayProgram), "made of one"
        return step

    @property
    def lefts(self) -> tuple[int, ...]:
        """The leaves of the state that derivatives read."""
        return reads_of(self.back)[0]

    @property
    def states(self) -> tuple[int, ...]:
        """Those that are made again: what these need."""
        return self.program.carried(self.lefts)

    @property
    def ahead(self) -> ArrayProgram:
        """The step of these."""
        return factored(self.program.select(self.states))


def posed(ran: Ran, cotangents: Cotangents, wanted: Sequence[int]) -> tuple[RecomputedArrays, Leaves, list[int]] | None:
    """What is to be computed, its arrays, and which of the act's arrays each result belongs to; ``None`` where states are there.

    Args:
        ran: The act, from a first state on.
        cotangents: One for each of its outputs, ``None`` where it is known to be zero.
        wanted: Which of the arrays' cotangents are.
    """
    scan, program = ran.scan, ran.scan.program
    assert isinstance(program, ArrayProgram), "others have a walk of their own"
    asked = asked_of(ran, cotangents, wanted, program)
    if asked is None or not (asked.gradients or asked.captured):
        return None
    elements, captures, init = scan.unpack(ran.arrays)
    stored = tuple([dtypes.name_of(x.dtype) for x in elements])
    moved = (asked.live, asked.gradients, asked.captured)
    found = RecomputedArrays(*moved, tuple(asked.weights), stored, program, scan.reverse, scan.inclusive)
    if not _pays(ran, found):
        return None
    states = [init[i].astype(dtypes.by_name(scan.state[i].dtype)) for i in found.states]
    first = len(elements) + len(captures)
    targets = [*asked.gradients, *(len(elements) + i for i in asked.captured), *(first + i for i in asked.live)]
    return found, [*elements, *asked.weights.values(), *captures, *asked.ends, *states], targets


def _pays(ran: Ran, walk: RecomputedArrays) -> bool:
    """Whether states that no output holds would take more memory than what goes in, or cotangents that are summed would."""
    elements, _, _ = ran.scan.unpack(ran.arrays)
    lead = aligned.lead_of(ran.arrays, ran.scan.program.rights, ran.axis, ran.rank)
    held = sum(ran.scan.state[i].lanes for i in walk.lefts if shown_exactly(ran.scan, i) is None)
    spread = sum(ran.scan.program.elements[i].lanes for i in walk.gradients if elements[i].shape[: ran.rank] != lead)
    return prod(lead) * (held + spread) > sum(x.size for x in elements)


def by_states(
    scan: AlignedScan,
    walk: RecomputedArrays,
    arrays: Arrays,
    axis: int,
    rank: int,
    mapped: int,
    pull: Pull,
    rescan: Rescan,
) -> Leaves:
    """The same from states that another scan makes, which MLX differentiates further.

    Args:
        scan: The act.
        walk: What is computed.
        arrays: Its arrays.
        axis: The scan axis.
        rank: The number of batch axes.
        mapped: How many of them, at the front, ``mx.vmap`` has put there: nothing is summed along these.
        pull: How to find the cotangents of an act whose states are held.
        rescan: How to run the act.
    """
    full = aligned.full_lead(arrays, rank)
    elements, weights, captures, behind, states = walk.unpack(
        [mx.broadcast_to(x, full[:mapped] + x.shape[mapped:]) for x in arrays]
    )
    scan = attrs.evolve(scan, want_carry=True)
    known, one = dict(zip(walk.states, states, strict=True)), (*full[:axis], 1, *full[axis + 1 :])
    init = [
        mx.broadcast_to(known.get(i, mx.zeros((), dtypes.by_name(leaf.dtype))), one + leaf.shape)
        for i, leaf in enumerate(scan.state)
    ]
    inputs = [*elements, *captures, *init]
    given, last = dict(zip(walk.weights, weights, strict=True)), dict(zip(walk.live, behind, strict=True))
    cotangents = [given.get(i) for i in scan.shown]
    cotangents += [None if (w := last.get(i)) is None else w.squeeze(axis) for i in range(len(scan.state))]
    first = len(elements) + len(captures)
    wanted = [*walk.gradients, *(len(elements) + i for i in walk.captured), *(first + i for i in walk.live)]
    found = pull(Ran(scan, inputs, rescan(scan, inputs, axis, rank), axis, rank), cotangents, wanted)
    taken = [mx.zeros_like(inputs[i]) if (d := found[i]) is None else d for i in wanted]
    number = len(walk.gradients) + len(walk.captured)
    return [*taken[:number], *(d.squeeze(axis) for d in taken[number:])]
