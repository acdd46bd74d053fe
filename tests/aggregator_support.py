"""What the tests of aggregators share: data, float64, and how near is near."""

from __future__ import annotations

from typing import Any

import attrs
import mlx.core as mx
import numpy as np

import monoscan as ms

RNG = np.random.default_rng(5)
T = 9


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def exact(x: Any) -> Any:
    return np.array(x, np.float64)


def close(found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(np.array(found.astype(mx.float32)), expected, rtol=tolerance, atol=tolerance)


def decays(alpha: float, t: int) -> Any:
    """The weights of the elements at and before position t, the newest last."""
    return (1 - alpha) ** np.arange(t, -1, -1.0)


def made(prepare: Any, operator: Any = None, present: Any = lambda s, *_: s, event: Any = 0) -> ms.Aggregator:
    """An aggregator of functions: of sums, where no operator is given."""
    return ms.aggregator(prepare, ms.Sum() if operator is None else operator, present, event=event)


@attrs.frozen
class Scaled(ms.Aggregator):
    """A mean, times a captured array."""

    scale: mx.array
    operator = ms.Mean()

    def prepare(self, x: Any) -> Any:
        return self.operator.embed(x)

    def present(self, state: Any, x: Any) -> Any:
        return self.scale * self.operator.project(state)
