"""The adjoint of the fold: gradients of a scan from the derivatives of its step.

With y_t = f(y_{t-1}, x_t), cotangents obey a linear recurrence that runs backwards:
g_t = w_t + J_{t+1} g_{t+1}, where J holds the derivatives of f by its left operand; then
the cotangents of x_t and of captured arrays follow step by step. Nothing here asks f to
be associative.

`Adjoint` says what is computed, `Backward` runs it: by array operations in
`monoscan.lowering.gradient.by_arrays`, as one loop where a device has a kernel.

Source: Griewank and Walther, *Evaluating Derivatives* (SIAM, 2008), section 3.2; Martin
and Cundy (ICLR 2018) for the scalar linear case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.gradient.asked import asked_of
from monoscan.lowering.gradient.ran import Cotangents, Ran, Rescan, fit, states_of
from monoscan.lowering.gradient.steps import reads_of, started, stepped, stepped_boldly
from monoscan.lowering.plan import on_arrays
from monoscan.lowering.plan.aligned import Arrays, in_groups
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.strategies.slices import Leaves


@attrs.frozen(eq=False)
class Operands:
    """The arrays of an adjoint, in this order.

    Args:
        rights: The leaves of the elements that derivatives read.
        lefts: The leaves of the states that they read.
        weights: The cotangents of the results.
        captures: The captured arrays.
        ends: The cotangents of the carry, for all live leaves, with a scan axis of length 1.
        init: Where there is an ``init``, the leaves `lefts` of it, likewise.
    """

    rights: Arrays
    lefts: Arrays
    weights: Arrays
    captures: Arrays
    ends: Arrays
    init: Arrays

    @property
    def flat(self) -> list[mx.array]:
        """All of them."""
        return [*self.rights, *self.lefts, *self.weights, *self.captures, *self.ends, *self.init]


@attrs.frozen(cache_hash=True)
class Adjoint:
    """What a backward pass computes, on the arrays of `Operands`, aligned and in array order.

    It yields a cotangent for each of `gradients` among the leaves of the elements, for each
    of `captured` step by step, and (where `seeded`) for the leaves `live` of ``init``,
    without the scan axis. Of wide elements those of `captured` come last, summed over all
    steps, without the scan axis.

    Args:
        program: The step.
        live: The leaves of the state whose cotangents are not zero throughout.
        gradients: The leaves of the elements that get a cotangent.
        captured: The captured arrays that get one.
        lefts: The leaves of the left operand that derivatives read.
        rights: The leaves of the right operand that they read.
        weights: The leaves of which there are results.
        stored: The dtype of each leaf of the elements.
        seeded: Whether there is an ``init``.
        inclusive: Whether results include their own element.
        shifted: Whether states stand at their own position, so that the one before is read;
            else they stand where they are read.
        reverse: Whether the fold starts at the last element.
        begin: Of an act, the program of the state that the first element begins. Without it, and
            without ``init``, the first element is the first state.
    """

    program: Program | ArrayProgram
    live: tuple[int, ...]
    gradients: tuple[int, ...]
    captured: tuple[int, ...]
    lefts: tuple[int, ...]
    rights: tuple[int, ...]
    weights: tuple[int, ...]
    stored: tuple[str, ...]
    seeded: bool
    inclusive: bool
    shifted: bool
    reverse: bool
    begin: Program | None = None
    lengths: bool = False
    offsets: bool = False

    @property
    def timed(self) -> int:
        """How many of its arrays, the first, have the scan axis."""
        return len(self.rights) + len(self.lefts) + len(self.weights)

    @property
    def scalar(self) -> Program:
        """The program of an operator whose elements have few lanes."""
        assert isinstance(self.program, Program), "array programs have loops of their own"
        return self.program

    @property
    def step(self) -> Program:
        """The cotangents of one step's operands."""
        step = stepped(self.program, self.live, self.gradients, self.captured)
        assert isinstance(step, Program), "array programs have loops of their own"
        return step

    @property
    def bold_step(self) -> Program:
        """The same without a look for zero times infinity: where no result is NaN, the same results."""
        return stepped_boldly(self.scalar, self.live, self.gradients, self.captured)

    @property
    def start(self) -> Program | None:
        """The cotangents of the first element and of captured arrays, from those of the state that it begins."""
        return None if self.begin is None else started(self.begin, self.live, self.gradients, self.captured)

    @property
    def array_step(self) -> ArrayProgram:
        """The same of wide elements."""
        step = stepped(self.program, self.live, self.gradients, self.captured)
        assert isinstance(step, ArrayProgram), "scalar programs have loops of their own"
        return step

    @property
    def outputs(self) -> tuple[Leaf, ...]:
        """The leaves of all that has a scan axis."""
        elements = tuple(Leaf(self.stored[i], self.program.elements[i].shape) for i in self.gradients)
        return elements if self.totals else elements + tuple(self.program.captures[i] for i in self.captured)

    @property
    def totals(self) -> tuple[Leaf, ...]:
        """The leaves of captured arrays whose cotangents are summed over all steps: those of wide elements."""
        wide = isinstance(self.program, ArrayProgram)
        return tuple(self.program.captures[i] for i in self.captured) if wide else ()

    @property
    def last(self) -> tuple[Leaf, ...]:
        """The leaves of what has no scan axis."""
        return tuple(self.program.outputs[i] for i in self.live if self.seeded) + self.totals

    def unpack(self, arrays: Arrays) -> Operands:
        """The arrays by name."""
        sizes = (self.rights, self.lefts, self.weights, self.program.captures, self.live)
        end = len(arrays) - self.lengths - self.offsets
        return Operands(*in_groups(arrays[:end], map(len, sizes)))


