"""Filters against SciPy, exponentially weighted moments against pandas."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import signal
from tests.selection import thinned

Array = np.ndarray
scipy_signal = pytest.importorskip("scipy.signal")
pandas = pytest.importorskip("pandas")
RANDOM = np.random.default_rng(0)
SIGNAL = RANDOM.normal(size=(2, 40, 3))
FILTERS: dict[str, tuple[list[float], list[float]]] = {
    "one pole": ([0.3], [1.0, -0.7]),
    "biquad": ([0.2, 0.4, 0.2], [1.0, -0.4, 0.2]),
    "order 5": ([0.1, 0.2, 0.3, 0.2, 0.1, 0.05], [2.0, -0.8, 0.5, -0.1]),
    "no feedback": ([0.5, 0.3, 0.2], [1.0]),
    "a factor": ([0.5], [2.0]),
}
OPTIONS = [
    {"adjust": adjust, "ignore_na": ignore_na, "min_periods": least}
    for adjust in (True, False) for ignore_na in (True, False) for least in (0, 4)
]  # fmt: skip


def double(x: Array) -> mx.array:
    return mx.array(x, mx.float64)


@pytest.mark.parametrize("name", thinned(FILTERS, ["biquad", "a factor"]))
def test_filters_and_their_states_are_those_of_scipy(name: str) -> None:
    b, a = FILTERS[name]
    order = max(len(a), len(b)) - 1
    start = RANDOM.normal(size=(2, order, 3))
    y, last = signal.lfilter(b, a, double(SIGNAL), axis=1, zi=double(start))
    expected, after = scipy_signal.lfilter(b, a, SIGNAL, axis=1, zi=start)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(last, after, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        signal.lfilter(b, a, double(SIGNAL), axis=1), scipy_signal.lfilter(b, a, SIGNAL, axis=1), rtol=1e-12, atol=1e-13
    )


def test_a_filter_goes_on_from_its_state() -> None:
    b, a = FILTERS["biquad"]
    x = mx.array(SIGNAL[0, :, 0].astype(np.float32))
    whole = signal.lfilter(b, a, x)
    first, state = signal.lfilter(b, a, x[:13], zi=mx.zeros((2,)))
    second, _ = signal.lfilter(b, a, x[13:], zi=state)
    assert mx.array_equal(mx.concatenate([first, second]), whole)


def test_a_batch_may_have_no_rows() -> None:
    y, last = signal.lfilter([1.0, 0.5], [1.0, 0.3], mx.zeros((0, 5)), zi=mx.zeros((0, 1)))
    assert (y.shape, last.shape) == ((0, 5), (0, 1))
    y, last = signal.sosfilt([[1.0, 0, 0, 1, 0.2, 0.1]], mx.zeros((0, 5)), zi=mx.zeros((1, 0, 2)))
    assert (y.shape, last.shape) == ((0, 5), (1, 0, 2))


def test_sections_are_those_of_scipy() -> None:
    sos = scipy_signal.butter(6, 0.2, output="sos")
    start = RANDOM.normal(size=(3, 2, 2, 3))
    y, last = signal.sosfilt(sos, double(SIGNAL), axis=1, zi=double(start))
    expected, after = scipy_signal.sosfilt(sos, SIGNAL, axis=1, zi=start)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(last, after, rtol=1e-10, atol=1e-12)


def test_sections_may_be_of_complex_numbers_and_of_integers() -> None:
    x = RANDOM.normal(size=12)
    turning = [[1.0, 0.5j, 0.0, 1.0, -0.4j, 0.0], [1.0, 0.0, 0.0, 1.0, 0.3, 0.0]]
    expected = x.astype(complex)
    for row in turning:
        expected = scipy_signal.lfilter(row[:3], row[3:], expected)
    np.testing.assert_allclose(signal.sosfilt(turning, mx.array(x + 0j)), expected, rtol=1e-5, atol=1e-5)
    expected = scipy_signal.lfilter([1, 2, 1], [2, 1, 0], x)
    np.testing.assert_allclose(signal.sosfilt([[1, 2, 1, 2, 1, 0]], double(x)), expected, rtol=1e-12, atol=1e-13)


def test_gradients_reach_coefficients_and_the_signal() -> None:
    b, a = FILTERS["biquad"]
    x = mx.array(SIGNAL[0, :, 0].astype(np.float32))

    def loss(b: mx.array, a: mx.array, x: mx.array) -> mx.array:
        return signal.lfilter(b, a, x).square().sum()

    given = [mx.array(b), mx.array(a), x]
    gradients = mx.grad(loss, (0, 1, 2))(*given)
    for which, index in ((0, 1), (1, 2), (2, 5)):
        values = [np.array(each, np.float64) for each in given]
        moved = []
        for step in (1e-6, -1e-6):
            shifted = [each.copy() for each in values]
            shifted[which][index] += step
            moved.append((scipy_signal.lfilter(*shifted) ** 2).sum())
        slope = (moved[0] - moved[1]) / 2e-6
        assert gradients[which][index].item() == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: signal.lfilter([], [1.0], x), r"\[lfilter\] b has one coefficient at least"),
        (lambda x: signal.lfilter([1.0], [0.0, 1.0], x), "the first coefficient of the denominator is 0"),
        (
            lambda x: signal.lfilter([1.0], [1.0, 0.5], x, zi=mx.zeros((3,))),
            r"\[lfilter\] zi must have the shape \(1,\)",
        ),
        (
            lambda x: signal.lfilter([1.0], [1.0], x, axis=2),
            r"\[lfilter\] axis 2 is no axis of x, whose shape is \(8,\)",
        ),
        (lambda x: signal.sosfilt([[1.0, 2.0]], x), r"\[sosfilt\] sos has the shape \(sections, 6\)"),
        (lambda x: signal.sosfilt([[1.0, 2.0], [1.0]], x), r"\[sosfilt\] sos cannot be read as coefficients"),
        (lambda x: signal.lfilter([1.0], "ab", x), r"\[lfilter\] a must be numbers; got <U2"),
        (
            lambda x: signal.ewm_mean(x),
            r"\[ewm_mean\] needs one of com, span, halflife and alpha, and no other; got none",
        ),
        (lambda x: signal.ewm_mean(x, alpha=0.5, axis=None), r"\[ewm_mean\] axis None is no axis of x"),
        (lambda x: signal.ewm_mean(x + 1j, alpha=0.5), r"\[ewm_mean\] x must be an array of floats; got complex64"),
        (lambda x: signal.ewm_mean(x, alpha=0.0), r"alpha is in \(0, 1\]; got 0"),
        (lambda x: signal.ewm_var(x, span=3, times=x), r"\[ewm_var\] needs with times, halflife"),
        (
            lambda x: signal.ewm_var(x, halflife=3, times=x[:2]),
            r"times must have the shape \(8,\), one for each step of x along axis 0; got \(2,\)",
        ),
    ],
)
def test_what_does_not_fit(call: Any, words: str) -> None:
    with pytest.raises(ms.ScanError, match=words):
        call(mx.ones((8,)))


def gaps() -> Array:
    values = RANDOM.normal(size=(60, 3))
    values[RANDOM.random((60, 3)) < 0.3] = np.nan
    values[:4, 1] = np.nan
    values[:, 2] = 7.0
    return values


@pytest.mark.parametrize("options", thinned(OPTIONS, [OPTIONS[0], OPTIONS[-1]]), ids=str)
def test_means_are_those_of_pandas(options: dict[str, Any]) -> None:
    values = gaps()
    expected = pandas.DataFrame(values).ewm(halflife=3.0, **options).mean()
    np.testing.assert_allclose(signal.ewm_mean(double(values), halflife=3.0, **options), expected, rtol=1e-12)


@pytest.mark.parametrize("bias", thinned([False, True], [False]))
@pytest.mark.parametrize("options", thinned(OPTIONS, [OPTIONS[0], OPTIONS[-1]]), ids=str)
def test_variances_are_those_of_pandas(options: dict[str, Any], bias: bool) -> None:
    values = gaps()
    expected = pandas.DataFrame(values).ewm(span=5.0, **options).var(bias=bias)
    ours = signal.ewm_var(double(values), span=5.0, bias=bias, **options)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-14)


def test_means_at_uneven_times_are_those_of_pandas() -> None:
    values, hours = gaps(), np.cumsum(RANDOM.uniform(0.1, 5, 60))
    stamps = pandas.Timestamp("2026-01-01") + pandas.to_timedelta(np.round(hours * 3600), unit="s")
    expected = pandas.DataFrame(values).ewm(halflife="2h", times=stamps).mean()
    ours = signal.ewm_mean(double(values), halflife=2.0, times=double(np.round(hours * 3600) / 3600))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_time_may_be_the_last_axis() -> None:
    values = gaps()
    turned = signal.ewm_mean(double(values.T), alpha=0.2, axis=-1)
    np.testing.assert_allclose(np.array(turned).T, signal.ewm_mean(double(values), alpha=0.2), rtol=1e-12)


@pytest.mark.parametrize(("name", "value"), [("com", 2.0), ("span", 5.0), ("halflife", 1.7), ("alpha", 1.0)])
def test_every_way_to_say_how_fast(name: str, value: float) -> None:
    values = RANDOM.normal(size=(20,))
    expected = pandas.Series(values).ewm(**{name: value}).mean()
    np.testing.assert_allclose(signal.ewm_mean(double(values), **{name: value}), expected, rtol=1e-12)


def test_a_constant_keeps_its_bits() -> None:
    assert mx.array_equal(signal.ewm_mean(mx.full((50,), 0.1), alpha=0.3), mx.full((50,), 0.1))


def test_the_gradient_of_a_mean_passes_by_gaps() -> None:
    values = mx.array([1.0, 2.0, mx.nan, 4.0])
    weights = mx.grad(lambda x: signal.ewm_mean(x, alpha=0.5)[-1])(values)
    np.testing.assert_allclose(weights, np.array([0.125, 0.25, 0.0, 1.0]) / 1.375, rtol=1e-6)
