"""Rows side by side: the adjoint along the innermost axis, in lots of rows that stand as columns in a buffer."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from backward_support import random
from broken_headers import break_header
from gradient_cases import by
from gradient_oracle import Question
from selection import thinned

import monoscan as ms
from monoscan.cache import Cache
from monoscan.lowering.gradient.adjoint import Adjoint
from monoscan.lowering.targets.cpu import backward, build, kernels

pytestmark = pytest.mark.skipif(not build.status().available, reason="no compiler")

RNG = np.random.default_rng(12)


def both(run: Any, arrays: list[mx.array], monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """The cotangents of some arrays by rows side by side, and by one row after the other."""
    found = []
    outputs = run(*arrays)
    weights = [random(np.random.default_rng(i), *y.shape).astype(y.dtype) for i, y in enumerate(outputs)]
    for across in (True, False):
        monkeypatch.setattr(backward, "_columns", lambda *_, across=across: across)
        found.append([np.array(d.astype(mx.float32)) for d in mx.vjp(run, arrays, weights)[1]])
    return list(zip(*found, strict=True))


OPTIONS: list[dict[str, Any]] = [{}, {"reverse": True}, {"inclusive": False}, {"inclusive": False, "reverse": True}]


@pytest.mark.long
@pytest.mark.parametrize("options", thinned(OPTIONS, OPTIONS[1:3]), ids=str)
def test_rows_side_by_side_give_the_bits_of_rows_one_after_the_other(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where rows and steps fill no lot and no tile, and where what begins a row differs from row to row."""
    for rows, n in [(19, 1), (16, 2), (19, 32), (40, 33), (5, 100)]:

        def run(a: mx.array, b: mx.array, h: mx.array, n: int = n) -> list[mx.array]:
            (_, y), (_, last) = ms.scan(ms.Affine(), (a, b), axis=1, init=(h, h), return_carry=True, **options)
            return [y, last]

        arrays = [random(RNG, rows, n), random(RNG, rows, n), random(RNG, rows)]
        for got, want in both(run, arrays, monkeypatch):
            np.testing.assert_array_equal(got, want)


def matrices(A: mx.array, b: mx.array) -> list[mx.array]:
    return list(ms.scan(ms.MatrixAffine(), (A, b), axis=2))


def captured(x: mx.array, rate: mx.array) -> list[mx.array]:
    """A shared leaf, and an array that a combine captures."""
    operator = ms.monoid(lambda l, r: (l[0] + r[0], l[1] * rate + r[1] * mx.exp(r[0])))
    return [ms.scan(operator, (x[:1, :1], x), axis=2)[1]]


def flagged(x: mx.array) -> list[mx.array]:
    return [ms.scan(ms.Segmented(ms.Product()), (x > 0.5, x), axis=2)[1]]


def means(x: mx.array) -> list[mx.array]:
    return [ms.scan(ms.Mean(), (mx.ones_like(x).astype(mx.float32), x.astype(mx.float32)), axis=2)[1]]


CASES = {
    "lanes": (matrices, [random(RNG, 3, 7, 35, 2, 2), random(RNG, 3, 7, 35, 2)]),
    "captures": (captured, [random(RNG, 3, 7, 35), mx.array(0.7)]),
    "flags": (flagged, [random(RNG, 3, 7, 35)]),
    "halves": (means, [random(RNG, 3, 7, 35).astype(mx.float16)]),
    "views": (lambda x: means(x[::-1, :, ::2]), [random(RNG, 5, 4, 70)]),
}


@pytest.mark.long
@pytest.mark.parametrize("name", thinned(list(CASES), ["lanes", "captures", "flags"]))
def test_lanes_captures_flags_and_views_have_columns_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, arrays = CASES[name]
    for got, want in both(run, arrays, monkeypatch):
        if name == "captures":  # a shared leaf gets the sum over rows, in another order
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, want)


def test_rows_side_by_side_are_the_gradient_of_the_fold() -> None:
    elems = mx.array(RNG.uniform(0.5, 2, (17, 5)).astype(np.float32)), random(RNG, 17, 5)
    by(Question(ms.Mean, elems, options={"axis": 1}), "sequential").check(2e-3)


@pytest.mark.long
@pytest.mark.parametrize(
    ("honest", "wrong"), [("- steps.at * a.axis", "- 0 * steps.at * a.axis"), ("last + late", "last")]
)
def test_a_wrong_tile_is_found(honest: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_header("across.h", honest, wrong, monkeypatch)
    monkeypatch.setattr(backward, "COMPILED", Cache(16))
    monkeypatch.setattr(kernels, "COMPILED", Cache(16))
    with pytest.raises(AssertionError):
        test_rows_side_by_side_give_the_bits_of_rows_one_after_the_other({"inclusive": False}, monkeypatch)


def test_cheap_steps_are_not_copied_into_columns() -> None:
    cheap, dear = seen(ms.Affine()), seen(ms.OnlineSoftmax())
    assert [backward._columns(each, (), (64, 100), 1) for each in (cheap, dear)] == [False, True]
    assert not backward._columns(dear, (), (3, 100), 1)
    assert backward._columns(cheap, (), (100, 64), 0)


def seen(operator: ms.Semigroup, leaves: int = 2) -> Adjoint:
    """The adjoint that a gradient runs."""
    found: list[Adjoint] = []
    honest = backward._spec
    x = mx.ones((2, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backward, "COMPILED", Cache(16))
        patch.setattr(backward, "_spec", lambda adjoint, *rest: (found.append(adjoint), honest(adjoint, *rest))[1])
        patch.setattr(backward, "_launch", lambda *_: None)  # array operations stand in for it
        mx.vjp(lambda x: ms.scan(operator, (x,) * leaves, axis=1, strategy="sequential")[-1], [x], [x])
    return found[0]


def test_long_steps_over_columns_are_vector_code() -> None:
    def combine(l: mx.array, r: mx.array) -> mx.array:
        x = l * r
        for _ in range(150):
            x = x * l + r * x
        return x

    adjoint = seen(ms.monoid(lambda l, r: (combine(l[0], r[0]),)), leaves=1)
    assert len(adjoint.step.code) > 500
    weights = [mx.ones((9, 64))] * (len(adjoint.rights) + len(adjoint.lefts) + len(adjoint.weights))
    assert backward._spec(adjoint, [*weights, mx.ones((1, 64))], columns=True, rows=0).vector_bytes
