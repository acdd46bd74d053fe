"""Square roots and rounding, in vectors of every width."""

from __future__ import annotations

import attrs
import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms

pytestmark = pytest.mark.usefixtures("kernels_are_built")


@attrs.frozen
class Rounded(ms.Aggregator):
    """What vectors of each width have instructions for, or take in halves."""

    operator: ms.Semigroup

    def prepare(self, x: mx.array) -> mx.array:
        return x

    def present(self, state: mx.array, x: mx.array) -> tuple[mx.array, ...]:
        return mx.sqrt(state), mx.floor(state), mx.ceil(state), mx.round(state)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_roots_and_rounding_of_vectors_are_those_of_numbers(dtype: str) -> None:
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, 0.5, 1.5, 2.5, -0.5, -2.5, 8388607.5, 1e-30, 3e38]
    x = np.concatenate([edges, np.random.default_rng(0).normal(size=(500,)) * 10]).astype(dtype)
    found = ms.scan(Rounded(ms.Last()), mx.array(x, getattr(mx, dtype)), strategy="kernel")
    with np.errstate(invalid="ignore"):
        for y, of in zip(found, (np.sqrt, np.floor, np.ceil, np.rint), strict=True):
            np.testing.assert_array_equal(y, of(x))
