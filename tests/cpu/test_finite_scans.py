"""Scans as users write them whose partial products overflow: finite where the fold in order is."""

from __future__ import annotations

import attrs
import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan.lowering.planner import plan
from monoscan.scan import api
from monoscan.scan.call import options


def growing(n: int, gate: float = 1.01) -> tuple[mx.array, mx.array]:
    return mx.full((n,), gate), mx.zeros((n,))


def test_a_recurrence_of_zeros_stays_zero_in_long_rows() -> None:
    for n in (64, 1000, 262_144):
        for reverse in (False, True):
            assert not mx.any(ms.linear_recurrence(*growing(n), reverse=reverse) != 0).item()
            assert not mx.any(ms.scan(ms.Affine(), growing(n), reverse=reverse)[1] != 0).item()
            assert ms.fold(ms.Affine(), growing(n), reverse=reverse)[1].item() == 0


@pytest.mark.long
def test_gates_of_a_thousand_overflow_in_no_block() -> None:
    for dtype in (mx.float32, mx.float16, mx.bfloat16, mx.float64):
        stream = mx.cpu
        a = mx.full((3, 200), 1e3, dtype, stream=stream)
        h = ms.linear_recurrence(a, mx.zeros((3, 200), dtype, stream=stream), axis=1, stream=stream)
        assert np.array(h.astype(mx.float32, stream=stream)).any() == 0


def test_late_deposits_count_from_where_they_are() -> None:
    n, k = 400_000, 10
    b = np.zeros(n, np.float32)
    b[-k:] = 1
    h = ms.linear_recurrence(mx.full((n,), 1.01), mx.array(b))
    np.testing.assert_allclose(h[-1].item(), (1.01**k - 1) / 0.01, rtol=1e-4)
    assert not mx.any(h[:-k] != 0).item()


@pytest.mark.parametrize("identity", [None, 1])
def test_a_product_that_starts_with_zero_is_zero(identity: int | None) -> None:
    product = ms.monoid(lambda l, r: l * r, identity=identity, name="product")
    for n in (200, 500_000):
        x = mx.concatenate([mx.zeros((1,)), mx.full((n,), 2.0)])
        assert not mx.any(ms.scan(product, x) != 0).item()
        assert ms.fold(product, x).item() == ms.fold(ms.Product(), x).item() == 0
    assert not mx.any(ms.scan(product, mx.full((300,), 2.0), init=0.0) != 0).item()
    assert ms.fold(ms.Product(), mx.array([1e30, 1e30]), init=1e-30).item() == pytest.approx(1e30)


def test_one_unstable_direction_that_is_never_excited() -> None:
    n = 300_000
    a = mx.broadcast_to(mx.array([[2.0, 0.0], [0.0, 0.5]]), (n, 2, 2))
    b = mx.broadcast_to(mx.array([0.0, 1.0]), (n, 2))
    last = ms.scan(ms.MatrixAffine(), (a, b))[1]
    assert not mx.any(last[:, 0] != 0).item()
    np.testing.assert_allclose(np.array(last[-1]), [0, 2])


def test_columns_and_rows_of_a_batch_do_not_touch_one_another() -> None:
    a, b = (np.random.default_rng(0).uniform(0.2, 1, (400, 3)).astype(np.float32) for _ in range(2))
    clean = np.array(ms.linear_recurrence(mx.array(a), mx.array(b)))
    a[:, 1], b[:, 1] = 1e30, 0
    spoilt = np.array(ms.linear_recurrence(mx.array(a), mx.array(b)))
    np.testing.assert_array_equal(spoilt[:, ::2], clean[:, ::2])
    assert not spoilt[:, 1].any()


def test_a_quotient_by_what_overflowed_is_found() -> None:
    """Infinity becomes zero in it: nothing that comes out tells, so the loop keeps the order."""
    parallel = ms.monoid(lambda l, r: 1 / (1 / l + 1 / r), name="parallel")
    x = np.resize([1e-308, 1e-308, -1e-308, 1e308], 300)  # float64, beside which no subnormal number is flushed
    want = [x[0]]
    with np.errstate(all="ignore"):
        for value in x[1:]:
            want.append(1 / (1 / want[-1] + 1 / value))
    got = np.array(ms.scan(parallel, mx.array(x, mx.float64)))
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[finite], np.array(want)[finite])


def test_gradients_of_long_growing_recurrences_are_finite() -> None:
    n = 300_000
    a, b = growing(n)
    da, db = mx.grad(lambda a, b: ms.linear_recurrence(a, b)[5], argnums=(0, 1))(a, b)
    assert not mx.any(da != 0).item()
    np.testing.assert_allclose(np.array(db[:6]), 1.01 ** np.arange(5, -1, -1), rtol=1e-5)
    assert not mx.any(db[6:] != 0).item()
    x = mx.concatenate([mx.zeros((1,)), mx.full((300,), 2.0)])
    for strategy in ("native", "kernel"):
        dx = mx.grad(lambda x, s=strategy: ms.scan(ms.Product(), x, strategy=s)[3])(x)
        assert dx.tolist() == [8.0] + [0.0] * 300


def test_folds_of_floats_are_kernels_and_those_of_integers_are_not() -> None:
    for x, strategy in ((mx.ones((9,)), "kernel"), (mx.arange(9), "native")):
        question = ms.explain(ms.Sum(), x).problem
        asked = options("fold", results=False)
        posed = attrs.evolve(question, options=asked)
        assert plan(posed).strategy == strategy
    assert api.fold(ms.Sum(), mx.array([-3e38, 3e38, 3e38, -3e38] * 50)).item() == 0
