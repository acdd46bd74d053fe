"""`monoid`: an operator from functions, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.monoids import domain, written
from monoscan.monoids.action import Action
from monoscan.monoids.base import Element, Monoid, Semigroup
from monoscan.monoids.facts import Facts, associativity

_NUMBERS = (bool, int, float, complex)
_KEYWORDS = {
    "function": "",
    "embedding": "embed",
    "projection": "project",
    "inversion": "inverse",
    "label": "name",
    "right_action": "right",
    "left_action": "left",
    "neutral": "identity",
}
"""The arguments of `monoid` that fields hold, where the names differ."""


@attrs.frozen(repr=False)
class _Functions(Semigroup):
    """What an operator made of functions shares, with or without an identity."""

    function: Callable[[Element, Element], Element]
    event: int | tuple[int, ...] = attrs.field(  # type: ignore[misc]  # a field here, a class attribute elsewhere
        default=0, converter=domain.trailing
    )
    embedding: Callable[..., Element] | None = None
    projection: Callable[[Element], Any] | None = None
    inversion: Callable[[Element], Element] | None = None
    commutative: bool = False
    idempotent: bool = False
    label: str | None = None
    right_action: Action | None = None
    left_action: Action | None = None

    def __repr__(self) -> str:
        keywords = ((_KEYWORDS.get(field.name, field.name), field) for field in attrs.fields(type(self)))
        given = ((keyword, getattr(self, field.name), field.default) for keyword, field in keywords)
        return written.call("monoid", ((keyword, each) for keyword, each, default in given if each is not default))

    def combine(self, left: Element, right: Element) -> Element:
        return self.function(left, right)

    def embed(self, *raw: Any, **options: Any) -> Element:
        return super().embed(*raw) if self.embedding is None else self.embedding(*raw, **options)

    def project(self, element: Element) -> Any:
        return element if self.projection is None else self.projection(element)

    def inverse(self, element: Element) -> Element:
        """The inverse of an element, where one was given."""
        if self.inversion is None:
            raise errors.ScanError(f"[inverse] {self.name} has no inverse; give monoid(..., inverse=...).")
        return self.inversion(element)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(self.commutative, self.idempotent, self.inversion is not None, associativity(dtypes))

    @property
    def right(self) -> Action:
        return self.right_action or super().right

    @property
    def left(self) -> Action:
        return self.left_action or super().left

    @property
    def name(self) -> str:
        return self.label or errors.called(self.function)


@final
@attrs.frozen(repr=False)
class CustomSemigroup(_Functions):
    """A semigroup of functions: what `monoid` returns without an identity."""


@final
@attrs.frozen(repr=False)
class CustomMonoid(_Functions, Monoid):
    """A monoid of functions: what `monoid` returns with an identity."""

    neutral: Any = None

    def identity(self, like: Element) -> Element:
        if callable(self.neutral):
            return self.neutral(like)
        leaves, structure = tree.flatten(like)
        values, given = tree.flatten(self.neutral)
        if given == tree.LEAF:
            values = values * len(leaves)
        elif given != structure:
            raise errors.TreeError(
                f"[{self.name}] identity has the tree {tree.describe(self.neutral)}; "
                f"elements are {tree.describe(like)}."
            )
        rows = zip(tree.paths(structure), leaves, values, strict=True)
        return tree.unflatten(structure, [self._filled(path, x, value) for path, x, value in rows])

    def _filled(self, path: str, like: mx.array, value: Any) -> mx.array:
        name, value = dtypes.name_of(like.dtype), dtypes.number(value)
        value = value.item() if _is_array(value) and value.ndim == 0 else value
        if not isinstance(value, _NUMBERS):
            return self._spread(path, like, mx.array(value))
        if isinstance(value, float) and value.is_integer() and name not in dtypes.FLOATS | dtypes.COMPLEX:
            value = int(value)
        if dtypes.holds(name, value):
            return domain.fill(like, value)
        raise errors.ScanTypeError(
            f"[{self.name}] its identity {value!r:.40} is no {name}, the dtype of leaf {path or 'x'}. Cast the elements, or give "
            "identity=lambda like: ..., which can tell dtypes apart."
        )

    def _spread(self, path: str, like: mx.array, value: mx.array) -> mx.array:
        fits = value.ndim <= like.ndim and all(
            a in (1, b) for a, b in zip(value.shape[::-1], like.shape[::-1], strict=False)
        )
        if not fits:
            raise errors.ScanTypeError(
                f"[{self.name}] its identity has shape {value.shape}; leaf {path or 'x'} of one element has {like.shape}. "
                "Give a number for each leaf, or identity=lambda like: ..., which returns one element."
            )
        return mx.broadcast_to(value, like.shape)


def monoid(
    combine: Callable[[Element, Element], Element],
    *,
    identity: Any = None,
    event: int | tuple[int, ...] = 0,
    embed: Callable[..., Element] | None = None,
    project: Callable[[Element], Any] | None = None,
    inverse: Callable[[Element], Element] | None = None,
    commutative: bool = False,
    idempotent: bool = False,
    right: Action | None = None,
    left: Action | None = None,
    name: str | None = None,
) -> CustomSemigroup | CustomMonoid:
    """An operator from a function.

    Args:
        combine (callable): ``combine(left, right)`` of one element each, in MLX operations.
        identity (scalars or callable, optional): The identity: a scalar for each leaf, in
            the tree of an element (one scalar serves all leaves), or ``identity(like)``
            that returns an element with the shapes and dtypes of ``like``. Without it the
            operator is a semigroup. Default: ``None``.
        event (int or tuple(int), optional): How many trailing axes of each leaf belong to
            an element. Default: ``0``.
        embed (callable, optional): An element from raw input. Default: ``None``.
        project (callable, optional): The answer that an element stands for. Default: ``None``.
        inverse (callable, optional): The inverse of an element. Default: ``None``.
        commutative (bool, optional): A fact, checked by the laws. Default: ``False``.
        idempotent (bool, optional): A fact, checked by the laws. Default: ``False``.
        right (Action, optional): How elements act on the state before them. Default: the operator on itself.
        left (Action, optional): How elements act on the state after them. Default: the operator on itself.
        name (str, optional): How messages call it. Default: the function's name.

    Returns:
        CustomMonoid or CustomSemigroup: The operator.

    Raises:
        ScanTypeError: ``combine`` is not callable, or another argument is of another type.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> decay = ms.monoid(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), identity=(1, 0), name="decay")
        >>> ms.scan(decay, (mx.full((3,), 0.5), mx.ones((3,))))[1]
        array([1, 1.5, 1.75], dtype=float32)
    """
    if not callable(combine):
        raise errors.ScanTypeError(f"[monoid] combine must be callable; got {combine!r:.60}.")
    for what, given in (("embed", embed), ("project", project), ("inverse", inverse)):
        if given is not None and not callable(given):
            raise errors.ScanTypeError(f"[monoid] {what} must be a function; got {given!r:.60}.")
    for what, fact in (("commutative", commutative), ("idempotent", idempotent)):
        if not isinstance(fact, bool):
            raise errors.ScanTypeError(f"[monoid] {what} must be True or False; got {tree.shown(fact)}.")
    for what, action in (("right", right), ("left", left)):
        if action is not None and not isinstance(action, Action):
            raise errors.ScanTypeError(f"[monoid] {what} must be an Action(act, ...); got {tree.shown(action)}.")
    if name is not None and type(name) is not str:
        raise errors.ScanTypeError(f"[monoid] name must be a text; got {tree.shown(name)}.")
    if not callable(identity) and not all(map(_is_constant, _scalars(identity))):
        raise errors.ScanTypeError(
            f"[monoid] identity must be a number for each leaf, or a function identity(like); got {tree.shown(identity)}."
        )
    shared = (combine, event, embed, project, inverse, commutative, idempotent, name, right, left)
    return CustomSemigroup(*shared) if identity is None else CustomMonoid(*shared, identity)


def _is_constant(value: Any) -> bool:
    return isinstance(dtypes.number(value), (*_NUMBERS, mx.array)) or _is_array(value)


def _is_array(value: Any) -> bool:
    import numpy as np

    return isinstance(value, np.ndarray)


def _scalars(identity: Any) -> list[Any]:
    return [] if identity is None else tree.flatten(identity)[0]
