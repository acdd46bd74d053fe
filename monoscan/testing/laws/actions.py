"""The laws of `Semigroup.right` and `Semigroup.left`: how elements act on states."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.program.interpret import evaluate
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.trace.combine import trace_function
from monoscan.monoids.action import Action, Element, State
from monoscan.testing.arithmetic.carrier import Carrier, Difference
from monoscan.testing.arithmetic.levels import UnboundedCarrier, levels
from monoscan.testing.arithmetic.subject import Lanes, Subject
from monoscan.testing.laws.labels import given_names, places
from monoscan.testing.laws.law import Law
from monoscan.testing.laws.model import Model


@attrs.frozen(eq=False)
class States(Subject):
    """The states that an operator acts on, as a subject.

    Args:
        template: The names of their leaves.
    """

    template: Any = None

    def _labels(self) -> list[str]:
        return given_names(self.template, self.structure) or places("s", self.structure)

    @property
    def title(self) -> str:
        """What a state is shown as."""
        return "state"


class StateLanes(tuple[Any, ...]):
    """The lanes of a state, which messages show by other names than those of an element."""


@attrs.frozen(eq=False)
class Side:
    """One of an operator's actions, with what its functions were traced to.

    Args:
        subject: The operator.
        name: ``"right"`` or ``"left"``.
    """

    subject: Subject
    name: str

    def of(self, operator: Any) -> Action:
        """The action of this operator, or of it with other captured arrays."""
        action: Action = getattr(operator, self.name)
        return action

    @property
    def action(self) -> Action:
        """The action."""
        return self.of(self.subject.operator)

    @cached_property
    def states(self) -> States:
        """The states, with the tree, shapes and dtypes that one of an element of zeros has."""
        subject = self.subject
        zeros = [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in subject.leaves]
        given, structure = tree.flatten(self.source(self.action, tree.unflatten(subject.structure, zeros)))
        leaves = tuple(Leaf(dtypes.name_of(x.dtype), tuple(x.shape)) for x in given)
        return States(subject.operator, subject.dtype, structure, leaves, subject.captures, self.action.template)

    def source(self, action: Action, element: Element) -> State:
        """The state that an element makes.

        Raises:
            ScanError: Nothing says how.
        """
        if action.source is None:
            raise errors.ScanError(
                f"[laws] the {self.name} action of {self.subject.operator.name} has no states to be checked on: give "
                "Action(..., begin=...), or states=lambda element: ..., which makes one of an element's numbers."
            )
        return action.source(element)

    @cached_property
    def programs(self) -> dict[str, Program | None]:
        """What ``act``, ``begin`` and the source of states were traced to."""
        state, element = self.states, self.subject
        found = {
            "act": self._traced("act", [state, element], lambda action, s, x: action.act(s, x)),
            "source": self._traced("states", [element], self.source),
        }
        if self.action.begin is not None:
            found["begin"] = self._traced("begin", [element], lambda action, x: action.begin(x))
        return found

    def _traced(self, what: str, operands: list[Subject], function: Callable[..., State]) -> Program | None:
        name, captures = f"{self.subject.operator.name}.{self.name}.{what}", self.subject.captures

        def flat(*arrays: mx.array) -> list[mx.array]:
            rest = list(arrays)
            trees = [tree.unflatten(each.structure, [rest.pop(0) for _ in each.leaves]) for each in operands]
            return _leaves(name, function(self.of(captures.rebuild(rest)), *trees), self.states)

        inputs = tuple(leaf for each in operands for leaf in each.leaves)
        return trace_function(name, flat, inputs + captures.leaves).program


def _leaves(name: str, state: State, expected: States) -> list[mx.array]:
    """The leaves of a state, which must be like the others."""
    leaves = tree.flatten_like(state, expected.structure)
    known = [] if leaves is None else [Leaf(dtypes.name_of(x.dtype), tuple(x.shape)) for x in leaves]
    if leaves is None or tuple(known) != expected.leaves:
        like = tree.describe(tree.unflatten(expected.structure, expected.leaves))
        raise errors.ScanTypeError(f"[laws] {name} must return a state, {like}; it returned {tree.describe(state)}.")
    return leaves


@attrs.frozen(eq=False)
class Acting(Model):
    """An operator and the states that it acts on, in one arithmetic."""

    side: Side
    states: Carrier

    def combine(self, left: Lanes, right: Lanes) -> Lanes:
        """The product of two elements."""
        return self.carrier.combine(left, right)

    def identity(self) -> Lanes:
        """The operator's identity."""
        return self.carrier.identity()

    def state(self, element: Lanes) -> StateLanes:
        """A state made of an element."""
        return self._run("source", self.side.source, element)

    def begin(self, element: Lanes) -> StateLanes:
        """The state after a first element."""
        return self._run("begin", lambda action, x: action.begin(x), element)

    def act(self, state: StateLanes, element: Lanes) -> StateLanes:
        """The state after an element."""
        return self._run("act", lambda action, s, x: action.act(s, x), state, element)

    def difference(self, left: Lanes, right: Lanes, *others: Lanes) -> Difference:
        """How far two states differ."""
        return self.states.difference(left, right, *map(self.state, others))

    def ratios(self, left: Lanes, right: Lanes) -> list[Any]:
        """How far each lane of two states differs."""
        return self.states.ratios(left, right)  # type: ignore[attr-defined, no-any-return]

    def show(self, element: Lanes) -> str:
        """An element or a state in one line."""
        return (self.states if isinstance(element, StateLanes) else self.carrier).show(tuple(element))

    def _run(self, what: str, function: Callable[..., State], *operands: Lanes) -> StateLanes:
        program = self.side.programs[what]
        if isinstance(self.carrier, UnboundedCarrier):
            kinds = [self.side.states if isinstance(x, StateLanes) else self.side.subject for x in operands]
            trees = [tree.unflatten(kind.structure, x) for kind, x in zip(kinds, operands, strict=True)]
            return StateLanes(tree.flatten(function(self.side.action, *trees))[0])
        assert program is not None, "other levels are those of programs"
        lanes = [lane for operand in operands for lane in operand] + [*self.carrier.captured()]
        return StateLanes(evaluate(program, lanes, self.carrier.table))


