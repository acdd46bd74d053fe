"""An affine recurrence as a loop, for tests of what transforms scans."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

RNG = np.random.default_rng(3)


def normal(*shape: int) -> mx.array:
    return mx.array(RNG.normal(size=shape).astype(np.float32))


def recurrence(a: mx.array, b: mx.array) -> mx.array:
    """The states of an affine recurrence, as a loop of array operations that MLX differentiates."""
    h, states = mx.zeros(b.shape[1:]), []
    for t in range(b.shape[0]):
        h = a[t] * h + b[t]
        states.append(h)
    return mx.stack(states)


def close(x: Any, y: Any) -> None:
    np.testing.assert_allclose(np.array(x), np.array(y), rtol=2e-4, atol=2e-5)
