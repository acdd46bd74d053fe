"""The gradient of an act on wide states that its first element begins: that of the act from there, and then of what begins it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.cache import PROGRAMS
from monoscan.lowering.gradient.ran import Cotangents, Ran
from monoscan.lowering.plan import shapeless
from monoscan.lowering.program.array_derivative import reverse_arrays
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.derivative import differentiable
from monoscan.lowering.program.interpret_arrays import evaluate_arrays
from monoscan.lowering.strategies.slices import Leaves, cut

Pull = Callable[[Ran, Cotangents, Sequence[int]], Sequence[mx.array | None]]
"""The cotangents of the arrays of a scan that has an init, those that are asked for."""


def vjp(ran: Ran, cotangents: Cotangents, asked: Sequence[int], pull: Pull) -> list[mx.array | None]:
    """The cotangents of the arrays that an act read, of which the first element begins the state.

    Args:
        ran: The act.
        cotangents: One for each of its outputs, ``None`` where it is known to be zero.
        asked: Which of the arrays' cotangents are wanted.
        pull: How to find those of the act from its first state on.
    """
    shapeless.refuse("This derivative")
    scan, axis = ran.scan, ran.axis
    elements, captures, _ = scan.unpack(ran.arrays)
    assert isinstance(scan.begin, ArrayProgram), "scalar programs have adjoints of their own"
    begin = _Begin(scan.begin, [*_ends(elements, ran, first=True), *captures], ran.rank)
    state = begin.state(*begin.arrays)
    number, inputs = len(scan.shown), len(ran.arrays)
    rest = Ran(
        attrs.evolve(scan, begin=None),
        [*_ends(elements, ran, first=False), *captures, *state],
        [*_ends(ran.outputs[:number], ran, first=False), *ran.outputs[number:]],
        axis,
        ran.rank,
    )
    later = [None if w is None else _ends([w], ran, first=False)[0] for w in cotangents[:number]]
    found = pull(rest, [*later, *cotangents[number:]], [*asked, *range(inputs, inputs + len(state))])
    of_state = list(found[inputs:])
    for leaf, w in zip(scan.shown, cotangents, strict=False):
        if w is not None:
            here = shapeless.sum_to(_ends([w], ran, first=True)[0], state[leaf], ran.rank).astype(state[leaf].dtype)
            before = of_state[leaf]
            of_state[leaf] = here if before is None else before + here
    result: list[mx.array | None] = [None] * inputs
    for i, here in zip(asked, begin.pulled(of_state, asked), strict=True):
        result[i] = _joined(here, found[i], ran, ran.arrays[i]) if i < len(elements) else _sum(here, found[i])
    return result


@attrs.frozen(eq=False)
class _Begin:
    """What begins a state.

    Args:
        program: As a program.
        arrays: The first element and the captured arrays.
        rank: The number of batch axes.
    """

    program: ArrayProgram
    arrays: Sequence[mx.array]
    rank: int

    def state(self, *arrays: mx.array) -> Leaves:
        """The state that these begin."""
        return evaluate_arrays(self.program, self.typed(arrays))

    def typed(self, arrays: Sequence[mx.array]) -> Leaves:
        """The arrays in the dtypes that it computes with."""
        rows = zip(arrays, self.program.inputs, strict=True)
        return [x.astype(dtypes.by_name(leaf.dtype)) for x, leaf in rows]

    def pulled(self, cotangents: Cotangents, asked: Sequence[int]) -> Leaves:
        """The cotangents of some of the arrays, of those of the state."""
        program, rights = self.program, self.program.rights
        live = tuple(i for i in differentiable(program.outputs) if cotangents[i] is not None)
        gradients = tuple(i for i in differentiable(program.elements) if i in asked)
        captured = tuple(i for i in differentiable(program.captures) if rights + i in asked)
        result = {i: mx.zeros_like(self.arrays[i]) for i in asked}
        if live and (gradients or captured):
            given = [
                w.astype(dtypes.by_name(program.outputs[i].dtype)) for i in live if (w := cotangents[i]) is not None
            ]
            found = evaluate_arrays(_reversed(program, live, gradients, captured), [*self.typed(self.arrays), *given])
            for i, d in zip([*gradients, *(rights + i for i in captured)], found, strict=True):
                like = self.arrays[i]
                result[i] = mx.broadcast_to(shapeless.sum_to(d, like, self.rank), like.shape).astype(like.dtype)
        return [result[i] for i in asked]


@PROGRAMS.memoised
def _reversed(
    begin: ArrayProgram, live: tuple[int, ...], gradients: tuple[int, ...], captured: tuple[int, ...]
) -> ArrayProgram:
    """The cotangents of what a state begins from, of those of its leaves."""
    right = differentiable(begin.elements)
    kept = [right.index(i) for i in gradients]
    kept += [len(right) + differentiable(begin.captures).index(i) for i in captured]
    return reverse_arrays(begin, live).select(kept)


def _ends(arrays: Sequence[mx.array], ran: Ran, *, first: bool) -> Leaves:
    """What arrays hold of the first step of the fold, or of all others; what is the same at every step as it is."""
    found = []
    for x in arrays:
        n, begins = x.shape[ran.axis], first != ran.scan.reverse  # whether they are those that memory begins with
        apart = 1 if not ran.scan.reverse else n - 1
        found += [x] if n == 1 else cut([x], ran.axis, *((0, apart) if begins else (apart, n)))
    return found


def _joined(here: mx.array, later: mx.array | None, ran: Ran, like: mx.array) -> mx.array:
    """The cotangents of the first element and of all others as one."""
    if like.shape[ran.axis] == 1:
        return _sum(here, later)
    n = like.shape[ran.axis]
    if later is None:
        later = mx.zeros((*like.shape[: ran.axis], n - 1, *like.shape[ran.axis + 1 :]), like.dtype)
    return mx.concatenate([later, here] if ran.scan.reverse else [here, later], ran.axis)


def _sum(here: mx.array, later: mx.array | None) -> mx.array:
    return here if later is None else here + later
