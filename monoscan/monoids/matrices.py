"""Products and linear systems of small matrices, in operations that trace to scalars."""

from __future__ import annotations

import mlx.core as mx

from monoscan import dtypes


def matmul(left: mx.array, right: mx.array) -> mx.array:
    """The product of two matrices of any numeric dtype; MLX's own takes no integers."""
    if not all(dtypes.is_exact(dtypes.name_of(side.dtype)) for side in (left, right)):
        return left @ right
    products = left[..., :, :, None] * right[..., None, :, :]
    return products.sum(axis=-2).astype(products.dtype)


def matvec(matrix: mx.array, vector: mx.array) -> mx.array:
    """The product of a matrix and a vector."""
    return matmul(matrix, vector[..., None])[..., 0]


def vecmat(vector: mx.array, matrix: mx.array) -> mx.array:
    """The product of a row and a matrix."""
    return matmul(vector[..., None, :], matrix)[..., 0, :]


def transpose(matrix: mx.array) -> mx.array:
    """The last two axes swapped."""
    return mx.swapaxes(matrix, -1, -2)


def identity(like: mx.array) -> mx.array:
    """The identity matrix, with the shape and dtype of ``like``."""
    return mx.broadcast_to(mx.eye(like.shape[-1], dtype=like.dtype), like.shape)


def solve(matrix: mx.array, right: mx.array) -> mx.array:
    """``matrix^-1 right`` for a square matrix and the columns of ``right``.

    Gauss-Jordan elimination with partial pivoting, unrolled, with rows swapped by select:
    no shape depends on a value, so it traces to scalars, batches and differentiates. A
    singular matrix gives infinities or NaN. One row is a plain division.

    Args:
        matrix (array): Shape ``(..., d, d)``.
        right (array): Shape ``(..., d, k)``, with the same leading axes.

    Returns:
        array: Shape ``(..., d, k)``.
    """
    size = matrix.shape[-1]
    if size == 1:
        return right / matrix
    both = mx.concatenate([matrix, right], axis=-1)
    rows = [both[..., i : i + 1, :] for i in range(size)]
    for column in range(size):
        _pivot(rows, column)
        _eliminate(rows, column)
    return mx.concatenate(rows, axis=-2)[..., size:]


def _pivot(rows: list[mx.array], column: int) -> None:
    """Brings the row with the greatest entry of the column to its place."""
    for i in range(column + 1, len(rows)):
        top, row = rows[column], rows[i]
        swap = mx.abs(_entry(row, column)) > mx.abs(_entry(top, column))
        rows[column], rows[i] = mx.where(swap, row, top), mx.where(swap, top, row)


def _eliminate(rows: list[mx.array], column: int) -> None:
    """Scales the pivot to one and clears the rest of the column."""
    rows[column] = rows[column] / _entry(rows[column], column)
    for i in range(len(rows)):
        if i != column:
            rows[i] = rows[i] - _entry(rows[i], column) * rows[column]


def _entry(row: mx.array, column: int) -> mx.array:
    return row[..., column : column + 1]
