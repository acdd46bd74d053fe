"""`scaled_matmul`: the running products of non-negative matrices, far beyond the range of floats."""

from __future__ import annotations

import mlx.core as mx

from monoscan import errors
from monoscan.arguments import flag
from monoscan.held import floats
from monoscan.monoids import domain
from monoscan.monoids.scaled import ScaledMatMul
from monoscan.scan.api import scan


def scaled_matmul(matrices: mx.array, axis: int = 0, *, reverse: bool = False) -> tuple[mx.array, mx.array]:
    """All running products of matrices whose entries are not negative, each with the logarithm of its scale.

    Products of probabilities or of rates under- or overflow after some hundred factors; these are divided by their
    greatest entry at every step, in the kernel.

    Source: Rabiner, *A Tutorial on Hidden Markov Models* (1989), section V.A.

    Args:
        matrices (array): Square matrices, of shape ``(..., d, d)`` with the sequence along ``axis``.
        axis (int, optional): The axis of the sequence. Default: ``0``.
        reverse (bool, optional): Multiply from the last matrix back. Default: ``False``.

    Returns:
        tuple: The products divided by their greatest entries, with the shape of ``matrices``, and the logarithms of these.

    Raises:
        ScanError: The matrices are not square.
        ScanTypeError: They are complex.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import linalg
        >>> product, log_scale = linalg.scaled_matmul(mx.full((1000, 2, 2), 1e-3))
        >>> product[-1], log_scale[-1]
        (array([[1, 1],
               [1, 1]], dtype=float32), array(-6215.3, dtype=float32))
    """
    matrices, reverse = (
        floats("[scaled_matmul] matrices", matrices, cast=True),
        flag("scaled_matmul", "reverse", reverse),
    )
    if matrices.ndim < 3 or matrices.shape[-1] != matrices.shape[-2]:
        raise errors.ScanError(
            f"[scaled_matmul] expects square matrices along an axis, of shape (..., d, d) with one axis more; got "
            f"{matrices.shape}."
        )
    at = domain.axis_of("scaled_matmul", "matrices", matrices, axis)
    if at >= matrices.ndim - 2:
        raise errors.ScanError(
            f"[scaled_matmul] axis {axis} of matrices, whose shape is {matrices.shape}, is one of a matrix; the axis of the "
            f"sequence is from 0 to {matrices.ndim - 3}."
        )
    operator = ScaledMatMul()
    elements = operator.embed(matrices)
    product, log_scale = scan(operator, elements, at, reverse=reverse)
    return product, log_scale
