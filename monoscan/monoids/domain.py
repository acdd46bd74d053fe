"""Which dtypes an operator takes, and constants of every dtype."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from monoscan import dtypes, errors, tree

if TYPE_CHECKING:
    from monoscan.monoids.base import Semigroup

ORDERED = dtypes.FLOATS | dtypes.INTEGERS | {"bool"}


def require(
    operator: Semigroup, given: tuple[str, ...], allowed: AbstractSet[str], why: str, leaves: range | None = None
) -> None:
    """Refuses leaves of other dtypes.

    Args:
        operator (Semigroup): Whose leaves they are.
        given (tuple(str)): The dtype of each leaf.
        allowed (set(str)): The dtypes that the operator takes.
        why (str): What the message says about the reason, as ``"its identity is -inf"``.
        leaves (range, optional): The leaves to look at. Default: all of them.

    Raises:
        ScanTypeError: A leaf has another dtype.
    """
    names = tree.flatten(operator.template)[0]
    for i in leaves or range(len(given)):
        if given[i] not in allowed:
            raise errors.ScanTypeError(
                f"[{operator.name}] takes {_words(allowed)} only, since {why}; leaf {names[i]} is {given[i]}. "
                f"Cast it first, as in {names[i]}.astype(mx.{_example(allowed)})."
            )


def _words(allowed: AbstractSet[str]) -> str:
    kinds = {"floats": dtypes.FLOATS, "integers": dtypes.INTEGERS, "complex64": dtypes.COMPLEX, "bool": {"bool"}}
    return " and ".join(word for word, kind in kinds.items() if kind <= allowed)


def _example(allowed: AbstractSet[str]) -> str:
    preferred = ("float32", "int32", "bool_")
    return next(name for name in preferred if name.removesuffix("_") in allowed)


def fill(like: mx.array, value: Any) -> mx.array:
    """An array like another with one value throughout, also those above the range of int64."""
    if like.dtype == mx.uint64:
        value = mx.array(np.array(value, np.uint64))
    return mx.full(like.shape, value, like.dtype)


def lowest(like: mx.array) -> mx.array:
    """The identity of ``max``: -inf, the smallest integer, or False."""
    return fill(like, dtypes.lowest(dtypes.name_of(like.dtype)))


def highest(like: mx.array) -> mx.array:
    """The identity of ``min``: inf, the largest integer, or True."""
    return fill(like, dtypes.highest(dtypes.name_of(like.dtype)))
