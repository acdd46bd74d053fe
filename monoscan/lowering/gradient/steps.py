"""Derivatives of one step, of what a fold differentiates alone: by programs, and by which leaves these read."""

from __future__ import annotations

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.array_derivative import reverse_arrays
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.derivative import differentiable, reverse
from monoscan.lowering.program.ir import Program, closure


@PROGRAMS.memoised
def stepped(
    program: Program | ArrayProgram, live: tuple[int, ...], gradients: tuple[int, ...], captured: tuple[int, ...]
) -> Program | ArrayProgram:
    """The cotangents of one step's operands: the left one's, and what is asked for of the others."""
    whole = reverse_arrays(program, live) if isinstance(program, ArrayProgram) else reverse(program, live)
    return whole.select(_asked(program, live, gradients, captured))


@PROGRAMS.memoised
def stepped_boldly(
    program: Program, live: tuple[int, ...], gradients: tuple[int, ...], captured: tuple[int, ...]
) -> Program:
    """The same of few lanes, without a look for zero times infinity."""
    return reverse(program, live, bold=True).select(_asked(program, live, gradients, captured))


def _asked(
    program: Program | ArrayProgram, live: tuple[int, ...], gradients: tuple[int, ...], captured: tuple[int, ...]
) -> list[int]:
    """Which of the results of `derivative.reverse` these are."""
    right = differentiable(program.elements)
    kept = [*range(len(live)), *(len(live) + right.index(i) for i in gradients)]
    return kept + [len(live) + len(right) + differentiable(program.captures).index(i) for i in captured]


@PROGRAMS.memoised
def started(begin: Program, live: tuple[int, ...], gradients: tuple[int, ...], captured: tuple[int, ...]) -> Program:
    """The cotangents of what a state begins from, from those of its leaves."""
    right = differentiable(begin.elements)
    kept = [right.index(i) for i in gradients]
    kept += [len(right) + differentiable(begin.captures).index(i) for i in captured]
    return reverse(begin, live).select(kept)


def reads_of(step: Program | ArrayProgram, start: Program | None = None) -> list[tuple[int, ...]]:
    """The leaves of states and of elements that derivatives read."""
    reads = step.reads + (start.reads if start is not None else ())
    return [tuple(sorted(frozenset[int]().union(*side))) for side in zip(*reads, strict=True)]


@PROGRAMS.memoised
def live_leaves(program: Program | ArrayProgram, emit: tuple[int, ...]) -> tuple[int, ...]:
    """The differentiable leaves that the wanted ones depend on through left operands."""
    reached = program.carried(emit)
    return tuple(i for i in differentiable(program.outputs) if i in reached)


@PROGRAMS.memoised
def heard_leaves(
    program: Program | ArrayProgram,
    live: tuple[int, ...],
    gradients: tuple[int, ...],
    captured: tuple[int, ...],
    starts: tuple[int, ...],
    begin: Program | None = None,
) -> tuple[int, ...]:
    """Those of the live leaves whose cotangents reach what is asked for, as those of a count do not reach a mean's values.

    Args:
        program: The step.
        live: The leaves of the state whose cotangents are not zero throughout.
        gradients: The leaves of the elements that get a cotangent.
        captured: The captured arrays that get one.
        starts: The leaves of the first state that get one.
        begin: Of an act, the program of the state that the first element begins.
    """
    programs = [stepped(program, live, gradients, captured)]
    programs += [] if begin is None else [started(begin, live, gradients, captured)]
    reads = [[_cotangents_read(leaves, each, len(live)) for leaves in each.depends] for each in programs]
    asked = [*reads[0][len(live) :], *(each for more in reads[1:] for each in more)]
    asked.append(frozenset(n for n, i in enumerate(live) if i in starts or i in gradients))
    carried = closure(reads[0][: len(live)])
    heard = {k for each in asked for n in each for k in carried[n]}
    return tuple(i for n, i in enumerate(live) if n in heard)


def _cotangents_read(leaves: frozenset[int], step: Program | ArrayProgram, live: int) -> frozenset[int]:
    """Which of so many cotangents, the last inputs of a step, are among these leaves."""
    first = len(step.inputs) - live
    return frozenset(i - first for i in leaves if i >= first)
