"""What `Semidirect` needs of its ``act``, beyond its parts' own laws."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import attrs
import mlx.core as mx

from monoscan import errors, tree
from monoscan.lowering.program.interpret import evaluate
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.trace.combine import trace_function
from monoscan.monoids.combinators.semidirect import Semidirect
from monoscan.testing.arithmetic.carrier import Carrier, Difference
from monoscan.testing.arithmetic.subject import Lanes
from monoscan.testing.laws.law import Law
from monoscan.testing.laws.model import Model


@attrs.frozen(eq=False)
class ActorAndActed(Model):
    """A semidirect product's actor, acted and act, in one arithmetic. Elements are pairs."""

    operator: Semidirect

    def difference(self, left: Lanes, right: Lanes, *others: Lanes) -> Difference:
        """How far two pairs differ."""
        return self.carrier.difference(left, right, *others)

    def ratios(self, left: Lanes, right: Lanes) -> list[Any]:
        """How far each lane differs."""
        return self.carrier.ratios(left, right)  # type: ignore[attr-defined, no-any-return]

    def show(self, element: Lanes) -> str:
        """A pair in one line."""
        return self.carrier.show(element)

    def actor(self, left: Lanes, right: Lanes) -> Lanes:
        """``(actor(n_l, n_r), m_r)``."""
        combine = self.operator.actor.combine
        return (*self._run(lambda a, b: combine(a[0], b[0]), left, right), *self._acted_of(right))

    def acted(self, left: Lanes, right: Lanes) -> Lanes:
        """``(n_l, acted(m_l, m_r))``."""
        combine = self.operator.acted.combine
        return (*self._actor_of(left), *self._run(lambda a, b: combine(a[1], b[1]), left, right))

    def act(self, left: Lanes, right: Lanes) -> Lanes:
        """``(n_l, act(n_l, m_r))``."""
        act = self.operator.act
        return (*self._actor_of(left), *self._run(lambda a, b: act(a[0], b[1]), left, right))

    def neutral(self, element: Lanes, *, actor: bool) -> Lanes:
        """The pair with its first (or second) part replaced by that part's identity."""
        identity = self.carrier.identity()
        if actor:
            return (*self._actor_of(identity), *self._acted_of(element))
        return (*self._actor_of(element), *self._acted_of(identity))

    @cached_property
    def _programs(self) -> dict[Any, Program]:
        return {}

    def _run(self, function: Callable[[Any, Any], Any], left: Lanes, right: Lanes) -> Lanes:
        subject = self.carrier.subject
        code = function.__code__
        if code not in self._programs:

            def flat(*arrays: mx.array) -> list[mx.array]:
                half = len(subject.leaves)
                pair = [tree.unflatten(subject.structure, side) for side in (arrays[:half], arrays[half:])]
                return tree.flatten(function(*pair))[0]

            self._programs[code] = _program(self.name, flat, subject.leaves * 2)
        return tuple(evaluate(self._programs[code], [*left, *right], self.carrier.table))

    @cached_property
    def _lanes_of_actor(self) -> int:
        subject = self.carrier.subject
        return sum(leaf.lanes for leaf in subject.held[: tree.count(subject.structure[-1][0])])

    def _actor_of(self, element: Lanes) -> Lanes:
        return element[: self._lanes_of_actor]

    def _acted_of(self, element: Lanes) -> Lanes:
        return element[self._lanes_of_actor :]


def _program(name: str, function: Callable[..., Any], leaves: tuple[Leaf, ...]) -> Program:
    traced = trace_function(f"{name}.act", function, leaves)
    if traced.program is None:
        raise errors.TraceError(f"[laws] the action of {name} is not traceable: {traced.reason}.")
    return traced.program


COMPATIBLE = Law(
    "action",
    "act(actor(n_a, n_b), m_c) == act(n_a, act(n_b, m_c))",
    3,
    lambda m, a, b, c: (m.neutral(m.act(m.actor(a, b), c), actor=True), m.neutral(m.act(a, m.act(b, c)), actor=True)),
)
HOMOMORPHIC = Law(
    "action-by-homomorphisms",
    "act(n_a, acted(m_b, m_c)) == acted(act(n_a, m_b), act(n_a, m_c))",
    3,
    lambda m, a, b, c: (m.act(a, m.acted(b, c)), m.acted(m.act(a, b), m.act(a, c))),
)
UNIT_ACTS = Law(
    "action-of-identity",
    "act(identity, m_a) == m_a",
    1,
    lambda m, a: (m.neutral(m.act(m.neutral(a, actor=True), a), actor=True), m.neutral(a, actor=True)),
)
UNIT_STAYS = Law(
    "action-on-identity",
    "act(n_a, identity) == identity",
    1,
    lambda m, a: (m.act(a, m.neutral(a, actor=False)), m.neutral(a, actor=False)),
)


def semidirect_laws(carrier: Carrier) -> list[tuple[ActorAndActed, Law]]:
    """The laws of the action inside a carrier's operator, each with its model; none if it is no semidirect product."""
    operator = carrier.subject.operator
    if not isinstance(operator, Semidirect) or carrier.subject.traced.program is None:
        return []
    units = (UNIT_ACTS, UNIT_STAYS) if operator.has_identity else ()
    model = ActorAndActed(carrier, operator)
    return [(model, law) for law in (COMPATIBLE, HOMOMORPHIC, *units)]
