"""Sets of laws with parents, and which of them an operator's facts call for."""

from __future__ import annotations

import attrs

from monoscan.monoids.base import Semigroup
from monoscan.monoids.facts import Facts
from monoscan.testing.laws import law as laws
from monoscan.testing.laws.law import Law


@attrs.frozen
class LawSet:
    """Laws that go together, with those of the sets they build on.

    Args:
        name: What it is called.
        own: The laws that it adds.
        parents: The sets whose laws it takes over.
    """

    name: str
    own: tuple[Law, ...]
    parents: tuple[LawSet, ...] = ()

    @property
    def laws(self) -> tuple[Law, ...]:
        """All laws, the parents' first, each once."""
        inherited = [law for parent in self.parents for law in parent.laws]
        return tuple(dict.fromkeys([*inherited, *self.own]))


SEMIGROUP = LawSet("semigroup", (laws.ASSOCIATIVITY, laws.DUAL, laws.REDUCE))
MONOID = LawSet("monoid", (laws.LEFT_IDENTITY, laws.RIGHT_IDENTITY, laws.EMPTY_FOLD), (SEMIGROUP,))
COMMUTATIVE = LawSet("commutative", (laws.COMMUTATIVITY,), (SEMIGROUP,))
IDEMPOTENT = LawSet("idempotent", (laws.IDEMPOTENCE,), (SEMIGROUP,))
GROUP = LawSet("group", (laws.LEFT_INVERSE, laws.RIGHT_INVERSE), (MONOID,))

HINTS: dict[str, Law] = {"commutative": laws.COMMUTATIVITY, "idempotent": laws.IDEMPOTENCE}
"""The facts that are worth declaring where they are true, each with its law."""


def lawsets(operator: Semigroup, facts: Facts) -> tuple[LawSet, ...]:
    """The sets that an operator claims: each declared fact adds its own."""
    claimed = {
        SEMIGROUP: True,
        MONOID: operator.has_identity,
        COMMUTATIVE: facts.commutative,
        IDEMPOTENT: facts.idempotent,
        GROUP: facts.invertible,
    }
    return tuple(lawset for lawset, claims in claimed.items() if claims)


def claimed_laws(operator: Semigroup, facts: Facts) -> tuple[Law, ...]:
    """All laws that an operator claims, each once."""
    return LawSet(operator.name, (), lawsets(operator, facts)).laws


def undeclared(facts: Facts) -> dict[str, Law]:
    """The laws of facts that are not declared."""
    return {name: law for name, law in HINTS.items() if not getattr(facts, name)}
