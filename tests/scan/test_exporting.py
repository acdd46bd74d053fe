"""``mx.export_function``: inside `exporting` scans are operations of MLX, which it can write, and another process read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import aggregators
from tests.selection import thinned

LENGTH = 12
CALLS: dict[str, Callable[..., Any]] = {
    "scan": lambda a, b: ms.scan(ms.Affine(), (a, b)),
    "native": lambda a, b: ms.scan(ms.Sum(), a + b),
    "fold": lambda a, b: ms.fold(ms.LogSumExp(), a + b),
    "complex": lambda a, b: ms.scan(ms.Product(), a + 1j * b).real,
    "recurrence": lambda a, b: ms.linear_recurrence(a, b, reverse=True),
    "act": lambda a, b: ms.act(ms.Affine(), (a, b), mx.array(0.5)),
    "loop": lambda a, b: ms.loop(lambda s, x: (mx.tanh(s + x), s), a, mx.array(0.0)),
    "aggregator": lambda a, b: ms.scan(aggregators.Variance(), a),
    "window": lambda a, b: ms.window(ms.Max(), a, 3),
    "window of an aggregator": lambda a, b: ms.window(aggregators.Mean(), a, 3),
    "own": lambda a, b: ms.scan(ms.monoid(lambda l, r: l + r + l * r, identity=0), a),
    "parts": lambda a, b: ms.scan(ms.Tuple(ms.Max(), ms.Mean()), (a, (b, a))),
    "lengths": lambda a, b: ms.scan(ms.Affine(), (a, b), lengths=mx.array(5)),
    "slices": lambda a, b: ms.associative_scan(lambda l, r: l + r + l * r, a),
}


def flat(found: Any) -> list[mx.array]:
    return [x for each in found for x in flat(each)] if isinstance(found, (tuple, list)) else [found]


@pytest.mark.parametrize("name", thinned(CALLS, ["scan", "complex", "loop", "aggregator", "window"]))
def test_what_was_exported_gives_the_same_elsewhere(name: str, tmp_path: Path) -> None:
    def function(a: mx.array, b: mx.array) -> list[mx.array]:
        return flat(CALLS[name](a, b))

    path = str(tmp_path / "function.mlxfn")
    with ms.exporting():
        mx.export_function(path, function, mx.zeros((LENGTH,)), mx.zeros((LENGTH,)))
    random = np.random.default_rng(0)
    a, b = (mx.array(random.uniform(0.2, 1, LENGTH).astype(np.float32)) for _ in range(2))
    for found, expected in zip(mx.import_function(path)(a, b), function(a, b), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", thinned([name for name in CALLS if name != "complex"], ["scan", "loop"]))
def test_gradients_are_exported_as_operations_too(name: str, tmp_path: Path) -> None:
    """They are MLX's own, of what stands in the file, and were zero where inputs had been taken for constants."""

    def loss(a: mx.array, b: mx.array) -> mx.array:
        return sum(
            ((y * mx.arange(1, 1 + y.size).reshape(y.shape)).sum() for y in flat(CALLS[name](a, b))), mx.array(0.0)
        )

    gradient, path = mx.grad(loss, argnums=(0, 1)), str(tmp_path / "gradient.mlxfn")
    with ms.exporting():
        mx.export_function(path, gradient, mx.zeros((LENGTH,)), mx.zeros((LENGTH,)))
    random = np.random.default_rng(0)
    a, b = (mx.array(random.uniform(0.2, 1, LENGTH).astype(np.float32)) for _ in range(2))
    expected = gradient(a, b)
    assert any(mx.abs(each).max() > 0 for each in expected)
    for found, wanted in zip(mx.import_function(path)(a, b), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_gradients_of_complex_numbers_are_none_that_mlx_can_write() -> None:
    with ms.exporting(), pytest.raises(ValueError, match="Not implemented for View"):
        mx.grad(lambda a: CALLS["complex"](a, a).sum())(mx.ones((LENGTH,)))


def test_plans_outside_stay_what_they_were() -> None:
    elems = (mx.ones((LENGTH,)), mx.ones((LENGTH,)))
    before = ms.explain(ms.Affine(), elems)
    with ms.exporting():
        inside = ms.explain(ms.Affine(), elems)
    assert inside.strategy == "blelloch"
    assert any("operations of MLX alone" in reason.text for reason in inside.reasons)
    assert ms.explain(ms.Affine(), elems).strategy == before.strategy


def test_a_kernel_cannot_be_exported_and_is_refused_when_it_is_forced() -> None:
    with ms.exporting(), pytest.raises(ms.StrategyError, match="what is exported holds operations of MLX alone"):
        ms.scan(ms.Affine(), (mx.ones((LENGTH,)), mx.ones((LENGTH,))), strategy="kernel")
