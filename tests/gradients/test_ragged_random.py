"""Random packed, padded and gappy batches: kernels against trees of array operations, results and gradients."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms

GATED = ms.aggregator(lambda a, x: (a, x), ms.Affine(), lambda h, a, x: h * x + a)


def drawn(random: np.random.Generator) -> tuple[dict[str, Any], list[mx.array], mx.array | None]:
    """Options, gates and inputs of (rows, steps, columns), and a state for each sequence."""
    rows, steps = int(random.integers(1, 4)), int(random.integers(1, 200))
    columns, number = int(random.choice([1, 2, 3, 8, 17, 33])), None
    options: dict[str, Any] = {"reverse": bool(random.random() < 0.5)}
    if random.random() < 0.6:
        number = int(random.integers(0, 6))
        cuts = random.integers(-3, steps + 4, number + 1)
        options["offsets"] = mx.array(np.sort(cuts) if random.random() < 0.7 else cuts)
    batch = (rows,) if number is None else (rows, number)
    if random.random() < 0.6:
        shape = batch + (columns,) * int(random.random() < 0.4)
        options["lengths"] = mx.array(random.integers(-2, steps + 2, shape))
    if random.random() < 0.4 or len(options) == 1:
        options["mask"] = mx.array(random.random((rows, steps)) < 0.7)
    a = mx.array(random.uniform(0.5, 1, (rows, steps, columns)).astype(np.float32))
    x = mx.array(random.normal(size=a.shape).astype(np.float32))
    h = mx.array(random.normal(size=(*batch, columns)).astype(np.float32)) if random.random() < 0.6 else None
    options["inclusive"] = h is None or bool(random.random() < 0.5)
    return options, [a, x], h


def call(kind: str, a: mx.array, x: mx.array, h: mx.array | None, **options: Any) -> tuple[mx.array, mx.array]:
    if kind == "act":
        return ms.act(ms.Affine(), (a, x), h, axis=1, return_carry=True, **options)
    if kind == "aggregator":
        return ms.scan(GATED, (a, x), axis=1, state=h, return_carry=True, **options)
    init = None if h is None else (mx.ones_like(h), h)
    (p, y), (q, last) = ms.scan(ms.Affine(), (a, x), axis=1, init=init, return_carry=True, **options)
    return p + y, q + last


@pytest.mark.sampled(6)
@pytest.mark.parametrize("kind", thinned(["scan", "act", "aggregator"], ["scan"]))
@pytest.mark.parametrize("seed", thinned(range(20), [3]))
def test_kernels_and_trees_agree(kind: str, seed: int) -> None:
    options, leaves, h = drawn(np.random.default_rng(seed))
    given = [*leaves, *([] if h is None else [h])]

    def loss(strategy: str, *arrays: mx.array) -> mx.array:
        y, last = call(kind, *arrays[:2], arrays[2] if h is not None else None, strategy=strategy, **options)
        return (y * mx.cos(mx.arange(y.size).reshape(y.shape))).sum() + (last * last).sum()

    found, expected = (call(kind, *leaves, h, strategy=s, **options) for s in ("auto", "hillis_steele"))
    for y, z in zip(found, expected, strict=True):
        assert y.shape == z.shape
        np.testing.assert_allclose(np.array(y), np.array(z), rtol=1e-4, atol=1e-4)
    numbers = tuple(range(1, len(given) + 1))
    pairs = zip(*(mx.grad(loss, argnums=numbers)(s, *given) for s in ("auto", "hillis_steele")), strict=True)
    for d, e in pairs:
        np.testing.assert_allclose(np.array(d), np.array(e), rtol=2e-3, atol=2e-3)
