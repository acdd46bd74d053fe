"""``associative_scan``: functions of whole slices, as JAX has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from monoscan.scan.later import associative

if TYPE_CHECKING:
    from monoscan.scan.typed import Elements


def associative_scan(
    fn: Callable[[Elements, Elements], Elements], elems: Elements, reverse: bool = False, axis: int = 0
) -> Elements:
    """All running totals under an associative function of whole slices, as in ``jax.lax.associative_scan``.

    ``fn`` gets slices along ``axis``, of any length, and must combine them position by
    position; along other axes it may look at positions and sizes, slice, join and mask.
    It is recorded on slices of the true shapes. Where the record shows that it works
    element by element, or on trailing axes alone, it gets the plan and the speed of
    ``scan`` with ``monoid(fn, event=...)``; else it is called as JAX calls it, on the
    slices of an odd/even recursion. Half-precision elements are combined in float32 and
    rounded once.

    Args:
        fn (callable): ``fn(left, right)``, associative; returns the tree, shapes and dtypes
            of its arguments.
        elems (array or tree): Arrays of one length along ``axis``.
        reverse (bool, optional): Scan from the end: flip, scan, flip; ``fn`` then gets the
            later slices first. Default: ``False``.
        axis (int, optional): The scan axis; a negative one needs leaves of one rank.
            Default: ``0``.

    Returns:
        array or tree: The tree of ``elems``.

    Raises:
        ScanError: ``fn`` is no function, or elements, axis or what ``fn`` returns do not fit.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> ms.associative_scan(mx.add, mx.array([1, 2, 3]))
        array([1, 3, 6], dtype=int32)
    """
    found: Elements = associative.run(fn, elems, reverse, axis)
    return found
