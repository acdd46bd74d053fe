"""Hillis-Steele: every element looks ``d`` back, ``d`` doubling. n log n work, fewest array operations.

Source: Hillis and Steele, *Data Parallel Algorithms* (CACM 29(12), 1986).
"""

from __future__ import annotations

import mlx.core as mx

from monoscan.lowering.strategies.slices import Combine, Leaves, cut, length_of

BASE = 64
"""Up to this length its fewer array operations win over trees (measured)."""


def hillis_steele(combine: Combine, xs: Leaves, axis: int) -> Leaves:
    """The inclusive scan; needs no identity."""
    n, distance = length_of(xs, axis), 1
    while distance < n:
        moved = combine(cut(xs, axis, 0, n - distance), cut(xs, axis, distance, n))
        kept = cut(xs, axis, 0, distance)
        xs = [mx.concatenate([k, m], axis) for k, m in zip(kept, moved, strict=True)]
        distance *= 2
    return xs
