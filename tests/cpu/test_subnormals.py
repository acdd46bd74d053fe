"""Results below the smallest normal number: flushed to zero by kernels on x86, for the time of a task."""

from __future__ import annotations

import platform

import mlx.core as mx
import numpy as np
import pytest
from bridge_affine import python
from selection import thinned

import monoscan as ms
from monoscan.cli import info
from monoscan.lowering.targets.cpu import build

TINY = 2.0**-126
SHAPES = {"rows": (300,), "narrow": (300, 3), "panels": (300, 40), "sweep": (300, 200)}

pytestmark = [
    pytest.mark.skipif(not build.status().available, reason="no compiler"),
    pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="subnormals cost nothing here"),
]


def subnormal(x: mx.array) -> np.ndarray:
    values = np.abs(np.array(x.astype(mx.float32)))
    return (values > 0) & (values < TINY)


def halves(shape: tuple[int, ...], dtype: mx.Dtype = mx.float32) -> mx.array:
    return mx.full(shape, 0.5, dtype)


@pytest.mark.parametrize("strategy", ["kernel", "sequential"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16], ids=["float32", "bfloat16"])
def test_a_product_that_underflows_goes_to_zero(shape: tuple[int, ...], strategy: str, dtype: mx.Dtype) -> None:
    decay, h = ms.scan(ms.Affine(), (halves(shape, dtype), mx.zeros(shape, dtype)), strategy=strategy)
    want = np.broadcast_to((0.5 ** np.arange(1, 301)).reshape(-1, *[1] * (len(shape) - 1)), shape)
    np.testing.assert_array_equal(np.array(decay.astype(mx.float32)), np.where(want < TINY, 0, want))
    assert not h.any()


def test_so_does_one_of_wide_elements_and_its_gradient() -> None:
    halved = mx.broadcast_to(0.5 * mx.eye(17), (140, 17, 17))
    product, (found,) = mx.vjp(lambda x: ms.scan(ms.MatMul(), x)[-1], [halved], [mx.ones((17, 17))])
    assert not subnormal(product[0]).any()
    assert not subnormal(found).any()
    assert not mx.any(product[0] != 0).item()


def test_so_does_a_gradient() -> None:
    gates = halves((300, 3))
    cotangent = mx.concatenate([mx.zeros((299, 3)), mx.ones((1, 3))])
    _, (found,) = mx.vjp(lambda b: ms.linear_recurrence(gates, b), [mx.ones((300, 3))], [cotangent])
    want = np.repeat((0.5 ** np.arange(300.0)[::-1])[:, None], 3, 1)
    np.testing.assert_array_equal(np.array(found), np.where(want < TINY, 0, want))


def test_an_exponential_goes_to_zero() -> None:
    scan = ms.scan(ms.monoid(lambda l, r: mx.exp(l + r)), mx.array([-80.0, -10.0, -10.0]), strategy="kernel")
    np.testing.assert_allclose(np.array(scan), [-80.0, 0.0, np.exp(-10.0)], rtol=1e-6)


@pytest.mark.parametrize("strategy", thinned(["kernel", "sequential"], ["kernel"]))
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_beside_float64_nothing_is_flushed(shape: tuple[int, ...], strategy: str) -> None:
    products = ms.monoid(lambda l, r: (l[0] * r[0], l[1] * r[1]))
    small, smaller = ms.scan(products, (halves(shape), halves(shape, mx.float64)), strategy=strategy)
    assert subnormal(small).any()
    np.testing.assert_array_equal(np.array(smaller), np.cumprod(np.full(shape, 0.5), axis=0))
    longer = ms.scan(ms.Product(), mx.full((1070,), 0.5, mx.float64), strategy=strategy)
    assert float(longer[-1]) == 0.5**1070


@pytest.mark.long
@pytest.mark.parametrize("strategy", thinned(["kernel", "sequential"], ["kernel"]))
@pytest.mark.parametrize("loop", thinned(SHAPES, ["rows", "sweep"]))
def test_operands_of_extremes_comparisons_and_selections_are_kept(loop: str, strategy: str) -> None:
    shape = SHAPES[loop]
    rng = np.random.default_rng(0)
    values = (rng.uniform(-1, 1, shape) * TINY).astype(np.float32)
    x, index = mx.array(values), mx.broadcast_to(mx.arange(300).reshape(-1, *[1] * (len(shape) - 1)), shape)
    for operator, oracle in ((ms.Max(), np.maximum), (ms.Min(), np.minimum)):
        found = ms.scan(operator, x, strategy=strategy)
        np.testing.assert_array_equal(np.array(found), oracle.accumulate(values, axis=0))
    largest, place = ms.scan(ms.ArgMax(), (x, index), strategy=strategy)
    np.testing.assert_array_equal(np.array(largest), np.maximum.accumulate(values, axis=0))
    np.testing.assert_array_equal(np.take_along_axis(values, np.array(place), 0), np.array(largest))
    np.testing.assert_array_equal(np.array(ms.scan(ms.First(), x, strategy=strategy))[-1], values[0])
    heads = mx.ones(shape, mx.bool_)  # each segment is one element, which a sum only selects
    np.testing.assert_array_equal(np.array(ms.scan(ms.Segmented(ms.Sum()), (heads, x), strategy=strategy)[1]), values)


@pytest.mark.parametrize("shape", [(50,), (4, 200_000)], ids=["one task", "tasks of the pool"])
def test_threads_have_their_own_arithmetic_back_after_a_task(shape: tuple[int, ...]) -> None:
    small = mx.array(np.float32(2.0**-100))
    mx.eval(small)
    for _ in range(20):
        decay = ms.scan(ms.Product(), halves(shape), axis=-1, strategy="kernel")
        after = mx.abs(small + 0 * decay[..., 0].sum()) * 2.0**-40  # on the stream's thread, in the same evaluation
        assert float(after) == 2.0**-140
        assert np.float32(2.0**-100) * np.float32(2.0**-40) == np.float32(2.0**-140)  # and on the caller's


KEPT = """
import mlx.core as mx, numpy as np, monoscan as ms
from monoscan.cli import info
for shape in ((140,), (140, 3), (140, 40), (140, 200)):
    want = np.cumprod(np.full(shape, 0.5, np.float32), axis=0)
    for strategy in ("kernel", "sequential"):
        got = ms.scan(ms.Affine(), (mx.full(shape, 0.5), mx.zeros(shape)), strategy=strategy)[0]
        assert (np.array(got) == want).all(), (shape, strategy)
small = ms.scan(ms.monoid(lambda l, r: mx.exp(l + r)), mx.array([-80.0, -10.0]), strategy="kernel")
assert abs(float(small[1]) / np.exp(-90.0) - 1) < 1e-5, small
print([line.strip() for line in info.lines(info.report()) if "subnormal" in line])
"""


@pytest.mark.long
def test_the_environment_may_ask_to_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONOSCAN_SUBNORMALS", "keep")
    assert python(KEPT).stdout == "['subnormals     kept, as MONOSCAN_SUBNORMALS asks']\n"


def test_an_unknown_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONOSCAN_SUBNORMALS", "yes")
    run = python("import mlx.core as mx, monoscan as ms; ms.linear_recurrence(mx.ones(5), mx.ones(5))")
    assert "MONOSCAN_SUBNORMALS is 'yes'; set it to keep, or unset it." in run.stderr.splitlines()[-1]


def test_info_says_what_becomes_of_them() -> None:
    assert "  subnormals     results of kernels are flushed to zero, but beside float64" in info.lines(info.report())