RIGHT = Law(
    "right-action",
    "act(act(s, b), c) == act(s, combine(b, c)), s a state made of a",
    3,
    lambda m, a, b, c: (m.act(m.act(m.state(a), b), c), m.act(m.state(a), m.combine(b, c))),
)
RIGHT_UNIT = Law(
    "right-action-of-identity",
    "act(s, identity) == s, s a state made of a",
    1,
    lambda m, a: (m.act(m.state(a), m.identity()), m.state(a)),
)
RIGHT_BEGIN = Law(
    "right-begin",
    "act(begin(a), b) == begin(combine(a, b))",
    2,
    lambda m, a, b: (m.act(m.begin(a), b), m.begin(m.combine(a, b))),
)
LEFT = Law(
    "left-action",
    "act(act(s, c), b) == act(s, combine(b, c)), s a state made of a",
    3,
    lambda m, a, b, c: (m.act(m.act(m.state(a), c), b), m.act(m.state(a), m.combine(b, c))),
)
LEFT_UNIT = attrs.evolve(RIGHT_UNIT, name="left-action-of-identity")
LEFT_BEGIN = Law(
    "left-begin",
    "act(begin(b), a) == begin(combine(a, b))",
    2,
    lambda m, a, b: (m.act(m.begin(b), a), m.begin(m.combine(a, b))),
)
_LAWS = {"right": (RIGHT, RIGHT_UNIT, RIGHT_BEGIN), "left": (LEFT, LEFT_UNIT, LEFT_BEGIN)}


def action_laws(subject: Subject) -> list[tuple[Acting, Law]]:
    """The laws of an operator's actions, each with what it is checked in; those on itself are its own laws.

    Raises:
        ScanError: An action has no states to be checked on, or returns what is none.
    """
    claims: list[tuple[Acting, Law]] = []
    for name, (action_law, unit, begin) in _LAWS.items():
        side = Side(subject, name)
        if side.action.on_elements:
            continue
        laws = [action_law, *[unit] * subject.has_identity, *[begin] * (side.action.begin is not None)]
        whole = all(dtypes.is_exact(leaf.dtype) for leaf in side.states.leaves)
        exactly = whole and subject.facts.associativity == "exact"
        for level in levels([subject.traced.program, *side.programs.values()], exactly):
            model = Acting(level(subject), side, level(side.states))
            claims += [(model, law) for law in laws]
    return claims
