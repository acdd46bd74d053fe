"""Who asks for what: messages are put together from it, where something is wrong."""

from __future__ import annotations

from typing import Any

import attrs

from monoscan import errors, tree
from monoscan.lowering.plan.options import Options
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup


def not_an_operator(call: str, given: Any) -> str:
    """What is said of another thing in the place of an operator."""
    if isinstance(given, Aggregator):
        return f"[{call}] expects an operator; got the aggregator {given.name}, which ms.scan and ms.fold take."
    if isinstance(given, type) and issubclass(given, (Semigroup, Aggregator)):
        return f"[{call}] expects an operator; got the class {given.__name__}. Call it: {given.__name__}()."
    if callable(given):
        return (
            f"[{call}] expects an operator; got the function {errors.called(given)!r}. Make it one with "
            "ms.monoid(function, identity=...), or call ms.associative_scan(function, elems)."
        )
    return f"[{call}] expects an operator first, then the elements; got {type(given).__name__} {given!r:.40}."


@attrs.frozen
class Question:
    """Who asks for what, for messages: their words are put together where something is wrong.

    Args:
        asked: The options.
        captures: The operator.
        structure: The tree of the elements.
    """

    asked: Options
    captures: Captures
    structure: tree.Structure

    @property
    def operator(self) -> Semigroup:
        """The operator."""
        operator: Semigroup = self.captures.root
        return operator

    @property
    def where(self) -> str:
        """What every message begins with."""
        return f"[{self.asked.call}] {self.operator.name}"

    @property
    def verb(self) -> str:
        """What the axis is called after: "the loop axis", "the scan axis"."""
        return "loop" if self.asked.call == "loop" else "scan"

    @property
    def names(self) -> list[str]:
        """What messages call each leaf: the template's name, else the path."""
        template = self.operator.template
        named = None if template is None else tree.flatten_like(template, self.structure)
        return named or [path or "x" for path in tree.paths(self.structure)]

    @property
    def starts(self) -> list[str]:
        """What messages call each leaf of ``init``."""
        return ["h0" if self.state_alone else f"init leaf {name}" for name in self.names]

    @property
    def state_alone(self) -> bool:
        """Whether ``init`` is the state alone, which its caller knows as ``h0``."""
        return self.asked.call == "linear_recurrence"
