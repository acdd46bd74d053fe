"""Aggregators by one kernel of a GPU: prepared as elements are loaded, presented as outputs are stored, in order."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from metal_driver import MetalShim, needs_clang
from scans import aggregate
from selection import thinned
from shim_driver import Shim, needs_shim
from test_catalogue import same

import monoscan as ms

pytestmark = needs_shim


class SelectiveScan(ms.Aggregator):
    """A state of four numbers a channel."""

    operator, event = ms.Affine(), (0, 1, 1, 1, 0)

    def prepare(self, delta: Any, a: Any, b: Any, c: Any, x: Any) -> Any:
        return mx.exp(delta * a), delta * x * b

    def present(self, h: Any, delta: Any, a: Any, b: Any, c: Any, x: Any) -> Any:
        return (h * c).sum()


def selective(batch: int = 2, time: int = 9, channels: int = 33, states: int = 4) -> Any:
    random = np.random.default_rng(0)
    delta, x = (random.uniform(0.1, 1, (batch, time, channels)).astype(np.float32) for _ in range(2))
    b, c = (random.normal(size=(batch, time, 1, states)).astype(np.float32) for _ in range(2))
    return delta, -random.uniform(0.1, 1, (channels, states)).astype(np.float32), b, c, x


def folded(delta: Any, a: Any, b: Any, c: Any, x: Any) -> tuple[Any, Any]:
    """In order and in float64."""
    delta, a, b, c, x = (np.asarray(y, np.float64) for y in (delta, a, b, c, x))
    h, found = np.zeros((delta.shape[0], *a.shape)), np.zeros(delta.shape)
    for t in range(delta.shape[1]):
        h = np.exp(delta[:, t, :, None] * a) * h + (delta * x)[:, t, :, None] * b[:, t]
        found[:, t] = (h * c[:, t]).sum(-1)
    return found, h


def given(inputs: Any) -> Any:
    delta, a, *rest = map(mx.array, inputs)
    return (delta, ms.fixed(a), *rest)


@pytest.mark.parametrize(
    "start", [Shim(), pytest.param(MetalShim(), marks=needs_clang)], ids=["shim", "text for Metal"]
)
def test_a_selective_scan(start: Any) -> None:
    inputs = selective()
    found, last = aggregate(SelectiveScan(), given(inputs), 1, return_carry=True, start=start)
    expected, h = folded(*inputs)
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.array(last), h, rtol=1e-4, atol=1e-5)


def test_inputs_are_read_once_each_and_elements_are_in_no_memory() -> None:
    shim = Shim()
    aggregate(SelectiveScan(), given(selective()), 1, start=shim)
    (spec,) = shim.started
    assert [array.group for array in spec.arrays] == ["elements"] * 4 + ["captures", "results"]


@pytest.mark.parametrize("reverse", thinned([False, True], [True]))
def test_bits_are_those_of_the_cpus_kernel_in_order(reverse: bool) -> None:
    variance, x = ms.aggregators.Variance(), mx.random.normal((7, 37), key=mx.random.key(0))
    found, last = aggregate(variance, x, 0, reverse=reverse, return_carry=True)
    expected = ms.scan(variance, x, 0, reverse=reverse, return_carry=True, strategy="sequential", stream=mx.cpu)
    same((found, last), expected)


@pytest.mark.parametrize("inclusive", thinned([True, False], [False]))
def test_a_state_that_is_given(inclusive: bool) -> None:
    share = ms.aggregator(lambda x: x, ms.Sum(), lambda total, x: 2 * total + x)
    x = np.random.default_rng(0).integers(1, 99, (37, 7)).astype(np.int32)
    found, last = aggregate(share, mx.array(x), 1, state=mx.array(5), inclusive=inclusive, return_carry=True)
    before = x.cumsum(1) + 5
    np.testing.assert_array_equal(np.array(found), 2 * (before if inclusive else before - x) + x)
    np.testing.assert_array_equal(np.array(last), before[:, -1])


def test_a_fold_keeps_the_last_state_alone() -> None:
    x = np.random.default_rng(0).integers(1, 99, (37, 7)).astype(np.int32)
    total = ms.aggregator(lambda x: x, ms.Sum(), lambda total, x: total)
    shim = Shim()
    _, last = aggregate(total, mx.array(x), 1, call_of="fold", results=False, start=shim)
    np.testing.assert_array_equal(np.array(last), x.sum(1))
    assert [array.group for array in shim.started[0].arrays] == ["elements", "carry"]


@pytest.mark.long
def test_gradients() -> None:
    inputs = selective(1, 5, 3, 2)
    delta, a, b, c, x = map(mx.array, inputs)

    def loss(run: Any) -> Any:
        return lambda delta, b, x: (run(delta, b, x) ** 2).sum()

    found, expected = (
        mx.grad(loss(run), argnums=(0, 1, 2))(delta, b, x)
        for run in (
            lambda delta, b, x: aggregate(SelectiveScan(), (delta, ms.fixed(a), b, c, x), 1)[0],
            lambda delta, b, x: ms.scan(SelectiveScan(), (delta, ms.fixed(a), b, c, x), 1, stream=mx.cpu),
        )
    )
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4, atol=1e-5)


def test_what_is_planned_says_how() -> None:
    x = mx.zeros((9, 4096))
    planned = ms.explain(ms.aggregators.Variance(), x, 0, stream=mx.gpu)
    assert "one kernel: prepare, act by" in str(planned)
    assert "in order: 64 groups of 64 threads, a thread a row" in str(planned)
    assert "ms::sequential(" in planned.source_for("cuda")
    assert "[[kernel]]" not in planned.source_for("cuda")
