"""Linear Gaussian models as arrays: checked, aligned along time, with missing entries removed."""

from __future__ import annotations

import mlx.core as mx

from monoscan import dtypes as names
from monoscan import errors
from monoscan.monoids import domain
from monoscan.monoids.shapes import align, along

Matrices = tuple[mx.array, ...]


def axis_of_time(call: str, series: mx.array, axis: int) -> int:
    """The axis of time of a series of vectors, counted from the front.

    Raises:
        ScanError: The series has no such axis beside that of its vectors.
    """
    rank = series.ndim - 1
    if not -rank <= axis < rank:
        raise errors.ScanError(
            f"[{call}] expects a series of vectors with time along axis {axis}; got shape {tuple(series.shape)}. "
            "A series of numbers is y[:, None]."
        )
    return axis % rank


def expect(call: str, name: str, matrix: mx.array, shape: tuple[int, int]) -> None:
    """Refuses a matrix of another shape.

    Raises:
        ScanError: The last two axes have another shape.
    """
    if tuple(matrix.shape[-2:]) != shape:
        raise errors.ScanError(
            f"[{call}] {name} must have the shape (..., {shape[0]}, {shape[1]}); got {tuple(matrix.shape)}."
        )


def expect_state(call: str, mean: mx.array, covariance: mx.array) -> None:
    """Refuses a mean that is no vector, and a covariance of another size.

    Raises:
        ScanError: As said.
    """
    if not mean.ndim:
        raise errors.ScanError(f"[{call}] mean must have the shape (..., d); got (). A number is mean[None].")
    expect(call, "covariance", covariance, (mean.shape[-1], mean.shape[-1]))


def expect_steps(call: str, axis: int, name: str, series: mx.array, **matrices: mx.array) -> None:
    """Refuses a model whose steps, or batch axes, are not those of the series.

    Raises:
        ScanError: A matrix has more axes than the series has vectors, or they do not broadcast.
    """
    rank = series.ndim - 1
    for each, matrix in matrices.items():
        if matrix.ndim - 2 > rank:
            raise errors.ScanError(
                f"[{call}] {each} has {matrix.ndim - 2} axes in front of its last two, and {name} has {rank} in front of "
                f"its last one; got {tuple(matrix.shape)} and {tuple(series.shape)}. Give {name} the others too, of size 1."
            )
    batches = {each: align(matrix, axis, rank, event=2).shape[:-2] for each, matrix in matrices.items()}
    try:
        mx.broadcast_shapes(series.shape[:-1], *batches.values())
    except ValueError as error:
        shapes = ", ".join(f"{each} {tuple(matrix.shape)}" for each, matrix in ({name: series} | matrices).items())
        raise errors.ScanError(
            f"[{call}] the model must have one matrix, or one for each step of {name} along axis {axis}, and batch axes that "
            f"broadcast; got {shapes}."
        ) from error


def expect_mask(call: str, y: mx.array, mask: mx.array) -> None:
    """Refuses what does not say of each entry of ``y`` whether it is there.

    Raises:
        TreeError: It is no array.
        ScanTypeError: It is not bool.
        ScanError: Its axes are not those of ``y``.
    """
    if domain.given(call, "mask", mask).dtype != mx.bool_:
        got = names.name_of(mask.dtype)
        raise errors.ScanTypeError(f"[{call}] mask must be bool; got {got}. Make it by a comparison.")
    if mask.ndim != y.ndim or any(own not in (1, other) for own, other in zip(mask.shape, y.shape, strict=True)):
        raise errors.ScanError(
            f"[{call}] mask must have the axes of y, {tuple(y.shape)}, some of size 1 perhaps; got {tuple(mask.shape)}. One "
            "flag for each step is flags[..., None]."
        )


def over_time(axis: int, rank: int, *matrices: mx.array) -> Matrices:
    """The same matrices with one batch shape, of at most ``rank`` axes."""
    aligned = [align(matrix, axis, rank, event=2) for matrix in matrices]
    batch = mx.broadcast_shapes(*(matrix.shape[:-2] for matrix in aligned))
    return tuple(mx.broadcast_to(matrix, (*batch, *matrix.shape[-2:])) for matrix in aligned)


def every_step(matrix: mx.array, axis: int, rank: int, length: int) -> mx.array:
    """The matrix of each step, also where all steps have the same one."""
    time = (*(1,) * axis, length, *(1,) * (rank - axis - 1))
    return mx.broadcast_to(matrix, (*mx.broadcast_shapes(matrix.shape[:-2], time), *matrix.shape[-2:]))


def observed(y: mx.array, emission: mx.array, noise: mx.array, mask: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """The observations and their model, where missing entries say nothing of the state."""
    both = mx.logical_and(mask[..., :, None], mask[..., None, :])
    alone = mx.eye(noise.shape[-1], dtype=noise.dtype)
    return mx.where(mask, y, 0), mx.where(mask[..., None], emission, 0), mx.where(both, noise, alone)


def leading_on(matrix: mx.array, axis: int) -> mx.array:
    """From the matrix that leads into each step to the one that leads on from it."""
    if matrix.ndim == 2 or matrix.shape[axis] < 2:
        return matrix
    steps = mx.minimum(mx.arange(1, matrix.shape[axis] + 1), matrix.shape[axis] - 1)
    return mx.take(matrix, steps, axis=axis)


def is_last(length: int, axis: int, rank: int) -> mx.array:
    """True at the last step, shaped to select matrices."""
    return along(mx.arange(length) == length - 1, axis, rank)[..., None, None]
