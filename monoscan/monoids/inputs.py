"""What an aggregator may be given beside sequences: an input without a time axis, and the position in the sequence."""

from __future__ import annotations

from typing import Any, final

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.held import to_mlx


@final
@attrs.frozen(eq=False)
class Fixed:
    """An input that is the same at every position; `fixed` makes it."""

    array: mx.array

    def __repr__(self) -> str:
        return f"fixed({self.array!r})"


@final
@attrs.frozen
class Position:
    """The index in the sequence, an int32; `position` is the one that counts from 0.

    Args:
        start: The index of the first position.
    """

    start: int = 0

    def __repr__(self) -> str:
        return f"Position({self.start})" if self.start else "position"


position = Position()
"""The index in the sequence as an input of an aggregator, counted from 0 in array order; it takes no memory."""


def fixed(x: Any) -> Fixed:
    """An input of an aggregator, or a leaf of an act's elements, that has no time axis: it is the same at every position.

    Args:
        x (array): The input: its batch axes, which broadcast with those of the other inputs, then its event axes.
            A number becomes an array.

    Returns:
        Fixed: The input, for `scan`, `fold` and `act`.

    Raises:
        ScanTypeError: It is neither an array nor a number.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> scaled = ms.aggregator(lambda x, c: x * c, ms.Sum(), lambda total, x, c: total)
        >>> ms.scan(scaled, (mx.array([1.0, 2.0, 3.0]), ms.fixed(10.0)))
        array([10, 30, 60], dtype=float32)
        >>> ms.act(ms.Affine(), (ms.fixed(0.5), mx.ones((3,))), mx.array(2.0))
        array([2, 2, 2], dtype=float32)
    """
    x = dtypes.number(to_mlx("[fixed] x", x))
    if isinstance(x, (bool, int, float, complex)):
        x = mx.array(x)
    if not isinstance(x, mx.array):
        raise errors.ScanTypeError(f"[fixed] expects an array; got {tree.shown(x)}. Convert it with mx.array(...).")
    return Fixed(x)


def given(x: Any) -> Any:
    """The array of an input that is fixed; any other input as it is."""
    return x.array if isinstance(x, Fixed) else x
