"""Extremes and where they are; logic; first and last."""

from __future__ import annotations

from functools import reduce
from itertools import product

import mlx.core as mx
import numpy as np
import pytest

from monoscan import monoids as ms

NAN, INF = float("nan"), float("inf")
Indexed = tuple[mx.array, mx.array]


def _pair(value: float, index: int) -> Indexed:
    return mx.array(value), mx.array(index, mx.int32)


def _bits(element: Indexed) -> tuple[str, int]:
    return repr(float(element[0].item())), int(element[1].item())


@pytest.mark.parametrize("operator", [ms.ArgMax(), ms.ArgMin()], ids=lambda op: op.name)
def test_arg_extremes_are_associative_and_commutative_with_nan(operator: ms.ArgMax | ms.ArgMin) -> None:
    elements = [_pair(value, index) for value, index in product((NAN, -INF, 1.0, INF), (0, 1))]
    for x, y, z in product(elements, repeat=3):
        left = operator.combine(operator.combine(x, y), z)
        assert _bits(left) == _bits(operator.combine(x, operator.combine(y, z)))
        assert _bits(operator.combine(x, y)) == _bits(operator.combine(y, x))


@pytest.mark.parametrize("values", [[1.0, 3.0, 3.0, 2.0], [1.0, NAN, 5.0, NAN], [-INF, -INF], [INF, NAN, -INF]])
def test_arg_extremes_are_those_of_numpy(values: list[float]) -> None:
    for operator, expected in ((ms.ArgMax(), np.argmax(values)), (ms.ArgMin(), np.argmin(values))):
        elements = [_pair(value, i) for i, value in enumerate(values)]
        assert operator.project(reduce(operator.combine, elements)).item() == expected


def test_arg_embed_counts_along_an_axis() -> None:
    x = mx.zeros((2, 3))
    assert ms.ArgMax().embed(x)[1].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert ms.ArgMax().embed(x, axis=-1)[1].tolist() == [[0, 1, 2]] * 2
    index = mx.array([7, 9])
    assert ms.ArgMin().embed(x, index)[1] is index


@pytest.mark.parametrize(("operator", "function"), [(ms.Max(), np.maximum), (ms.Min(), np.minimum)])
def test_extremes_let_nan_win(operator: ms.Max | ms.Min, function: np.ufunc) -> None:
    for x, y in product((NAN, INF, -INF, 0.0, 2.0), repeat=2):
        got = operator.combine(mx.array(x), mx.array(y)).item()
        np.testing.assert_equal(got, function(x, y))


def test_min_max_is_a_span() -> None:
    span = ms.MinMax()
    low, high = reduce(span.combine, [span.embed(mx.array(v)) for v in (2.0, -INF, 3.0)])
    assert (low.item(), high.item()) == (-INF, 3.0)


def test_bands() -> None:
    x, y = mx.array(NAN), mx.array(INF)
    assert ms.First().combine(x, y) is x
    assert ms.Last().combine(x, y) is y
    assert not ms.First().has_identity
    assert ms.First().facts(("float32",)).idempotent


def test_truth_tables() -> None:
    for x, y in product((False, True), repeat=2):
        pair = mx.array(x), mx.array(y)
        assert ms.All().combine(*pair).item() is (x and y)
        assert ms.Any().combine(*pair).item() is (x or y)
        assert ms.Xor().combine(*pair).item() is (x != y)
    assert ms.All().promote(("int32",)) == ms.Any().promote(("float32",)) == ("bool",)


def test_xor_of_integers_is_its_own_inverse() -> None:
    xor, x, y = ms.Xor(), mx.array(0b1100), mx.array(0b1010)
    assert xor.combine(x, y).item() == 0b0110
    assert xor.combine(x, xor.inverse(x)).item() == 0
    assert xor.facts(("int32",)).invertible
