"""The adjoint's steps g -> J g + w as an operator, on the entries that products of their matrices may have."""

from __future__ import annotations

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.builder import Builder
from monoscan.lowering.program.derivative import jacobian
from monoscan.lowering.program.derivative_rules import Term
from monoscan.lowering.program.ir import Leaf, Op, Program
from monoscan.lowering.program.routed import chooses

MAX_BLOCK = 4
"""Blocks of up to so many coupled lanes are scanned; larger ones are walked back step by step."""

Pair = tuple[int, int]


@attrs.frozen
class Maps:
    """The operator of sparse affine maps g -> J g + w.

    Args:
        pairs: The entries of J that a step may have.
        entries: The program that yields them.
        pattern: The entries that products of such matrices may have.
        program: The composition of two maps, on the entries of the pattern and then w.
    """

    pairs: tuple[Pair, ...]
    entries: Program
    pattern: tuple[Pair, ...]
    program: Program


@PROGRAMS.memoised
def maps_of(program: Program, live: tuple[int, ...]) -> Maps | None:
    """The maps of a ``combine``; ``None`` where their blocks are too large to scan."""
    lanes = [program.outputs[i].dtype for i in live for _ in range(program.outputs[i].lanes)]
    if len(lanes) > MAX_BLOCK**3 or len(set(lanes)) > 1:
        return None
    pairs, entries = jacobian(program, live)
    pattern = _closed(set(pairs))
    if any(len(block) > MAX_BLOCK for block in _components(pattern, len(lanes))):
        return None
    return Maps(pairs, entries, tuple(sorted(pattern)), _composition(sorted(pattern), lanes, chooses(program)))


def _closed(pattern: set[Pair]) -> set[Pair]:
    """The pattern of all products of such matrices."""
    while True:
        grown = pattern | {(i, k) for i, j in pattern for h, k in pattern if j == h}
        if grown == pattern:
            return pattern
        pattern = grown


def _components(pattern: set[Pair], lanes: int) -> list[set[int]]:
    """Which lanes are coupled."""
    blocks = [{i} for i in range(lanes)]
    for i, j in pattern:
        joined = next(b for b in blocks if i in b) | next(b for b in blocks if j in b)
        blocks = [b for b in blocks if not b & joined] + [joined]
    return blocks


def _composition(pattern: list[Pair], lanes: list[str], choosing: bool) -> Program:
    """(J_r J_l, J_r w_l + w_r), on the entries of the pattern alone.

    Where ``combine`` is ``choosing``, a factor of 0 may be what was not chosen, which keeps NaN
    and infinities out too. All other products are products, for the sake of second derivatives.
    """

    def times(entry: Term, value: Term) -> Term:
        product = entry * value
        if not choosing:
            return product
        zero = _compared(Op.EQ, entry, 0.0).apply(Op.OR, _compared(Op.EQ, value, 0.0))
        return zero.apply(Op.AND, _compared(Op.NE, product, product)).where(entry.const(0), product)

    leaves = tuple(Leaf(lanes[i]) for i, _ in pattern) + tuple(Leaf(name) for name in lanes)
    builder = Builder(leaves + leaves)
    terms = [Term(builder, int(ids)) for ids in builder.leaves()]
    left, right = terms[: len(leaves)], terms[len(leaves) :]
    entry_l, entry_r = (dict(zip(pattern, side, strict=False)) for side in (left, right))
    order, offset = range(len(lanes)), len(pattern)
    results = [
        _sum([times(entry_r[i, j], entry_l[j, k]) for j in order if (i, j) in entry_r and (j, k) in entry_l], left[0])
        for i, k in pattern
    ]
    for i in order:
        parts = [times(entry_r[i, j], left[offset + j]) for j in order if (i, j) in entry_r]
        results.append(_sum([*parts, right[offset + i]], left[0]))
    return Program(builder.inputs, leaves, tuple(builder.code), tuple(term.number for term in results), len(leaves))


def _compared(op: Op, x: Term, y: Term | float) -> Term:
    return x.apply(op, y, dtype="bool")


def _sum(parts: list[Term], like: Term) -> Term:
    if not parts:
        return like.const(0)
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
