"""`aggregator`, of functions, and `join`, of several aggregators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import attrs

from monoscan import errors, tree
from monoscan.monoids import domain, written
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.monoids.combinators.product import Struct


@final
@attrs.frozen
class CustomAggregator(Aggregator):
    """An aggregator of functions: what `aggregator` returns."""

    preparing: Callable[..., Any]
    operator: Semigroup = attrs.field()  # type: ignore[misc]  # a field here, a class attribute elsewhere
    presenting: Callable[..., Any]
    event: int | tuple[int, ...] = attrs.field(default=0, converter=domain.trailing)  # type: ignore[misc]

    def __repr__(self) -> str:
        functions = [("", self.preparing), ("", self.operator), ("", self.presenting)]
        return written.call("aggregator", functions + ([("event", self.event)] if self.event else []))

    def prepare(self, *inputs: Any) -> Any:
        return self.preparing(*inputs)

    def present(self, state: Any, *inputs: Any) -> Any:
        return self.presenting(state, *inputs)

    @property
    def name(self) -> str:
        return errors.called(self.preparing)


def aggregator(
    prepare: Callable[..., Any],
    operator: Semigroup,
    present: Callable[..., Any],
    *,
    event: int | tuple[int, ...] = 0,
) -> CustomAggregator:
    """An aggregator from functions.

    Args:
        prepare (callable): ``prepare(*inputs)``, the element of one position, in MLX operations.
        operator (Semigroup): What acts: its action on the right takes one state to the next.
        present (callable): ``present(state, *inputs)``, the output there.
        event (int or tuple(int), optional): How many trailing axes of each input belong to a position. Default: ``0``.

    Returns:
        CustomAggregator: The aggregator.

    Raises:
        ScanTypeError: ``prepare`` or ``present`` is no function, or ``operator`` no operator.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> share = ms.aggregator(lambda x: x, ms.Sum(), lambda total, x: x / total)
        >>> ms.scan(share, mx.array([1.0, 3.0, 4.0]))
        array([1, 0.75, 0.5], dtype=float32)
    """
    for what, function in (("prepare", prepare), ("present", present)):
        if not callable(function):
            raise errors.ScanTypeError(f"[aggregator] {what} must be a function; got {tree.shown(function)}.")
    if not isinstance(operator, Semigroup):
        raise errors.ScanTypeError(
            f"[aggregator] operator must be an operator as ms.Sum(); got {tree.shown(operator)}."
        )
    return CustomAggregator(prepare, operator, present, event)


@final
@attrs.frozen
class Joined(Aggregator):
    """Several aggregators of the same inputs, by name: what `join` returns."""

    items: tuple[tuple[str, Aggregator], ...]

    def __repr__(self) -> str:
        return written.call("join", self.items)

    @property
    def operator(self) -> Struct:
        """The operators side by side."""
        return Struct(**{key: each.operator for key, each in self.items})

    @property
    def event(self) -> int | tuple[int, ...]:  # type: ignore[override]
        """That of the first; all have the same."""
        return self.items[0][1].event

    def prepare(self, *inputs: Any) -> Any:
        return {key: each.prepare(*inputs) for key, each in self.items}

    def present(self, state: Any, *inputs: Any) -> Any:
        return {key: each.present(state[key], *inputs) for key, each in self.items}

    @property
    def name(self) -> str:
        return f"join({', '.join(f'{key}={each.name}' for key, each in self.items)})"


def join(**aggregators: Aggregator) -> Joined:
    """Several aggregators over the same inputs, in one pass.

    Args:
        **aggregators (Aggregator): The aggregators, by name. Operators stand for their `Semigroup.aggregator`.

    Returns:
        Joined: An aggregator whose outputs are dicts with an output of each.

    Raises:
        ScanTypeError: One is no aggregator.
        ScanError: There is none, or they have different `event`.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> both = ms.join(mean=ms.aggregators.Mean(), peak=ms.aggregators.Max())
        >>> ms.fold(both, mx.array([2.0, 1.0, 3.0]))
        {'mean': array(2, dtype=float32), 'peak': array(3, dtype=float32)}
    """
    if not aggregators:
        raise errors.ScanError("[join] expects at least one aggregator, by name; got none.")
    items = tuple((key, _aggregator(key, each)) for key, each in aggregators.items())
    events = {key: each.event for key, each in items}
    if len(set(events.values())) > 1:
        raise errors.ScanError(f"[join] aggregators of the same inputs have one event; got {events}.")
    return Joined(items)


def _aggregator(key: str, given: Any) -> Aggregator:
    if isinstance(given, Semigroup):
        return given.aggregator()
    if not isinstance(given, Aggregator):
        raise errors.ScanTypeError(f"[join] {key} must be an aggregator; got {tree.shown(given)}.")
    return given
