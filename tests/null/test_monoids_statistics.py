"""Running moments against NumPy, and exactly where arithmetic is exact."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import mlx.core as mx
import numpy as np
import pytest

from monoscan import errors
from monoscan import monoids as ms


@pytest.fixture(autouse=True)
def _on_cpu() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def _elements(operator: ms.Mean | ms.Moments, values: np.ndarray) -> list[tuple[mx.array, ...]]:
    return [operator.embed(mx.array(v, mx.float64)) for v in values.tolist()]


def _tree(operator: ms.Moments, elements: list[tuple[mx.array, ...]]) -> tuple[mx.array, ...]:
    if len(elements) == 1:
        return elements[0]
    half = len(elements) // 3 + 1
    return operator.combine(_tree(operator, elements[:half]), _tree(operator, elements[half:]))


def _standardised(x: np.ndarray, power: int) -> float:
    return float((((x - x.mean()) / x.std()) ** power).mean())


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_moments_are_those_of_numpy(shift: float) -> None:
    x = np.random.default_rng(0).gamma(2.0, size=57) + shift
    moments = ms.Moments(4)
    for total in (reduce(moments.combine, _elements(moments, x)), _tree(moments, _elements(moments, x))):
        mean, variance, skewness, kurtosis = (float(np.array(m)) for m in moments.project(total))
        assert mean == pytest.approx(x.mean(), rel=1e-14)
        assert variance == pytest.approx(x.var(), rel=1e-9)
        assert skewness == pytest.approx(_standardised(x, 3), rel=1e-7)
        assert kurtosis == pytest.approx(_standardised(x, 4) - 3, rel=1e-7)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_lower_orders_are_prefixes_of_higher_ones(order: int) -> None:
    x = np.arange(6.0) ** 2
    low, high = ms.Moments(order), ms.Moments(4)
    total = reduce(low.combine, _elements(low, x))
    expected = reduce(high.combine, _elements(high, x))
    assert [np.array(m) for m in total] == [np.array(m) for m in expected[: order + 1]]
    assert len(low.template) == len(total) == order + 1


def test_mean_is_exact_where_the_shares_are() -> None:
    mean = ms.Mean()
    pair = mean.combine(mean.embed(mx.array(1.0)), mean.embed(mx.array(4.0)))
    assert [leaf.item() for leaf in mean.combine(pair, pair)] == [4, 2.5]


def test_weights_count_values_more_than_once() -> None:
    mean = ms.Mean()
    heavy = mean.embed(mx.array(1.0), mx.array(3.0))
    assert mean.project(mean.combine(heavy, mean.embed(mx.array(5.0), mx.array(1.0)))).item() == 2.0
    nothing = mean.embed(mx.array(mx.inf), mx.array(0.0))
    assert mean.combine(heavy, nothing)[1].item() == mean.combine(nothing, heavy)[1].item() == 1.0


def test_nothing_has_no_mean_and_no_nan_inside() -> None:
    for operator in (ms.Mean(), ms.Moments(4)):
        empty = operator.identity(operator.embed(mx.array(1.0)))
        assert not any(mx.isnan(leaf).item() for leaf in operator.combine(empty, empty))
        answers = operator.project(empty)
        assert all(mx.isnan(a).item() for a in (answers if isinstance(answers, tuple) else (answers,)))


def test_infinity_stays_alone_and_is_nan_in_company() -> None:
    mean = ms.Mean()
    lonely = mean.embed(mx.array(mx.inf))
    assert mean.project(lonely).item() == np.inf
    assert mx.isnan(mean.combine(lonely, lonely)[1]).item()


def test_counts_are_integers_and_values_floats() -> None:
    n, mean, m2 = ms.Moments(2).embed(mx.array([1, 2]))
    assert (n.dtype, mean.dtype, m2.dtype) == (mx.int32, mx.float32, mx.float32)
    assert ms.Mean().embed(mx.array([1.0], mx.float64))[1].dtype == mx.float64


@pytest.mark.parametrize("half", [mx.float16, mx.bfloat16])
@pytest.mark.parametrize("operator", [ms.Mean(), ms.Moments(2), ms.Moments(4)], ids=lambda op: op.name)
def test_elements_of_halves_are_float32_from_the_start(operator: ms.Mean | ms.Moments, half: mx.Dtype) -> None:
    x = mx.ones((3,), half)
    assert {leaf.dtype for leaf in operator.embed(x)} == {mx.int32, mx.float32}
    assert {leaf.dtype for leaf in operator.embed(x, x)} == {mx.float32}


@pytest.mark.parametrize("narrow", ["bool_", "int8", "uint8", "int16", "uint16"])
def test_narrow_weights_are_counted_in_int32(narrow: str) -> None:
    mean = ms.Mean()
    n, average = reduce(mean.combine, [mean.embed(mx.array(x), mx.array(1, getattr(mx, narrow))) for x in range(300)])
    assert (n.dtype, n.item()) == (mx.int32, 300)
    assert average.item() == pytest.approx(149.5, rel=1e-6)


def test_two_halves_have_a_variance_that_no_product_of_halves_shows() -> None:
    moments = ms.Moments(2)
    pair = [moments.embed(mx.array(x, mx.float16)) for x in (1000.0, 1500.0)]
    mean, variance = moments.project(moments.combine(*pair))
    assert (mean.item(), variance.item()) == (1250.0, 62500.0)


BIG = 3e38


@pytest.mark.parametrize("operator", [ms.Mean(), ms.Moments(2)], ids=lambda op: op.name)
@pytest.mark.parametrize(
    ("values", "weights", "mean"),
    [([BIG, -BIG], [1, 1], 0.0), ([BIG, BIG, -BIG], [1, 1, 1], 1e38), ([BIG, -BIG], [1, 3], -1.5e38),
     ([BIG, -BIG], [3, 1], 1.5e38), ([-BIG, BIG, BIG], [1, 1, 2], 1.5e38)],
)  # fmt: skip
def test_a_mean_is_finite_where_its_values_are(
    operator: ms.Mean | ms.Moments, values: list[float], weights: list[int], mean: float
) -> None:
    parts = [operator.embed(mx.array(v), mx.array(w)) for v, w in zip(values, weights, strict=True)]
    for total in (reduce(operator.combine, parts), reduce(lambda r, l: operator.combine(l, r), reversed(parts))):
        assert total[1].item() == pytest.approx(mean, rel=1e-6, abs=1e32)


def test_a_moment_overflows_no_sooner_than_its_value() -> None:
    moments = ms.Moments(4)
    pair = [moments.embed(mx.array(x), mx.array(w)) for x, w in ((0.0, 1.0), (2.4e19, 1.0))]
    assert moments.combine(*pair)[2].item() == pytest.approx(2.88e38, rel=1e-6)


def test_equal_values_have_that_mean_and_no_variance() -> None:
    for value in (0.1, 1e6 + 0.1, -3e-30):
        x = np.full(77, np.float32(value))
        moments = ms.Moments(2)
        parts = [moments.embed(mx.array(v)) for v in x]
        for total in (reduce(moments.combine, parts), _tree(moments, parts)):
            assert total[1].item() == x[0]
            assert total[2].item() == 0.0


@pytest.mark.parametrize("inverse_last", [False, True])
def test_negative_weights_take_values_away(inverse_last: bool) -> None:
    mean = ms.Mean()
    parts = [mean.embed(mx.array(x), mx.array(1.0)) for x in (1.0, 5.0, 9.0)]
    total, gone = reduce(mean.combine, parts), mean.embed(mx.array(9.0), mx.array(-1.0))
    left = mean.combine(total, gone) if inverse_last else mean.combine(gone, total)
    assert [leaf.item() for leaf in left] == [2.0, pytest.approx(3.0, rel=1e-6)]


@pytest.mark.parametrize("order", [1, 5, "2"])
def test_other_orders_are_refused(order: int) -> None:
    with pytest.raises(errors.ScanError, match=r"order must be 2, 3 or 4; got"):
        ms.Moments(order)
