"""The adjoint of a fold that makes its states again, and sums what was spread out as it goes.

States are kept at a few steps alone, and made again from there, a stretch at a time, on the way back. So no array holds
them, and the cotangents of what all steps, columns or rows share (captured and fixed inputs, leaves that are broadcast)
are summed in the loop: memory is that of inputs and outputs.

Source: Griewank and Walther, *Evaluating Derivatives* (SIAM, 2008), chapter 12; Gu and Dao (2023), section 3.3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.cache import PROGRAMS
from monoscan.lowering.gradient import adjoint, by_arrays, ruled
from monoscan.lowering.gradient.asked import asked_of
from monoscan.lowering.gradient.ran import Cotangents, Ran
from monoscan.lowering.gradient.steady import Steady
from monoscan.lowering.gradient.steps import started, stepped
from monoscan.lowering.gradient.transforms import portable
from monoscan.lowering.gradient.walk_back import WalkBack
from monoscan.lowering.plan import aligned
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.program.recomputed import Parts, taken_apart
from monoscan.lowering.strategies.slices import Leaves, spread


@attrs.frozen(cache_hash=True)
class Recomputed(WalkBack):
    """What a walk computes that makes states again: of the first state, where one is given, it reads the leaves `states`.

    Args:
        scan: The scan.
        seeded: Whether a first state is given.
        steady: Where some captured arrays are elements of one step, the scan of which these are.
    """

    scan: AlignedScan
    seeded: bool
    steady: Steady | None = None

    @property
    def program(self) -> Program:
        """The step."""
        return self.scan.scalar

    @property
    def states(self) -> tuple[int, ...]:
        """The leaves of the state that are made again: those that derivatives read, and what these need."""
        return _made_again(self.program, self.live, self.gradients, self.captured)

    @property
    def _back(self) -> Program:
        return _back(self.program, self.live, self.gradients, self.captured)

    @property
    def parts(self) -> Parts:
        """The step ahead and back."""
        return taken_apart(self.program.select(self.states), self._back)

    @property
    def first(self) -> Parts | None:
        """The same of the first element, where it begins the state by a program."""
        begin = self.scan.begun
        if begin is None:
            return None
        return taken_apart(begin.select(self.states), started(begin, self.live, self.gradients, self.captured))

    @property
    def programs(self) -> tuple[Program, ...]:
        """All that runs."""
        return tuple(p for each in (self.parts, self.first) if each is not None for p in (each.ahead, each.back))

    @property
    def outputs(self) -> tuple[Leaf, ...]:
        """The types of cotangents, as they are computed."""
        element, captures = self.program.elements, self.program.captures
        return (*(element[i] for i in self.gradients), *(captures[i] for i in self.captured))


def _back(program: Program, live: tuple[int, ...], gradients: tuple[int, ...], captured: tuple[int, ...]) -> Program:
    step = stepped(program, live, gradients, captured)
    assert isinstance(step, Program), "programs of scalars have no other"
    return step


@PROGRAMS.memoised
def _made_again(
    program: Program, live: tuple[int, ...], gradients: tuple[int, ...], captured: tuple[int, ...]
) -> tuple[int, ...]:
    back = _back(program, live, gradients, captured)
    return program.carried(frozenset[int]().union(*(left for left, _ in back.reads)))


Run = Callable[[Recomputed, Arrays, int, int], Leaves]
"""Runs one: ``run(recomputed, arrays, axis, rank)``."""


def posed(
    ran: Ran, cotangents: Cotangents, wanted: Sequence[int], steady: Steady | None = None
) -> tuple[Recomputed, Leaves, list[int]] | None:
    """What is to be computed, its arrays, and which of the scan's arrays each result belongs to; ``None`` for nothing.

    Args:
        ran: The scan.
        cotangents: One for each of its outputs, ``None`` where it is known to be zero.
        wanted: Which of the arrays' cotangents are.
        steady: As in `Recomputed`.
    """
    scan = ran.scan
    elements, captures, init = scan.unpack(ran.arrays)
    asked = asked_of(ran, cotangents, wanted, scan.program)
    if asked is None or not (asked.gradients or asked.captured):
        return None
    k, first = len(elements), len(elements) + len(captures)
    stored = tuple([dtypes.name_of(x.dtype) for x in elements])
    moved = (asked.live, asked.gradients, asked.captured)
    found = Recomputed(*moved, tuple(asked.weights), stored, scan, bool(init), steady)
    states = [init[i].astype(dtypes.by_name(scan.state[i].dtype)) for i in found.states] if init else []
    targets = [*asked.gradients, *(k + i for i in asked.captured), *(first + i for i in asked.live if init)]
    return (
        found,
        [*elements, *asked.weights.values(), *captures, *asked.ends, *states, *scan.bounds(ran.arrays)],
        targets,
    )


def by_array_operations(walk: Recomputed, arrays: Arrays, axis: int, rank: int, mapped: int) -> Leaves:
    """The same by array operations, with this library's rules for its own derivatives.

    Args:
        walk: What is computed.
        arrays: Its arrays.
        axis: The scan axis.
        rank: The number of batch axes.
        mapped: How many of them, at the front, ``mx.vmap`` has put there: nothing is summed along these.
    """
    lead = aligned.full_lead(arrays, rank)[:mapped]
    elements, weights, captures, behind, states = walk.unpack(
        [mx.broadcast_to(x, lead + x.shape[mapped:]) for x in arrays]
    )
    scan, first = walk.scan, _first_state(walk, states, rank)
    names = [*walk.gradients, *(len(elements) + i for i in walk.captured)]
    shared = [*elements, *captures]
    # Nothing is summed that was not spread out: a first state gets its cotangents in full.
    full = aligned.full_lead([*shared, *first], rank)
    seeds = [mx.broadcast_to(x, (*full[:axis], 1, *full[axis + 1 :], *x.shape[rank:])) for x in first]
    if walk.steady is not None:  # whose elements have products, by which trees run
        scan, names = walk.steady.scan, walk.steady.given(names)
        shared = walk.steady.returned(shared)
        shared[: scan.program.rights] = spread(shared[: scan.program.rights], axis)
    scan = attrs.evolve(scan, want_carry=True)
    ran = Ran(scan, [*shared, *seeds], portable(scan, [*shared, *first], axis, rank), axis, rank)
    given = dict(zip(walk.weights, weights, strict=True))
    last = dict(zip(walk.live, (x.squeeze(axis) for x in behind), strict=True))
    cotangents = [given.get(i) for i in scan.shown] if scan.want_results else []
    cotangents += [last.get(i) for i in range(len(walk.program.outputs))]

    def backward(step: adjoint.Adjoint, operands: Arrays, axis: int, rank: int) -> Leaves:
        return by_arrays.backward(step, operands, axis, rank, ruled.run)

    starts = [len(shared) + i for i in walk.live] if walk.seeded else []
    found = adjoint.vjp(ran, cotangents, backward, portable, [*names, *starts])
    taken = [mx.zeros_like(ran.arrays[i]) if (d := found[i]) is None else d for i in [*names, *starts]]
    timed = len(walk.gradients)
    totals = [d if walk.steady is None else d.sum(axis, keepdims=True) for d in taken[timed : len(names)]]
    return [*taken[:timed], *totals, *(d.squeeze(axis) for d in taken[len(names) :])]


def _first_state(walk: Recomputed, states: Arrays, rank: int) -> Leaves:
    """All leaves of the first state, if there is one, zeros for those that nothing reads."""
    if not walk.seeded:
        return []
    known, one = dict(zip(walk.states, states, strict=True)), (1,) * rank
    rows = enumerate(walk.program.outputs)
    return [known.get(i, mx.zeros(one + leaf.shape, dtypes.by_name(leaf.dtype))) for i, leaf in rows]
