"""The two public bases: `Semigroup` has ``combine``, `Monoid` adds ``identity``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, final

import attrs

from monoscan import errors, tree
from monoscan.monoids import domain, facts
from monoscan.monoids.action import Action, State, unchanged
from monoscan.monoids.aggregator import Aggregator, OfOperator
from monoscan.monoids.declared import Declared
from monoscan.monoids.facts import Facts

Element = Any
"""One element: an array, or a tree of arrays."""


@attrs.frozen
class Semigroup(Declared):
    """An associative operator.

    Subclass it, decorate the subclass with ``attrs.frozen`` if it has fields, and write
    ``combine`` for **one element**: no scan axis and no batch axes, in MLX operations,
    with ``mx.where`` where Python would say ``if``.

    Attributes:
        event: How many trailing axes of each leaf belong to an element: an int for all
            leaves, or a tuple with one for each leaf. Default: ``0``.
        template: The tree that the operator expects, with a name for each leaf, as
            ``("a", "b")``; ``None`` accepts any tree. Default: ``None``.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> class Longest(ms.Semigroup):
        ...     def combine(self, left, right):
        ...         return mx.maximum(left, right)
        >>> ms.scan(Longest(), mx.array([1, 3, 2]))
        array([1, 3, 3], dtype=int32)
    """

    event: ClassVar[int | tuple[int, ...]] = 0
    template: ClassVar[Any] = None

    @abstractmethod
    def combine(self, left: Element, right: Element) -> Element:
        """The product of two elements, ``left`` first."""

    def embed(self, *raw: Any, **options: Any) -> Element:
        """An element from raw input. Default: the input itself."""
        element = raw[0] if len(raw) == 1 else raw
        if self.template is None:
            return domain.converted(f"[{self.name}.embed]", element)
        return domain.element(self, element, "embed")

    def project(self, element: Element) -> Any:
        """The answer that an element stands for. Default: the element itself."""
        return element if self.template is None else domain.element(self, element)

    @property
    def right(self) -> Action:
        """How elements act on the state before them, as in `act`. Default: the operator on itself."""
        return self._on_itself(self.combine)

    @property
    def left(self) -> Action:
        """How elements act on the state after them. Default: the operator on itself."""
        return self._on_itself(lambda state, element: self.combine(element, state))

    def _on_itself(self, act: Callable[[State, Element], State]) -> Action:
        return Action(act, unchanged, self.events, self.template)

    def before(self, total: Element, element: Element) -> Element:
        """What an exclusive scan shows before an element. Default: all of ``total``.

        An element that forgets what is on its left, as the head of a segment does, has the
        identity there.

        Args:
            total (element): The product of what comes before it.
            element (element): The element, to the right of ``total``.
        """
        return total

    def after(self, element: Element, total: Element) -> Element:
        """The mirror image of ``before``: what is shown after an element, to the left of ``total``."""
        return total

    @property
    def restarts(self) -> bool:
        """Whether ``before`` or ``after`` may show anything else than ``total``."""
        kind = type(self)
        return kind.before is not Semigroup.before or kind.after is not Semigroup.after

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        """What is true of the operator on leaves of these dtypes (names as ``"float32"``)."""
        return Facts(associativity=facts.associativity(dtypes))

    def promote(self, dtypes: tuple[str, ...]) -> tuple[str, ...]:
        """The dtypes of result leaves for these of the elements. Default: the same."""
        return dtypes

    def check(self, dtypes: tuple[str, ...]) -> None:  # most operators take every dtype
        """Refuses leaves of dtypes that the operator is not defined on. Default: takes all.

        Raises:
            ScanTypeError: A leaf has a dtype that the operator does not take.
        """

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        """How many trailing axes of each leaf belong to an element, leaf by leaf."""
        number = tree.count(structure)
        if not isinstance(self.event, tuple):
            return (self.event,) * number
        if len(self.event) != number:
            raise errors.TreeError(
                f"[{self.name}] event names {len(self.event)} leaves, {self.event}; the elements have {number}."
            )
        return self.event

    def aggregator(self) -> Aggregator:
        """The operator from raw input to answers: ``embed``, its products, ``project``.

        Example:
            >>> import mlx.core as mx
            >>> import monoscan as ms
            >>> ms.scan(ms.Mean().aggregator(), mx.array([1.0, 3.0, 8.0]))
            array([1, 2, 4], dtype=float32)
        """
        return OfOperator(self if self.right.on_elements else Products(self))

    @property
    def parts(self) -> tuple[Semigroup, ...]:
        """The operators of a product (``Tuple``, ``Struct``), each of which is planned by itself. Default: none."""
        return ()

    @property
    def has_identity(self) -> bool:
        """Whether ``identity`` may be called."""
        return False


@attrs.frozen
class Monoid(Semigroup):
    """An associative operator with an identity.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> class Affine(ms.Monoid):
        ...     def combine(self, left, right):
        ...         return right[0] * left[0], right[0] * left[1] + right[1]
        ...     def identity(self, like):
        ...         return mx.ones_like(like[0]), mx.zeros_like(like[1])
        >>> half = mx.full((4,), 0.5)
        >>> ms.scan(Affine(), (half, mx.ones((4,))))[1]
        array([1, 1.5, 1.75, 1.875], dtype=float32)
    """

    @abstractmethod
    def identity(self, like: Element) -> Element:
        """The identity, as an element with the shapes and dtypes of ``like``."""

    @property
    def has_identity(self) -> bool:
        return True


def inverse_of(operator: Semigroup, element: Element) -> Element:
    """The inverse of an element of a group.

    Raises:
        ScanError: The operator has no ``inverse``.
    """
    inverse = getattr(operator, "inverse", None)
    if inverse is None:
        raise errors.ScanError(f"[inverse] {operator.name} has no inverse; facts().invertible says which operators do.")
    return inverse(element)


@final
@attrs.frozen
class Products(Semigroup):
    """An operator whose states are its products, whatever else its elements act on.

    Args:
        operator: The operator.
    """

    operator: Semigroup

    def combine(self, left: Element, right: Element) -> Element:
        return self.operator.combine(left, right)

    def embed(self, *raw: Any, **options: Any) -> Element:
        return self.operator.embed(*raw, **options)

    def project(self, element: Element) -> Any:
        return self.operator.project(element)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return self.operator.facts(dtypes)

    def promote(self, dtypes: tuple[str, ...]) -> tuple[str, ...]:
        return self.operator.promote(dtypes)

    def check(self, dtypes: tuple[str, ...]) -> None:
        self.operator.check(dtypes)

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        return self.operator.events(structure)

    @property
    def template(self) -> Any:
        return self.operator.template

    @property
    def name(self) -> str:
        return self.operator.name
