"""Kalman filter and smoother through scan, against the sequential recursions in NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import errors

STRATEGIES = ("auto", "blelloch", "hillis_steele", "brent_kung", "sequential")
Arrays = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def _on_cpu() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


@attrs.frozen(eq=False)
class Model:
    transition: np.ndarray
    process: np.ndarray
    emission: np.ndarray
    noise: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def arrays(self) -> dict[str, mx.array]:
        return {name: _array(getattr(self, name)) for name in ("transition", "process", "emission", "noise")}


def _array(x: np.ndarray) -> mx.array:
    return mx.array(x, dtype=mx.float64)


def _covariances(rng: np.random.Generator, *shape: int) -> np.ndarray:
    root = rng.normal(size=(*shape, shape[-1]))
    return root @ np.swapaxes(root, -1, -2) + 0.1 * np.eye(shape[-1])


def _model(seed: int, steps: int, d: int, p: int) -> Model:
    rng = np.random.default_rng(seed)
    transition = 0.8 * rng.normal(size=(steps, d, d)) / np.sqrt(d)
    emission = rng.normal(size=(steps, p, d))
    noises = _covariances(rng, steps, d), _covariances(rng, steps, p)
    return Model(transition, noises[0], emission, noises[1], rng.normal(size=d), _covariances(rng, d))


def _filtered(model: Model, y: np.ndarray, mask: np.ndarray | None = None) -> tuple[Arrays, Arrays]:
    m, c = model.mean, model.covariance
    filtered, predicted = [], []
    for k in range(len(y)):
        f = model.transition[k]
        m, c = f @ m, f @ c @ f.T + model.process[k]
        predicted.append((m, c))
        seen = slice(None) if mask is None else np.flatnonzero(mask[k])
        h, r = model.emission[k][seen], model.noise[k][seen][:, seen]
        gain = c @ h.T @ np.linalg.inv(h @ c @ h.T + r)
        m, c = m + gain @ (y[k][seen] - h @ m), c - gain @ h @ c
        filtered.append((m, c))
    return _stacked(filtered), _stacked(predicted)


def _smoothed(model: Model, filtered: Arrays, predicted: Arrays) -> Arrays:
    steps = [(filtered[0][-1], filtered[1][-1])]
    for k in range(len(filtered[0]) - 2, -1, -1):
        gain = filtered[1][k] @ model.transition[k + 1].T @ np.linalg.inv(predicted[1][k + 1])
        m = filtered[0][k] + gain @ (steps[0][0] - predicted[0][k + 1])
        steps.insert(0, (m, filtered[1][k] + gain @ (steps[0][1] - predicted[1][k + 1]) @ gain.T))
    return _stacked(steps)


def _stacked(steps: list[Arrays]) -> Arrays:
    return np.stack([m for m, _ in steps]), np.stack([c for _, c in steps])


def _run(model: Model, y: np.ndarray, mask: np.ndarray | None = None, **options: object) -> tuple[mx.array, mx.array]:
    kalman = ms.KalmanFilter()
    seen = None if mask is None else mx.array(mask)
    elements = kalman.embed(_array(y), **model.arrays, mask=seen)
    start = kalman.prior(_array(model.mean), _array(model.covariance))
    return kalman.project(ms.scan(kalman, elements, init=start, **options))


def _close(got: tuple[mx.array, mx.array], expected: Arrays, tolerance: float = 1e-9) -> None:
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(np.array(ours), theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("d", "p"), [(1, 1), (2, 1), (2, 3), (4, 2)])
def test_filter(d: int, p: int, strategy: str) -> None:
    model = _model(d + p, 37, d, p)
    y = np.random.default_rng(1).normal(size=(37, p))
    _close(_run(model, y, strategy=strategy), _filtered(model, y)[0])


def test_filter_of_more_lanes_than_a_program_may_have() -> None:
    model = _model(0, 19, 6, 2)
    y = np.random.default_rng(1).normal(size=(19, 2))
    _close(_run(model, y), _filtered(model, y)[0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_smoother_takes_reverse_as_it_stands(strategy: str) -> None:
    model = _model(3, 23, 2, 1)
    y = np.random.default_rng(2).normal(size=(23, 1))
    filtered, predicted = _filtered(model, y)
    smoother = ms.KalmanSmoother()
    elements = smoother.embed(_array(filtered[0]), _array(filtered[1]), _array(model.transition), _array(model.process))
    answer = smoother.project(ms.scan(smoother, elements, reverse=True, strategy=strategy))
    _close(answer, _smoothed(model, filtered, predicted))


def test_missing_observations_say_nothing() -> None:
    model = _model(5, 20, 3, 2)
    rng = np.random.default_rng(3)
    y, mask = rng.normal(size=(20, 2)), rng.random((20, 2)) > 0.4
    mask[4] = False
    y[~mask] = np.nan
    _close(_run(model, y, mask), _filtered(model, y, mask)[0])


def test_one_flag_for_each_step_is_a_mask_of_size_one() -> None:
    model = _model(5, 20, 3, 2)
    y, seen = np.random.default_rng(3).normal(size=(20, 2)), np.arange(20) % 3 > 0
    y[~seen] = np.nan
    _close(_run(model, y, seen[:, None]), _filtered(model, y, np.stack([seen, seen], axis=1))[0])


def test_whole_numbers_are_observations() -> None:
    kalman, one = ms.KalmanFilter(), mx.array([[1]])
    mean, covariance = kalman.project(
        ms.scan(kalman, kalman.embed(mx.array([[3]]), one, one, one, one), init=kalman.prior(mx.array([0]), one))
    )
    assert (mean.tolist(), covariance.tolist()) == ([[2.0]], [[[pytest.approx(2 / 3)]]])  # 1 + 1 against a noise of 1


def test_an_array_without_time_is_the_same_at_every_step() -> None:
    varying = _model(7, 15, 2, 1)
    constant = attrs.evolve(
        varying, **{n: getattr(varying, n)[0] for n in ("transition", "process", "emission", "noise")}
    )
    spread = attrs.evolve(
        varying, **{n: np.broadcast_to(x, (15, *x.shape)) for n in ("transition", "process", "emission", "noise")
                    for x in [getattr(constant, n)]}
    )  # fmt: skip
    y = np.random.default_rng(4).normal(size=(15, 1))
    _close(_run(constant, y), _filtered(spread, y)[0])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_batches_share_covariances(axis: int) -> None:
    model = _model(8, 11, 2, 1)
    y = np.random.default_rng(5).normal(size=(11, 4, 1))
    kalman, smoother = ms.KalmanFilter(), ms.KalmanSmoother()
    given = y if axis == 0 else y.swapaxes(0, 1)
    elements = kalman.embed(_array(given), **model.arrays, axis=axis)
    start = kalman.prior(_array(model.mean), _array(model.covariance))
    where = axis % 2
    mean, covariance = kalman.project(ms.scan(kalman, elements, axis=where, init=start))
    assert covariance.shape == ((11, 1, 2, 2) if axis == 0 else (1, 11, 2, 2))
    back = smoother.embed(mean, covariance, _array(model.transition), _array(model.process), axis=axis)
    smooth = smoother.project(ms.scan(smoother, back, axis=where, reverse=True))[0]
    for series in range(4):
        filtered, predicted = _filtered(model, y[:, series])
        ours, smoothed = (np.array(x)[:, series] if axis == 0 else np.array(x)[series] for x in (mean, smooth))
        np.testing.assert_allclose(ours, filtered[0], atol=1e-9)
        np.testing.assert_allclose(smoothed, _smoothed(model, filtered, predicted)[0], atol=1e-9)


def test_gradient_of_the_likelihood_is_the_difference_quotient() -> None:
    y = _array(np.random.default_rng(6).normal(size=(30, 1)).cumsum(axis=0))
    one = mx.ones((1, 1), mx.float64)

    def errors_squared(process: mx.array) -> mx.array:
        kalman = ms.KalmanFilter()
        elements = kalman.embed(y[1:], one, process.reshape(1, 1), one, one)
        mean, _ = kalman.project(ms.scan(kalman, elements, init=kalman.prior(y[0], one)))
        return ((y[1:] - mx.concatenate([y[:1], mean[:-1]])) ** 2).sum()

    at, step = mx.array(0.3, mx.float64), 1e-5
    slope = (errors_squared(at + step) - errors_squared(at - step)) / (2 * step)
    assert float(np.array(mx.grad(errors_squared)(at))) == pytest.approx(float(np.array(slope)), rel=1e-6)


def test_float32_stays_close_over_a_long_series() -> None:
    steps = 4096
    y = np.random.default_rng(9).normal(size=(steps, 1)).cumsum(axis=0)
    one = np.ones((steps, 1, 1))
    model = Model(one, one, one, one, np.zeros(1), np.ones((1, 1)))
    kalman = ms.KalmanFilter()
    single = {name: array.astype(mx.float32) for name, array in model.arrays.items()}
    start = kalman.prior(mx.zeros((1,)), mx.ones((1, 1)))
    mean, _ = kalman.project(ms.scan(kalman, kalman.embed(mx.array(y.astype(np.float32)), **single), init=start))
    np.testing.assert_allclose(np.array(mean), _filtered(model, y)[0][0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"y": mx.ones((5,))}, "y[:, None]"),
        ({"transition": mx.ones((2, 3))}, "transition must have the shape (..., 3, 3)"),
        ({"process": mx.ones((1, 1))}, "process must have the shape (..., 2, 2)"),
        ({"emission": mx.ones((2, 2))}, "emission must have the shape (..., 1, 2)"),
        ({"noise": mx.ones((5, 2, 2))}, "noise must have the shape (..., 1, 1); got (5, 2, 2)"),
    ],
)
def test_wrong_shapes_are_named(wrong: dict[str, mx.array], words: str) -> None:
    two, given = mx.eye(2), {"y": mx.ones((5, 1)), "emission": mx.ones((1, 2)), "noise": mx.ones((1, 1))}
    with pytest.raises(errors.ScanError) as error:
        ms.KalmanFilter().embed(**{"transition": two, "process": two, **given, **wrong})
    assert words in str(error.value)
