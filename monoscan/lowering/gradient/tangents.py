"""Tangents of a scan: the scan of values and tangents together, whose step is the step on dual numbers.

Source: Griewank and Walther, *Evaluating Derivatives* (SIAM, 2008), section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan.cache import PROGRAMS
from monoscan.lowering.gradient.ran import general
from monoscan.lowering.plan.aligned import AlignedScan, Arrays
from monoscan.lowering.program.derivative import differentiable, forward
from monoscan.lowering.program.ir import Program
from monoscan.lowering.strategies.slices import Leaves

Moved = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""The leaves of the state, of the elements and of the captured arrays that have a tangent."""


@attrs.frozen
class Dual:
    """A scan on dual numbers.

    Args:
        scan: The scan: its arrays are those of the scan it was made from with their tangents behind them, group by
            group; its results and carries are the tangents of the leaves `wanted`, its state the values and then the
            tangents of the leaves that have one.
        moved: The leaves that have a tangent.
        wanted: The leaves among `AlignedScan.emit` that have one.
    """

    scan: AlignedScan
    moved: Moved
    wanted: tuple[int, ...]

    def arrays(self, groups: Sequence[Arrays], tangents: Sequence[Sequence[mx.array | None]]) -> Leaves:
        """Its arrays: elements, captured arrays and init, each with their tangents; those that are ``None`` are zeros.

        Args:
            groups: The arrays of the scan that it was made from: elements, captured arrays and init.
            tangents: Their tangents, likewise.
        """
        state, elements, captures = self.moved
        found: Leaves = []
        for values, steps, leaves in zip(groups, tangents, (elements, captures, state), strict=True):
            moved = [] if not values else [mx.zeros_like(values[i]) if (t := steps[i]) is None else t for i in leaves]
            found += [*values, *moved]
        return found

    def tangents(self, outputs: Arrays, given: AlignedScan) -> dict[int, mx.array]:
        """The tangents among the outputs of the scan that it was made from, by their number."""
        shown = [leaf for leaf in self.wanted if leaf in given.shown]
        results = len(shown)
        found = {given.shown.index(leaf): y for leaf, y in zip(shown, outputs, strict=False)}
        if given.want_carry:
            first = len(given.shown)
            carries = outputs[results + len(given.state) :]
            known = zip(self.moved[0], carries, strict=True)
            found |= {first + leaf: y for leaf, y in known if leaf in self.wanted}
        return found


def dual(scan: AlignedScan, given: frozenset[int]) -> Dual | None:
    """The scan on dual numbers; ``None`` if no tangent reaches what is wanted.

    Args:
        scan: The scan.
        given: Which of its arrays have a tangent.
    """
    moved = _moved(scan, given)
    state = moved[0]
    wanted = tuple(i for i in scan.emit if i in state)
    if not wanted:
        return None
    k = scan.program.arity
    zeros = tuple(0 for i in state for _ in range(scan.state[i].lanes))
    _, elements, captures = moved
    return Dual(
        attrs.evolve(
            scan,
            program=dual_step(scan.scalar, moved, state),
            combine=None if scan.combine is None else dual_step(scan.combine, (elements, elements, captures), elements),
            begin=None if scan.begun is None else dual_step(scan.begun, ((), elements, captures), state),
            emit=tuple(k + state.index(i) for i in wanted),
            results=tuple(scan.results[scan.shown.index(i)] for i in wanted if i in scan.shown),
            identity=None if scan.identity is None else scan.identity + zeros,
            strategy=general(scan.strategy),
        ),
        moved,
        wanted,
    )


def _moved(scan: AlignedScan, given: frozenset[int]) -> Moved:
    """The leaves whose tangents are not zero throughout, of products of elements too."""
    program, rights = scan.scalar, scan.program.rights
    first = rights + len(program.captures)
    captures = tuple(i for i in differentiable(program.captures) if rights + i in given)
    elements = {i for i in differentiable(program.elements) if captures or i in given}
    state = {i for i in differentiable(program.outputs) if captures or first + i in given}
    if not scan.action:
        state = elements = _reached(program, state | elements)
        return tuple(sorted(state)), tuple(sorted(elements)), captures
    if scan.combine is not None:
        elements = _reached(scan.combine, elements)
    if scan.begin is not None:
        state |= {i for i in differentiable(program.outputs) if scan.begin.reads[i][1] & elements}
    state = _reached(program, state, elements)
    return tuple(sorted(state)), tuple(sorted(elements)), captures


def _reached(step: Program, first: set[int], elements: set[int] | None = None) -> set[int]:
    """The leaves of the state that these of a first one reach, and these of the elements (by default, all reached)."""
    live, state = set(differentiable(step.outputs)), set(first)
    while True:
        rights = state if elements is None else elements
        more = {i for i in live - state if step.reads[i][0] & state or step.reads[i][1] & rights}
        if not more:
            return state
        state |= more


@PROGRAMS.memoised
def dual_step(program: Program, moved: Moved, wanted: tuple[int, ...]) -> Program:
    """A step on dual numbers: each operand's leaves, and then the tangents of those that have one.

    Args:
        program: The step.
        moved: The leaves of the left operand, of the right one and of captured arrays that have a tangent.
        wanted: The leaves of the result that have one.
    """
    starts = [0, program.arity, program.arity + program.rights]
    sizes = [program.arity, program.rights, len(program.captures)]
    both = forward(program, tuple(s + i for s, group in zip(starts, moved, strict=True) for i in group), wanted)
    order: list[int] = []
    tangent = len(program.inputs)
    for start, size, group in zip(starts, sizes, moved, strict=True):
        order += [*range(start, start + size), *range(tangent, tangent + len(group))]
        tangent += len(group)
    return both.reorder(order, program.arity + len(moved[0]), program.rights + len(moved[1]))
