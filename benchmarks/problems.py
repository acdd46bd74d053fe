"""The problems: input distributions, formulas, and float64 NumPy references.

No input leads to subnormal numbers, which slow every implementation several times, unless its name says so.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from benchmarks.model import Arrays, Combine, Problem, Reference

WHOLE_DECAY = 80.0
"""Gates lie in [exp(-d), 1) with d = min(log 2, WHOLE_DECAY / n): a product of all n is about exp(-40)."""


def _take(arrays: Arrays, axis: int, where: slice) -> Arrays:
    return tuple(x[(slice(None),) * axis + (where,)] for x in arrays)


def wide(x: np.ndarray) -> np.ndarray:
    """The numbers in the dtype of a reference: floats in float64, complex ones in complex128, the others as they are."""
    if x.dtype.kind in "biu":
        return x
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def sequential(combine: Combine, arrays: Arrays, axis: int) -> Arrays:
    """Inclusive scan of float64 copies by a loop over time."""
    arrays = tuple(wide(x) for x in arrays)
    steps = [_take(arrays, axis, slice(0, 1))]
    for t in range(1, arrays[0].shape[axis]):
        steps.append(combine(steps[-1], _take(arrays, axis, slice(t, t + 1))))
    return tuple(np.concatenate(leaves, axis=axis) for leaves in zip(*steps, strict=True))


def pairwise_fold(combine: Combine, arrays: Arrays, axis: int) -> Arrays:
    """Fold of float64 copies by pairs, so that long inputs take O(log n) NumPy calls."""
    arrays = tuple(wide(x) for x in arrays)
    while (n := arrays[0].shape[axis]) > 1:
        paired = combine(_take(arrays, axis, slice(0, n - n % 2, 2)), _take(arrays, axis, slice(1, n, 2)))
        odd = _take(arrays, axis, slice(n - n % 2, n))
        arrays = tuple(np.concatenate(parts, axis=axis) for parts in zip(paired, odd, strict=True))
    return arrays


@cache
def scan_reference(
    combine: Combine, inputs: tuple[int, ...] | None = None, outputs: tuple[int, ...] | None = None
) -> Reference:
    """The scan of the chosen inputs, of which the chosen leaves are the answer."""

    def chosen(arrays: Arrays, which: tuple[int, ...] | None) -> Arrays:
        return arrays if which is None else tuple(arrays[i] for i in which)

    return Reference(
        whole=lambda arrays, axis: chosen(sequential(combine, chosen(arrays, inputs), axis), outputs),
        last=lambda arrays, axis: chosen(pairwise_fold(combine, chosen(arrays, inputs), axis), outputs),
    )


def add(left: Arrays, right: Arrays) -> Arrays:
    """Sum of one leaf."""
    return (left[0] + right[0],)


def affine(left: Arrays, right: Arrays) -> Arrays:
    """h -> a*h + b, the left map first."""
    return left[0] * right[0], right[0] * left[1] + right[1]


def keep_right(_left: Arrays, right: Arrays) -> Arrays:
    """The scan by this is the input itself: the reference of a copy."""
    return right


def online_softmax(left: Arrays, right: Arrays) -> Arrays:
    """Running maximum and sum of exponentials relative to it."""
    top = np.maximum(left[0], right[0])
    return top, left[1] * np.exp(left[0] - top) + right[1] * np.exp(right[0] - top)


def moments(left: Arrays, right: Arrays) -> Arrays:
    """Count, mean and sum of squared deviations (Chan, Golub & LeVeque)."""
    count = left[0] + right[0]
    delta = right[1] - left[1]
    weight = right[0] / count
    return count, left[1] + delta * weight, left[2] + right[2] + delta * delta * left[0] * weight


def matmul(left: Arrays, right: Arrays) -> Arrays:
    """Matrix product."""
    return (left[0] @ right[0],)


def max_subarray(left: Arrays, right: Arrays) -> Arrays:
    """Total, best prefix, best suffix and best run (Kadane, as a monoid)."""
    return (
        left[0] + right[0],
        np.maximum(left[1], left[0] + right[1]),
        np.maximum(right[2], right[0] + left[2]),
        np.maximum(np.maximum(left[3], right[3]), left[2] + right[1]),
    )


def draw_normal(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """One standard normal leaf."""
    return (rng.standard_normal(shape, dtype=np.float32),)


def draw_affine(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Gates below one whose product over the whole axis is about exp(-40); standard normal updates."""
    decay = np.float32(min(np.log(2.0), WHOLE_DECAY / shape[axis]))
    return np.exp(-decay * rng.random(shape, dtype=np.float32)), rng.standard_normal(shape, dtype=np.float32)


def draw_forgetful(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Gates in [0.5, 0.99]: their running product passes through subnormal numbers to zero."""
    return rng.uniform(0.5, 0.99, shape).astype(np.float32), rng.standard_normal(shape, dtype=np.float32)


def draw_softmax(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Elements of single standard normal scores."""
    return rng.standard_normal(shape, dtype=np.float32), np.ones(shape, np.float32)


def draw_moments(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Elements of single standard normal observations."""
    return np.ones(shape, np.float32), rng.standard_normal(shape, dtype=np.float32), np.zeros(shape, np.float32)


def draw_rotations(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Rotations of the plane by a uniform angle, half of them reflected: products stay bounded, and depend on the order."""
    angle = rng.uniform(0, 2 * np.pi, shape)
    turned = rng.choice([-1.0, 1.0], shape)
    rows = [
        np.stack([np.cos(angle), -turned * np.sin(angle)], -1),
        np.stack([np.sin(angle), turned * np.cos(angle)], -1),
    ]
    return (np.stack(rows, -2).astype(np.float32),)


def draw_runs(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> Arrays:
    """Elements of single standard normal values."""
    x = rng.standard_normal(shape, dtype=np.float32)
    return x, x, x, x


GATES = "gates in [max(0.5, exp(-80/n)), 1), updates standard normal"
SUM = Problem("Sum", "standard normal", draw_normal, add, "Sum")
AFFINE = Problem("Affine", GATES, draw_affine, affine, "Affine")
FORGETFUL = Problem(
    "Affine, gates that reach 0", "gates in [0.5, 0.99], updates standard normal", draw_forgetful, affine, "Affine"
)
SOFTMAX = Problem("OnlineSoftmax", "standard normal", draw_softmax, online_softmax, "OnlineSoftmax")
MOMENTS = Problem("Moments(2)", "standard normal", draw_moments, moments, "Moments", (2,))
MATMUL = Problem(
    "MatMul 2x2", "rotations by a uniform angle, half of them reflected", draw_rotations, matmul, "MatMul", (), event=2
)
MAX_SUBARRAY = Problem("MaxSubarray", "standard normal", draw_runs, max_subarray, "MaxSubarray")
