"""`Action`: how the elements of an operator move states, which may be smaller than elements are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import attrs

from monoscan import errors, tree
from monoscan.monoids import domain

State = Any
"""One state: an array, or a tree of arrays."""
Element = Any
Events = Callable[[tree.Structure], tuple[int, ...]]


def unchanged(element: Element) -> State:
    """The element itself, as a state."""
    return element


def _function(action: Action, field: attrs.Attribute[Any], value: Any) -> None:
    if not callable(value):
        raise errors.ScanTypeError(f"[Action] {field.name} must be a function; got {tree.shown(value)}.")


@final
@attrs.frozen
class Action:
    """How elements act on states: the `right` or the `left` of an operator.

    On the right ``act(act(s, x), y)`` is ``act(s, combine(x, y))``, on the left ``act(act(s, y), x)`` is. The
    identity moves nothing. ``begin`` is a state that a first element makes on its own: on the right
    ``act(begin(x), y)`` is ``begin(combine(x, y))``, on the left ``act(begin(y), x)`` is. The laws check all of it.

    Args:
        act (callable): ``act(state, element)``, the state after the element, for one state and one element, in MLX
            operations.
        begin (callable, optional): ``begin(element)``, the state after a first element. Default: ``None``, where
            there is none.
        event (int, tuple(int) or callable, optional): How many trailing axes of each leaf belong to a state: an int
            for all leaves, one for each, or a function that says it of a tree. Default: ``0``.
        template (tree, optional): The tree of a state, with a name for each leaf; ``None`` takes any. Default: ``None``.
        states (callable, optional): ``states(element)``, a state made of an element's numbers, on which the laws are
            checked. Default: ``None``, which is ``begin``.

    Raises:
        ScanTypeError: ``act``, ``begin`` or ``states`` is no function.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> clock = ms.Action(lambda s, x: (s + x) % 16, begin=lambda x: x % 16)
        >>> ms.monoid(mx.add, identity=0, right=clock).right.act(mx.array(15), mx.array(2))
        array(1, dtype=int32)
    """

    act: Callable[[State, Element], State] = attrs.field(validator=_function)
    begin: Callable[[Element], State] | None = attrs.field(default=None, validator=attrs.validators.optional(_function))
    event: int | tuple[int, ...] | Events = attrs.field(default=0, converter=domain.trailing)
    template: Any = None
    states: Callable[[Element], State] | None = attrs.field(
        default=None, validator=attrs.validators.optional(_function)
    )

    @property
    def on_elements(self) -> bool:
        """Whether states are elements, and ``act`` is the operator itself."""
        return self.begin is unchanged

    @property
    def source(self) -> Callable[[Element], State] | None:
        """What makes a state of an element, if anything does."""
        return self.states or self.begin

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        """How many trailing axes of each leaf belong to a state, leaf by leaf.

        Raises:
            TreeError: `event` names another number of leaves.
        """
        if callable(self.event):
            return self.event(structure)
        number = tree.count(structure)
        events = self.event if isinstance(self.event, tuple) else (self.event,) * number
        if len(events) != number:
            raise errors.TreeError(f"[Action] event names {len(events)} leaves, {events}; the state has {number}.")
        return events
