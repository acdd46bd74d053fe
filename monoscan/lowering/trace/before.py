"""`Semigroup.before`, which an exclusive scan shows where a segment starts, traced like a ``combine``."""

from __future__ import annotations

from typing import final

import attrs

from monoscan import errors
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace.combine import Traced, trace_combine
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.lowering.trace.reads.key import Key
from monoscan.monoids.base import Element, Semigroup
from monoscan.tree import Structure


@final
@attrs.frozen
class Before(Semigroup):
    """An operator's ``before`` in the place of its ``combine``."""

    operator: Semigroup

    def combine(self, total: Element, element: Element) -> Element:
        return self.operator.before(total, element)

    @property
    def name(self) -> str:
        return f"{self.operator.name}.before"


def before(captures: Captures) -> Captures:
    """The same captured arrays, with ``before`` as what is combined."""
    return attrs.evolve(captures, root=Before(captures.root), key=Key((Before, captures.key), captures.key.names))


def trace_before(captures: Captures, structure: Structure, leaves: tuple[Leaf, ...], call: str) -> Traced:
    """The program of ``before``, or why there is none.

    Raises:
        IdentityError: A segment starts with the identity, and there is none.
    """
    own = before(captures)
    try:
        return trace_combine(own.root, structure, leaves, own, call)
    except errors.IdentityError as error:
        raise errors.IdentityError(f"[{call}] {error}") from error
