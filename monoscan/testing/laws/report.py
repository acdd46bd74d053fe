"""What a check of laws says: a table when they hold, the smallest counterexample when not."""

from __future__ import annotations

import attrs

from monoscan.testing.arithmetic import exact
from monoscan.testing.laws.law import NATIVE
from monoscan.testing.search.counterexamples import MAX_SECONDS, Failure, Outcome

EMBEDDED, GIVEN = "Elements were built by embed().", "Elements are those that were given."

_HINTS = {
    "exact": "the exact law failed, so this is the formula, not rounding.",
    "60 digits": "the law failed at 60 digits, so this is the formula, not rounding.",
    "bitwise": "facts() says that associativity is exact on these dtypes; here the machine's own arithmetic disagrees.",
    "unbounded": "what cannot be traced is checked in float64, to 6 digits only.",
}
_WHERE = {
    "exact": "in exact arithmetic",
    "60 digits": "at 60 digits",
    "rounding": "beyond its rounding bound",
    "bitwise": "bit for bit",
    "unbounded": "in float64",
}


class LawError(AssertionError):
    """A law does not hold; the message has the smallest counterexample."""


@attrs.frozen
class Row:
    """One law at one level on one dtype."""

    law: str
    dtype: str
    level: str
    examples: int
    skipped: int
    verdict: str


@attrs.frozen
class Report:
    """What was checked of an operator.

    Args:
        name: The operator's.
        rows: One for each law, dtype and level.
        hints: Facts that seem true and are not declared, and dtypes that were left out.
    """

    name: str
    rows: tuple[Row, ...]
    hints: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = ("law", "dtype", "level", "examples", "skipped", "verdict")
        cells = [head, *(tuple(str(value) for value in attrs.astuple(row)) for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
        ]
        return "\n".join([f"[laws] {self.name}", *lines, *(f"Hint: {hint}" for hint in self.hints)])


def verdict(outcome: Outcome) -> str:
    """What a law without a counterexample comes to: never more than was looked at."""
    left = []
    if outcome.long:
        left.append(f"{outcome.long} left out, numbers of more than {exact.MAX_BITS} bits")
    if outcome.unseen:
        left.append(f"{outcome.unseen} left after {MAX_SECONDS:.0f} s")
    if outcome.checked:
        return "; ".join(["holds", *left])
    return f"not tested: {'; '.join(left)}" if left else "vacuous: every example was off the domain or without a bound"


def describe(failure: Failure, dtype: str, origin: str, reproduce: str | None) -> str:
    """The message of a failure.

    Args:
        failure: The smallest counterexample.
        dtype: What elements were drawn in.
        origin: Where elements came from, as a sentence.
        reproduce: The command that finds it again, if there is one.
    """
    model, difference = failure.model, failure.difference
    shown = [model.show(element) for element in (*failure.elements, failure.left, failure.right)]
    names = [*"abcd"[: len(failure.elements)], "left", "right"]
    lines = [
        f"[laws] {model.name} ({dtype}): {failure.law.name} fails {_WHERE[model.level]}.",
        f"  law    {failure.law.statement}",
        *(f"  {name:<5} = {text}" for name, text in zip(names, shown, strict=True)),
        f"  differs in: {', '.join(difference.leaves)}",
        f"  Hint: {_hint(failure, dtype)} {origin}",
    ]
    if reproduce is not None:
        lines.append(f"  Reproduce: {reproduce}")
    return "\n".join(lines)


def _hint(failure: Failure, dtype: str) -> str:
    if failure.law is NATIVE:
        return "facts() names a scan of MLX that computes something else, and the planner would run it."
    if failure.model.level != "rounding":
        return _HINTS[failure.model.level]
    worst = failure.difference
    return (
        f"holds exactly; the {dtype} error is {worst.ratio:.3g} times its bound at leaf {worst.leaves[0]}: "
        "an operation outside the model (fast-math? FMA?), or a value that combine computes in another dtype."
    )