Backward = Callable[[Adjoint, Arrays, int, int], Leaves]
"""Runs an adjoint: ``backward(adjoint, arrays, axis, rank)``."""


def vjp(
    ran: Ran,
    cotangents: Cotangents,
    backward: Backward,
    rescan: Rescan = on_arrays.run,
    asked: Sequence[int] | None = None,
) -> list[mx.array | None]:
    """The cotangents of the arrays that a scan read; ``None`` for those without any.

    Args:
        ran: The scan.
        cotangents: One for each of its outputs, ``None`` where it is known to be zero.
        backward: How to run the adjoint.
        rescan: How to run the scan again where its outputs do not hold the states needed.
        asked: Which of the arrays' cotangents are wanted. Default: all.
    """
    scan, result = ran.scan, list[mx.array | None]([None] * len(ran.arrays))
    found = _posed(ran, cotangents, rescan, range(len(ran.arrays)) if asked is None else asked)
    if found is None:
        return result
    adjoint, operands = found
    k, init = scan.program.rights, len(scan.program.captures) + scan.program.rights
    held, starts = [k + i for i in adjoint.captured], [init + i for i in adjoint.live if adjoint.seeded]
    targets = [*adjoint.gradients, *starts, *held] if adjoint.totals else [*adjoint.gradients, *held, *starts]
    yielded = backward(adjoint, [*operands.flat, *scan.bounds(ran.arrays)], ran.axis, ran.rank)
    for number, (target, d) in enumerate(zip(targets, yielded, strict=True)):
        d = mx.expand_dims(d, ran.axis) if number >= len(adjoint.outputs) and not scan.offsets else d
        result[target] = fit(d, ran.arrays[target], ran.rank)
    return result


def _posed(ran: Ran, cotangents: Cotangents, rescan: Rescan, wanted: Sequence[int]) -> tuple[Adjoint, Operands] | None:
    """What is to be computed, and of which arrays; ``None`` where all cotangents are zero."""
    scan = ran.scan
    elements, captures, init = scan.unpack(ran.arrays)
    program = scan.rolled or scan.program
    asked = asked_of(ran, cotangents, wanted, program)
    if asked is None:
        return None
    moved = (asked.live, asked.gradients, asked.captured)
    start = None if scan.begun is None else started(scan.begun, *moved)
    lefts, rights = reads_of(stepped(program, *moved), start)
    states, shifted = states_of(ran, lefts, rescan)
    rights = rights if rights or lefts or asked.weights else (0,)  # something must say how long the axis is
    adjoint = Adjoint(
        program,
        *moved,
        lefts=lefts,
        rights=rights,
        weights=tuple(asked.weights),
        stored=tuple([dtypes.name_of(x.dtype) for x in elements]),
        seeded=bool(init),
        inclusive=scan.inclusive,
        shifted=shifted,
        reverse=scan.reverse,
        begin=scan.begun,
        lengths=scan.lengths,
        offsets=scan.offsets,
    )
    operands = Operands(
        rights=[elements[i] for i in rights],
        lefts=states,
        weights=list(asked.weights.values()),
        captures=captures,
        ends=asked.ends,
        init=[init[i] for i in lefts] if init else [],
    )
    return adjoint, operands
