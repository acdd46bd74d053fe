"""`solve_tridiagonal`: elimination forwards and substitution backwards, a loop each."""

from __future__ import annotations

import mlx.core as mx

from monoscan import errors
from monoscan.arguments import batch
from monoscan.held import floats
from monoscan.scan.api import linear_recurrence
from monoscan.scan.api_states import loop

Row = tuple[mx.array, mx.array, mx.array, mx.array]
Pair = tuple[mx.array, mx.array]


def solve_tridiagonal(dl: mx.array, d: mx.array, du: mx.array, b: mx.array) -> mx.array:
    """The solution of ``dl[i] x[i-1] + d[i] x[i] + du[i] x[i+1] = b[i]``, for many systems at once.

    By the Thomas algorithm, which takes no pivots: it is accurate where the matrix is diagonally dominant or symmetric and
    positive definite, as those of splines, diffusion and smoothing are. For others it may lose digits, or divide by zero.

    Source: Golub and Van Loan, *Matrix Computations* (2013), section 4.3.6; the arguments are those of
    ``jax.lax.linalg.tridiagonal_solve``.

    Args:
        dl (array): The lower diagonal, of shape ``(..., n)``; the first item is not read.
        d (array): The diagonal, of shape ``(..., n)``.
        du (array): The upper diagonal, of shape ``(..., n)``; the last item is not read.
        b (array): The right-hand sides, of shape ``(..., n)``, or ``(..., n, k)`` for k of each system.

    Returns:
        array: The solutions, with the shape of ``b`` and its batch axes broadcast with those of the diagonals.

    Raises:
        ScanTypeError: An argument is no array of real floats.
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import linalg
        >>> off, on = mx.full((4,), -1.0), mx.full((4,), 2.0)
        >>> linalg.solve_tridiagonal(off, on, off, mx.array([1.0, 0.0, 0.0, 1.0]))
        array([1, 1, 1, 1], dtype=float32)
    """
    named = (("dl", dl), ("d", d), ("du", du), ("b", b))
    *diagonals, right = (floats(f"[solve_tridiagonal] {name}", x) for name, x in named)
    rank, size = max(x.ndim for x in diagonals), diagonals[1].shape[-1] if diagonals[1].ndim else 0
    vectors = right.ndim <= rank
    columns = right[..., None] if vectors else right
    if any(x.ndim < 1 or x.shape[-1] != size for x in diagonals) or columns.ndim < 2 or columns.shape[-2] != size:
        raise errors.ScanError(
            "[solve_tridiagonal] expects dl, d and du of shape (..., n) and b of shape (..., n) or (..., n, k); got "
            f"{', '.join(str(x.shape) for x in diagonals)} and {right.shape}."
        )
    batches = {name: x.shape[:-1] for (name, _), x in zip(named, diagonals, strict=False)}
    batch("solve_tridiagonal", "all but the last of dl, d and du", **batches, b=columns.shape[:-2])
    if not size:
        return right
    lower, diagonal, upper = (x[..., None] for x in diagonals)
    edge = mx.arange(size)[:, None]
    rows = (mx.where(edge == 0, 0, lower), diagonal, mx.where(edge == size - 1, 0, upper), columns)
    axis = max(x.ndim for x in rows) - 2
    alike = tuple(x.reshape((1,) * (axis + 2 - x.ndim) + x.shape) for x in rows)
    zero = mx.zeros((), columns.dtype)
    ratios, reduced = loop(_eliminate, alike, (zero, zero), axis)
    found: mx.array = linear_recurrence(-ratios, reduced, axis=axis, reverse=True)
    return found[..., 0] if vectors else found


def _eliminate(before: Pair, row: Row) -> tuple[Pair, Pair]:
    """A row without its lower item, divided by its diagonal: the upper item and the right-hand side."""
    (ratio, reduced), (lower, diagonal, upper, right) = before, row
    pivot = diagonal - lower * ratio
    now = upper / pivot, (right - lower * reduced) / pivot
    return now, now
