"""The operators that are timed, as plain arithmetic on tuples of arrays of NumPy, JAX or PyTorch; their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Leaves = tuple[Any, ...]
Combine = Callable[[Leaves, Leaves], Leaves]
CHUNK = 1 << 22


def add(left: Leaves, right: Leaves) -> Leaves:
    """A sum."""
    return (left[0] + right[0],)


def affine(left: Leaves, right: Leaves) -> Leaves:
    """h -> a*h + b, the left map first."""
    return left[0] * right[0], right[0] * left[1] + right[1]


def matmul(left: Leaves, right: Leaves) -> Leaves:
    """Products of matrices of 2 rows and columns; `numpy.matmul` loops over them."""
    x, y = left[0], right[0]
    return ((x[..., :, 0:1] * y[..., 0:1, :]) + (x[..., :, 1:2] * y[..., 1:2, :]),)


FORMULAS: dict[str, Combine] = {"add": add, "affine": affine, "matmul": matmul}


def inputs(formula: str, leaf: int, shape: list[int]) -> np.ndarray:
    """A leaf of the elements of a case that is timed."""
    random = np.random.default_rng(leaf)
    x = random.random(shape, np.float32)
    if formula == "affine" and leaf == 0:
        return 1 - x / 8  # gates; their products get small, and no smaller than zero
    if formula == "matmul":
        angle = 2 * np.pi * x[..., 0, 0]
        cosine, sine, turned = np.cos(angle), np.sin(angle), np.where(x[..., 0, 1] < 0.5, np.float32(1), np.float32(-1))
        rows = [np.stack([cosine, -turned * sine], -1), np.stack([sine, turned * cosine], -1)]
        return np.stack(rows, -2)  # rotations and reflections: products stay bounded, and depend on the order
    return x - np.float32(0.5)


def reference(formula: str, leaves: Leaves, axis: int) -> Leaves:
    """The inclusive scan, in float64: piece by piece, so that long inputs need little memory."""
    combine = FORMULAS[formula]
    first = tuple(np.moveaxis(x, axis, 0) for x in leaves)
    steps = max(1, CHUNK // max(1, first[0][0].size))
    pieces: list[Leaves] = []
    for start in range(0, len(first[0]), steps):
        piece = _scan(combine, tuple(x[start : start + steps].astype(np.float64) for x in first))
        if pieces:
            piece = combine(tuple(x[-1:] for x in pieces[-1]), piece)
        pieces.append(piece)
    return tuple(np.moveaxis(np.concatenate(leaf), 0, axis) for leaf in zip(*pieces, strict=True))


def _scan(combine: Combine, x: Leaves) -> Leaves:
    """A scan along the first axis, by pairs."""
    n = len(x[0])
    if n == 1:
        return x
    pairs = combine(tuple(leaf[: n - 1 : 2] for leaf in x), tuple(leaf[1::2] for leaf in x))
    odd = _scan(combine, pairs)
    found = tuple(np.empty((n, *leaf.shape[1:])) for leaf in odd)
    even = combine(tuple(leaf[: (n - 1) // 2] for leaf in odd), tuple(leaf[2::2] for leaf in x)) if n > 2 else None
    for i, leaf in enumerate(found):
        leaf[0], leaf[1::2] = x[i][0], odd[i]
        if even is not None:
            leaf[2::2] = even[i]
    return found
