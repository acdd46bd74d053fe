"""``window``: the fold of the last few elements at each position."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, overload

import mlx.core as mx

from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.base import Semigroup
from monoscan.scan.later import call
from monoscan.scan.later import window as windows
from monoscan.tree import Tree

if TYPE_CHECKING:
    from monoscan.scan.typed import Elements, Strategy

Stream = Any


@overload
def window(
    operator: Semigroup,
    elems: Elements,
    size: int,
    /,
    axis: int = ...,
    *,
    partial: bool = ...,
    strategy: Strategy = ...,
    stream: Stream = ...,
) -> Elements: ...
@overload
def window(
    operator: Aggregator,
    elems: Tree,
    size: int,
    /,
    axis: int = ...,
    *,
    partial: bool = ...,
    strategy: Strategy = ...,
    stream: Stream = ...,
) -> Any: ...
def window(
    operator: Semigroup | Aggregator,
    elems: Tree,
    size: int,
    /,
    axis: int = 0,
    *,
    partial: bool = True,
    strategy: Strategy = "auto",
    stream: Stream = None,
) -> Any:
    """The fold of the last ``size`` elements at each position: ``y[i] = x[i-size+1] . ... . x[i]``.

    The sequence is cut into blocks of ``size``, each is scanned from either end, and one combine joins the end of a
    block to the start of the next: three combines an element whatever the size, no inverse, and a NaN or an infinity
    is gone once it has left the window. As in trees of combines, products of parts may overflow where the fold in order
    does not: a window of gates above 1, whose product is infinite, over inputs of zero holds NaN.

    Source: van Herk, *A fast algorithm for local minimum and maximum filters on rectangular and octagonal kernels*
    (Pattern Recognition Letters 13, 1992); Gil and Werman, *Computing 2-D min, median, and max filters* (IEEE PAMI 15,
    1993).

    Args:
        operator (Semigroup or Aggregator): What to fold with; of an aggregator, the elements that it prepares are
            folded, and the outputs are what it presents.
        elems (array or tree): Elements of one length n along ``axis``, or inputs, as `scan` takes them.
        size (int): How many elements a window holds, at least 1; beyond n it is the scan.
        axis (int, optional): The axis along which the window moves. Default: ``0``.
        partial (bool, optional): Keep the length n: the first ``size - 1`` windows hold what there is. If not, the
            results are those of whole windows, of length ``max(0, n - size + 1)``. Default: ``True``.
        strategy (str, optional): How the blocks are scanned, as in `scan`. Default: ``"auto"``.
        stream (Stream or Device, optional): Where to run. Default: ``None``.

    Returns:
        array or tree: The tree of ``elems``; of an aggregator that of its outputs.

    Raises:
        ScanTypeError: ``size`` is no whole number.
        ScanError: ``size`` is less than 1; or as in `scan`.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.window(ms.Max(), mx.array([3, 1, 4, 1, 5, 2]), 3)
        array([3, 3, 4, 4, 5, 5], dtype=int32)
        >>> ms.window(ms.Mean().aggregator(), mx.array([1.0, 3.0, 5.0, 7.0]), 2, partial=False)
        array([2, 4, 6], dtype=float32)
    """
    asked = call.options("window", strategy=strategy, stream=stream)
    with contextlib.nullcontext() if stream is None else mx.stream(stream):
        return windows.run(asked, operator, elems, size, axis, call.flag("window", "partial", partial))
