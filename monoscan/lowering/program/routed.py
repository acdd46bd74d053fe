"""Cotangents and tangents under way, with the places where a choice made them an exact zero.

What was not chosen has no share in the result, and nothing behind it has, even where a
derivative there is infinite or NaN. So a derivative carries conditions with it, and is
selected by them once, before it is added to another or handed over.
"""

from __future__ import annotations

import attrs

from monoscan.lowering.program.derivative_rules import CHOICES, Term
from monoscan.lowering.program.ir import Op, Program


@attrs.frozen
class Routed:
    """A cotangent or a tangent. A condition of ``None`` holds everywhere.

    Args:
        value: What it is where it counts.
        counts: Where this fails it is zero, whatever ``value`` is.
        support: Where this fails it has a factor of zero. That is zero, but not for a further
            derivative by that factor: so ``value`` counts there too, unless it is NaN.
        frail: Whether ``value`` may be NaN there, since something was multiplied by it.
        wary: Whether factors of plain products are looked at too: the program may itself hold
            cotangents, which are zero where nothing was chosen.
        bold: NaN is not looked for, so that it is what comes out wherever it would have counted as zero.
    """

    value: Term
    counts: Term | None = None
    support: Term | None = None
    frail: bool = False
    wary: bool = False
    bold: bool = False

    def settled(self) -> Term:
        """The value, zero where it does not count."""
        counts = self.counts
        if self.frail and self.support is not None and not self.bold:
            number = self.value.apply(Op.EQ, self.value, dtype="bool")
            counts = _both(counts, _either(self.support, number))
        return self.value if counts is None else counts.where(self.value, self.value.const(0))

    @property
    def nonzero(self) -> Term | None:
        """Where it may be other than zero."""
        return _both(self.counts, self.support)

    def under(self, condition: Term | None) -> Routed:
        """The same under one more condition."""
        return attrs.evolve(self, counts=_both(self.counts, condition))

    def times(self, nonzero: Term | None) -> Routed:
        """The same with one more factor, that is already in the value: where it is other than zero."""
        return attrs.evolve(self, support=_both(self.support, nonzero))

    def through(self, value: Term, passing: bool) -> Routed:
        """What an operation makes of it. Unless it is ``passing``, it may multiply zero by infinity."""
        return attrs.evolve(self, value=value, frail=self.frail or not passing)

    def plus(self, other: Routed) -> Routed:
        """The sum; it is zero where both are."""
        support = _either(self.nonzero, other.nonzero)
        return Routed(self.settled() + other.settled(), support=support, wary=self.wary, bold=self.bold)


def chooses(program: Program) -> bool:
    """Whether a program makes exact zeros of derivatives that others made."""
    return any(instr.op in CHOICES for instr in program.code)


def root(value: Term, chooses: bool, wary: bool, bold: bool = False) -> Routed:
    """A derivative as it stands: where a choice outside of a program that ``chooses`` made it zero, it stays that."""
    support = value.apply(Op.NE, 0.0, dtype="bool") if chooses else None
    return Routed(value, support=support, wary=wary and chooses, bold=bold)


def chosen(condition: Term, yes: Routed | None, no: Routed | None) -> Routed:
    """One of two; ``None`` is zero."""
    some = yes or no
    assert some is not None
    zero, never, otherwise = some.value.const(0), condition.const(0), condition.apply(Op.NOT)
    value = condition.where(yes.settled() if yes else zero, no.settled() if no else zero)
    parts = [_both(c, each.nonzero if each else never) for c, each in ((condition, yes), (otherwise, no))]
    return Routed(value, support=_either(*parts), wary=some.wary, bold=some.bold)


def _both(a: Term | None, b: Term | None) -> Term | None:
    if a is None or b is None:
        return a or b
    return b if a.known is True else a if b.known is True else a.apply(Op.AND, b)


def _either(a: Term | None, b: Term | None) -> Term | None:
    return None if a is None or b is None else a.apply(Op.OR, b)
