"""Operators on elements with a flag: values that may be missing, segments that start."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan import errors, tree
from monoscan.monoids import domain, facts
from monoscan.monoids.action import Action, State
from monoscan.monoids.base import Element, Monoid, Semigroup
from monoscan.monoids.combinators import parts
from monoscan.monoids.combinators.parts import Dtypes
from monoscan.monoids.facts import Facts
from monoscan.monoids.shapes import align

Flagged = tuple[mx.array, Element]


def _select(condition: mx.array, yes: Element, no: Element) -> Element:
    return tree.map_leaves(lambda x, y: mx.where(condition, x, y), yes, no)


@attrs.frozen
class _Flagged(Monoid):
    """What `Maybe` and `Segmented` share: pairs of a bool and an element of the inner operator."""

    flag: ClassVar[str]
    inner: Semigroup = attrs.field()

    @inner.validator
    def _is_operator(self, field: Any, value: Any) -> None:
        parts.operator(type(self).__name__, value)

    @property
    def template(self) -> Any:
        return None if self.inner.template is None else (self.flag, self.inner.template)

    @property
    def name(self) -> str:
        return f"{type(self).__name__}({self.inner.name})"

    @abstractmethod
    def combine(self, left: Flagged, right: Flagged) -> Flagged: ...

    def promote(self, dtypes: Dtypes) -> Dtypes:
        return ("bool", *self.inner.promote(dtypes[1:]))

    def check(self, dtypes: Dtypes) -> None:
        self._check_flag(dtypes[0], "; the two look swapped" if dtypes[1:] == ("bool",) else "")
        self.inner.check(dtypes[1:])

    def _check_flag(self, dtype: str, why: str = "") -> None:
        if dtype != "bool":
            raise errors.ScanTypeError(
                f"[{self.name}] takes pairs ({self.flag}, value), and {self.flag} must be bool; got {dtype}{why}. "
                "Make it by a comparison, or by .astype(mx.bool_)."
            )

    def _flags(self, value: Any) -> mx.array:
        """The flags that ``embed`` was given."""
        flags = domain.given(f"{self.name}.embed", self.flag, value)
        self._check_flag(names.name_of(flags.dtype))
        return flags

    def events(self, structure: tree.Structure) -> tuple[int, ...]:
        expected = (self.flag, self.inner.template or self.inner.name)
        return (0, *self.inner.events(parts.children(self.name, structure, 2, expected)[1]))


@final
@attrs.frozen
class Maybe(_Flagged):
    """The operator on values some of which are missing; it gives any operator an identity.

    Elements are pairs ``(valid, value)``; ``combine`` skips the side that is not valid.
    Identity (False, zeros). Valid NaN and infinities are those of the inner operator; those
    that are not valid do not matter.

    Source: the monoid that a semigroup generates; Haskell's ``Maybe``.

    Args:
        inner (Semigroup): The operator.

    Raises:
        ScanTypeError: ``inner`` is no operator.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> y = mx.array([4.0, mx.nan, 6.0])
        >>> seen, filled = ms.scan(ms.Maybe(ms.Last()), (mx.logical_not(mx.isnan(y)), y))
        >>> filled
        array([4, 4, 6], dtype=float32)
    """

    flag = "valid"

    def embed(self, valid: mx.array, *raw: Any, axis: int = 0) -> Flagged:
        """Pairs of ``valid`` and the inner operator's element, zero where it is not valid.

        ``axis`` is that of the scan, by which the batch axes of both are aligned.

        Raises:
            ScanTypeError: ``valid`` is not bool.
            ScanError: Its shape does not fit.
        """
        valid = self._flags(valid)
        leaves, structure = tree.flatten(self.inner.embed(*raw))
        events = self.inner.events(structure)
        try:
            kept = [_masked(valid, leaf, event, axis) for leaf, event in zip(leaves, events, strict=True)]
        except ValueError as error:
            raise errors.ScanError(
                f"[{self.name}.embed] {self.flag} must have the length of the values along axis {axis}, and batch axes that "
                f"broadcast with theirs; got {tree.describe((valid, tree.unflatten(structure, leaves)))}."
            ) from error
        return valid, tree.unflatten(structure, kept)

    def project(self, element: Flagged) -> tuple[mx.array, Any]:
        """Whether there was a value, and the inner operator's answer."""
        valid, value = parts.element(self, element, 2)
        return valid, self.inner.project(value)

    def combine(self, left: Flagged, right: Flagged) -> Flagged:
        (seen_l, x), (seen_r, y) = left, right
        both = mx.logical_and(seen_l, seen_r)
        either = _select(seen_r, y, x)
        return mx.logical_or(seen_l, seen_r), _select(both, self.inner.combine(x, y), either)

    def identity(self, like: Flagged) -> Flagged:
        return mx.full(like[0].shape, False, mx.bool_), tree.map_leaves(mx.zeros_like, like[1])

    def before(self, total: Flagged, element: Flagged) -> Flagged:
        """The inner operator's, between values that are there."""
        (seen, x), (valid, y) = total, element
        return seen, _select(mx.logical_and(seen, valid), self.inner.before(x, y), x)

    def after(self, element: Flagged, total: Flagged) -> Flagged:
        """The inner operator's, between values that are there."""
        (valid, x), (seen, y) = element, total
        return seen, _select(mx.logical_and(seen, valid), self.inner.after(x, y), y)

    @property
    def right(self) -> Action:
        """The inner operator's, on pairs ``(seen, state)``: what is not valid moves nothing.

        The first valid value begins the state of which nothing was seen, where the inner operator has a ``begin``.
        """
        return self._skipping(self.inner.right)

    @property
    def left(self) -> Action:
        """As on the right, with the inner operator's left."""
        return self._skipping(self.inner.left)

    def _skipping(self, inner: Action) -> Action:
        begin = inner.begin

        def act(state: State, element: Flagged) -> State:
            (seen, s), (valid, x) = state, element
            moved = inner.act(s, x)
            moved = moved if begin is None else _select(seen, moved, begin(x))
            return mx.logical_or(seen, valid), _select(valid, moved, s)

        def of(function: Callable[[Element], State] | None) -> Callable[[Flagged], State] | None:
            return None if function is None else lambda element: (element[0], function(element[1]))

        def events(structure: tree.Structure) -> tuple[int, ...]:
            expected = ("seen", inner.template or self.inner.name)
            return (0, *inner.events(parts.children(self.name, structure, 2, expected)[1]))

        template = None if inner.template is None else ("seen", inner.template)
        return Action(act, of(begin), events, template, of(inner.states))

    @property
    def restarts(self) -> bool:
        return self.inner.restarts

    def facts(self, dtypes: Dtypes) -> Facts:
        return facts.maybe(self.inner.facts(dtypes[1:]))


