"""Log-sum-exp, online softmax, best runs and waiting times, against plain loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from itertools import product

import mlx.core as mx
import numpy as np
import pytest

from monoscan import monoids as ms

INF, NAN = float("inf"), float("nan")


@pytest.fixture(autouse=True)
def _on_cpu() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


@pytest.mark.parametrize("shift", [0.0, 5000.0, -5000.0])
def test_normalisers_are_shifts_of_each_other(shift: float) -> None:
    x = np.random.default_rng(0).normal(size=20).astype(np.float32) + np.float32(shift)
    wide = x.astype(np.float64)
    expected = wide.max() + np.log(np.exp(wide - wide.max()).sum())
    softmax, lse = ms.OnlineSoftmax(), ms.LogSumExp()
    high, total = reduce(softmax.combine, [softmax.embed(mx.array(v)) for v in x])
    assert high.item() == x.max()
    assert total.item() == pytest.approx(np.exp(wide - wide.max()).sum(), rel=1e-5)
    assert reduce(lse.combine, [mx.array(v) for v in x]).item() == pytest.approx(expected, rel=1e-6, abs=1e-5)


def test_softmax_of_minus_infinity_is_the_identity() -> None:
    softmax = ms.OnlineSoftmax()
    nothing = softmax.embed(mx.array(-INF))
    assert [leaf.item() for leaf in nothing] == [-INF, 0.0]
    assert [leaf.item() for leaf in softmax.combine(nothing, nothing)] == [-INF, 0.0]
    assert softmax.project(nothing).item() == -INF


@pytest.mark.parametrize("other", [0.0, -INF, NAN])
def test_nan_stays(other: float) -> None:
    softmax, bad, x = ms.OnlineSoftmax(), mx.array(NAN), mx.array(other)
    for left, right in ((bad, x), (x, bad)):
        assert mx.isnan(ms.LogSumExp().combine(left, right)).item()
        high, total = softmax.combine(softmax.embed(left), softmax.embed(right))
        assert mx.isnan(high).item()
        assert mx.isnan(total).item()


def test_log_sum_exp_at_infinity() -> None:
    for x, y in product((-INF, 0.0, INF), repeat=2):
        assert ms.LogSumExp().combine(mx.array(x), mx.array(y)).item() == pytest.approx(np.logaddexp(x, y))


@pytest.mark.parametrize(("x", "y"), [(0.5, 2.0), (1.0, 1.0), (-INF, 1.0), (1.0, -INF), (-INF, -INF)])
def test_softmax_has_gradients_where_a_difference_of_infinities_would_have_none(x: float, y: float) -> None:
    softmax = ms.OnlineSoftmax()

    def total(left: mx.array, right: mx.array) -> mx.array:
        return softmax.combine((left, mx.array(1.0)), (right, mx.array(1.0)))[1]

    assert not any(mx.isnan(g).item() for g in mx.grad(total, argnums=(0, 1))(mx.array(x), mx.array(y)))


def _best(x: np.ndarray) -> float:
    return max(float(x[i:j].sum()) for i in range(len(x)) for j in range(i + 1, len(x) + 1))


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_max_subarray_by_brute_force(cut: int) -> None:
    best = ms.MaxSubarray()
    for seed in range(20):
        x = np.random.default_rng(seed).integers(-9, 9, 10).astype(np.float32)
        elements = [best.embed(mx.array(v)) for v in x]
        left, right = reduce(best.combine, elements[:cut]), reduce(best.combine, elements[cut:])
        total, prefix, suffix, inside = (leaf.item() for leaf in best.combine(left, right))
        assert inside == _best(x)
        assert prefix == max(np.cumsum(x))
        assert suffix == max(np.cumsum(x[::-1]))
        assert total == x.sum()


def test_max_subarray_of_minus_infinity() -> None:
    best = ms.MaxSubarray()
    elements = [best.embed(mx.array(v)) for v in (2.0, -INF, 3.0)]
    assert best.project(reduce(best.combine, elements)).item() == 3.0


def _applied(pair: tuple[mx.array, mx.array]) -> Callable[[float], float]:
    return lambda w: max(w + pair[0].item(), pair[1].item())


def test_max_plus_affine_composes_maps() -> None:
    operator = ms.MaxPlusAffine()
    values = (-INF, -1.0, 0.0, 2.5)
    for a, b, c, d in product(values, repeat=4):
        left, right = (mx.array(a), mx.array(b)), (mx.array(c), mx.array(d))
        both = operator.combine(left, right)
        for w in values:
            assert _applied(both)(w) == _applied(right)(_applied(left)(w))
