"""Rolling statistics against pandas, and against NumPy's own of each window where pandas loses digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import signal
from tests.selection import thinned

Array = np.ndarray
pandas = pytest.importorskip("pandas")
NAMES = ("sum", "mean", "var", "std", "min", "max")
WINDOWS: list[tuple[int, int | None]] = [(5, 2), (5, None), (1, None), (3, 0), (12, 1), (200, 3)]
some = pytest.mark.parametrize("name", thinned(NAMES, ["sum", "var", "max"]))


def ours(name: str, *arguments: Any, **options: Any) -> Array:
    found: mx.array = getattr(signal, f"rolling_{name}")(*arguments, **options)
    return np.array(found)


def gaps(dtype: type = np.float64) -> Array:
    random = np.random.default_rng(0)
    values = random.normal(size=(60, 3))
    values[random.random((60, 3)) < 0.3] = np.nan
    values[20:30, 1] = np.nan
    return values.astype(dtype)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("window", "least"), thinned(WINDOWS, WINDOWS[:2]))
@some
def test_windows_with_gaps_are_those_of_pandas(name: str, window: int, least: int | None) -> None:
    expected = getattr(pandas.DataFrame(gaps()).rolling(window, least), name)()
    np.testing.assert_allclose(
        ours(name, mx.array(gaps(), mx.float64), window, least), expected, rtol=1e-12, atol=1e-14
    )


@pytest.mark.sampled(4)
@pytest.mark.parametrize("ddof", thinned([0, 1, 2], [2]))
@pytest.mark.parametrize("name", thinned(["var", "std"], ["std"]))
def test_degrees_of_freedom_are_those_of_pandas(name: str, ddof: int) -> None:
    expected = getattr(pandas.DataFrame(gaps()).rolling(4, 1), name)(ddof=ddof)
    found = ours(name, mx.array(gaps(), mx.float64), 4, 1, ddof=ddof)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)


def test_time_may_be_the_last_axis() -> None:
    values = mx.array(gaps(np.float32))
    assert mx.array_equal(
        signal.rolling_mean(values.T, 5, 2, axis=-1).T, signal.rolling_mean(values, 5, 2), equal_nan=True
    )


@pytest.mark.parametrize(
    ("name", "fold"),
    [("sum", np.sum), ("mean", np.mean), ("var", lambda x: np.var(x, ddof=1))],
    ids=["sum", "mean", "var"],
)
def test_small_values_after_large_ones_keep_their_digits(name: str, fold: Callable[[Array], Any]) -> None:
    """Here variances of pandas, which are updated by what comes and goes, are off by thousands of their size."""
    random = np.random.default_rng(0)
    values = np.abs(random.normal(size=200)) * np.exp(8 * random.normal(size=200))
    wide = values.astype(np.longdouble)
    expected = [np.nan] * 4 + [float(fold(wide[i - 4 : i + 1])) for i in range(4, 200)]
    np.testing.assert_allclose(ours(name, mx.array(values, mx.float64), 5), expected, rtol=1e-13)


def test_an_infinity_is_gone_once_it_has_left_the_window() -> None:
    values = mx.array([1.0, mx.inf, 2.0, 3.0, -mx.inf, 5.0])
    np.testing.assert_array_equal(ours("sum", values, 2), [np.nan, np.inf, np.inf, 5, -np.inf, -np.inf])
    np.testing.assert_array_equal(ours("min", values, 2), [np.nan, 1, 2, 2, -np.inf, -np.inf])


def test_gradients_pass_by_gaps() -> None:
    values = mx.array([1.0, mx.nan, 4.0, 2.0])
    slopes = mx.grad(lambda x: signal.rolling_mean(x, 3, 1)[1:].sum())(values)
    np.testing.assert_allclose(slopes, [1 + 1 / 2, 0, 1 / 2 + 1 / 2, 1 / 2], rtol=1e-6)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", thinned(NAMES, ["std"]))
def test_halves_are_rounded_once(name: str) -> None:
    values = gaps(np.float16)
    expected = getattr(pandas.DataFrame(values.astype(np.float64)).rolling(5, 2), name)()
    np.testing.assert_allclose(ours(name, mx.array(values), 5, 2), expected, rtol=1e-3, atol=1e-5)


def test_integers_count_as_floats() -> None:
    found = signal.rolling_sum(mx.array([1, 2, 3]), 2)
    assert found.dtype == mx.float32
    np.testing.assert_array_equal(found, [np.nan, 3, 5])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda x: signal.rolling_sum(x, 0),
            r"\[rolling_sum\] window must be a whole number of 1 or more; got 0",
        ),
        (lambda x: signal.rolling_max(x, 2.5), r"\[rolling_max\] window must be a whole number .* got 2.5"),
        (
            lambda x: signal.rolling_min(x, 2, 3),
            r"\[rolling_min\] min_periods must be a whole number from 0 to 2; got 3",
        ),
        (lambda x: signal.rolling_mean(x, 2, axis=1), r"\[rolling_mean\] axis 1 is no axis of x"),
        (
            lambda x: signal.rolling_var(x, 2, ddof=-1),
            r"\[rolling_var\] ddof must be a whole number of 0 or more; got -1",
        ),
        (lambda x: signal.rolling_sum(x + 1j, 2), r"\[rolling_sum\] x must be an array of floats; got complex64"),
    ],
)
def test_what_does_not_fit(call: Callable[[mx.array], Any], words: str) -> None:
    with pytest.raises(ms.ScanError, match=words):
        call(mx.ones((8,)))