@final
@attrs.frozen
class Segmented(_Flagged):
    """Independent scans of consecutive segments.

    Elements are pairs ``(flag, value)``, where True starts a segment; ``combine`` is
    ``(f_l or f_r, v_r if f_r else inner(v_l, v_r))``. Identity (False, the inner
    operator's), if that has one. NaN and infinities do not pass the start of a segment.

    Source: Blelloch, *Prefix Sums and Their Applications* (1990), section 1.5.

    Args:
        inner (Semigroup): The operator.

    Raises:
        ScanTypeError: ``inner`` is no operator.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> start = mx.array([True, False, True, False])
        >>> ms.scan(ms.Segmented(ms.Sum()), (start, mx.array([1, 2, 3, 4])))[1]
        array([1, 3, 3, 7], dtype=int32)
    """

    flag = "flag"

    @property
    def has_identity(self) -> bool:
        return self.inner.has_identity

    def embed(self, flag: mx.array, *raw: Any, **options: Any) -> Flagged:
        """Pairs of ``flag`` and the inner operator's element.

        Raises:
            ScanTypeError: ``flag`` is not bool.
        """
        return self._flags(flag), self.inner.embed(*raw, **options)

    def project(self, element: Flagged) -> Any:
        """The inner operator's answer."""
        return self.inner.project(parts.element(self, element, 2)[1])

    def combine(self, left: Flagged, right: Flagged) -> Flagged:
        (start_l, x), (start_r, y) = left, right
        return mx.logical_or(start_l, start_r), _select(start_r, y, self.inner.combine(x, y))

    def identity(self, like: Flagged) -> Flagged:
        return mx.full(like[0].shape, False, mx.bool_), parts.identity(self.inner, like[1])

    def before(self, total: Flagged, element: Flagged) -> Flagged:
        """The identity before the head of a segment: what comes before it belongs to another one.

        Raises:
            IdentityError: The inner operator has no identity.
        """
        if not self.inner.has_identity:
            raise errors.IdentityError(
                f"{self.name} has no identity, and an exclusive scan gives one at the head of each segment. Use "
                "an inner operator with an identity (Maybe(operator) adjoins one)."
            )
        (started, x), (head, y) = total, element
        shown = _select(head, parts.identity(self.inner, x), self.inner.before(x, y))
        return mx.logical_and(started, mx.logical_not(head)), shown

    def after(self, element: Flagged, total: Flagged) -> Flagged:
        """The inner operator's, unless ``total`` starts a segment, which the element does not reach."""
        (_, x), (head, y) = element, total
        return head, _select(head, y, self.inner.after(x, y))

    @property
    def right(self) -> Action:
        """The inner operator's, begun anew at each head; the operator on itself where that has no ``begin``."""
        inner = self.inner.right
        begin = inner.begin
        if begin is None:
            return super().right

        def act(state: State, element: Flagged) -> State:
            head, x = element
            return _select(head, begin(x), inner.act(state, x))

        return Action(act, lambda element: begin(element[1]), inner.event, inner.template)

    @property
    def restarts(self) -> bool:
        return True

    def facts(self, dtypes: Dtypes) -> Facts:
        return facts.segmented(self.inner.facts(dtypes[1:]))


def _masked(valid: mx.array, leaf: mx.array, event: int, axis: int) -> mx.array:
    """The leaf, zero where it is not valid."""
    rank = max(leaf.ndim - event, valid.ndim)
    condition, value = align(valid, axis, rank), align(leaf, axis, rank, event)
    return mx.where(condition[(..., *(None,) * event)], value, 0).astype(leaf.dtype)
