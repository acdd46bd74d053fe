"""Linear Gaussian models against the joint Gaussian of all states and observations, in float64, and against statsmodels."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import hmm, kalman
from tests.selection import thinned

Array = np.ndarray
STEPS = 7


def model(states: int, seen: int, seed: int = 0) -> list[Array]:
    random = np.random.default_rng(seed)

    def covariance(size: int) -> Array:
        root = random.normal(size=(size, size))
        return root @ root.T / size + 0.1 * np.eye(size)

    transition = np.linalg.qr(random.normal(size=(states, states)))[0] * 0.9
    process = covariance(states)
    process[0] = process[:, 0] = 0  # nothing drives the first state: singular, as of positions with random speeds
    emission = random.normal(size=(seen, states))
    return [transition, process, emission, covariance(seen), random.normal(size=states), covariance(states)]


def arrays(given: list[Array]) -> kalman.Model:
    return kalman.Model(*(mx.array(x.astype(np.float32)) for x in given))


def observations(seen: int, seed: int = 1) -> Array:
    """Some components are missing, one step is missing as a whole."""
    random = np.random.default_rng(seed)
    y = random.normal(size=(STEPS, seen))
    y[2] = np.nan
    y[4, 0] = np.nan
    return y


def joint(given: list[Array], inputs: Array) -> tuple[Array, Array]:
    """Mean and covariance of all states, one after the other."""
    transition, process, _, _, mean, covariance = given
    means, blocks = [mean], [[covariance]]
    for t in range(1, STEPS):
        means.append(transition @ means[-1] + inputs[t])
        row = [transition @ block for block in blocks[-1]]
        blocks = [[*line, row[i].T] for i, line in enumerate(blocks)]
        blocks.append([*row, transition @ blocks[t - 1][t - 1] @ transition.T + process])
    whole = np.block(blocks)
    return np.concatenate(means), (whole + whole.T) / 2


def given_all(given: list[Array], y: Array, inputs: Array, upto: int) -> tuple[Array, Array, float]:
    """Means and covariances of states, from the observations before a step, and the log-likelihood of these."""
    _, _, emission, noise, _, _ = given
    mean, covariance = joint(given, inputs)
    seen, size = emission.shape
    maps, errors = np.kron(np.eye(STEPS), emission), np.kron(np.eye(STEPS), noise)
    there = np.isfinite(y).reshape(-1) & (np.arange(STEPS * seen) < upto * seen)
    maps, values = maps[there], y.reshape(-1)[there] - maps[there] @ mean
    spread = maps @ covariance @ maps.T + errors[np.ix_(there, there)]
    gain = np.linalg.solve(spread, maps @ covariance).T
    volume = np.linalg.slogdet(spread)[1]
    likelihood = -0.5 * (values @ np.linalg.solve(spread, values) + volume + there.sum() * np.log(2 * np.pi))
    rest = covariance - gain @ maps @ covariance
    blocks = [rest[i * size : (i + 1) * size, i * size : (i + 1) * size] for i in range(STEPS)]
    return (mean + gain @ values).reshape(STEPS, size), np.array(blocks), likelihood


@pytest.mark.parametrize(("states", "seen"), thinned([(1, 1), (2, 1), (3, 2)], [(3, 2)]))
def test_beliefs_are_those_of_the_joint_gaussian(states: int, seen: int) -> None:
    given, y = model(states, seen), observations(seen)
    inputs = np.random.default_rng(2).normal(size=(STEPS, states))
    options = {"inputs": mx.array(inputs.astype(np.float32))}
    filtered = kalman.filter(arrays(given), y.astype(np.float32), **options)
    smoothed = kalman.smooth(arrays(given), y.astype(np.float32), **options)
    means, covariances, likelihood = given_all(given, y, inputs, STEPS)
    np.testing.assert_allclose(smoothed.means, means, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(smoothed.covariances, covariances, rtol=2e-4, atol=2e-5)
    for found in (filtered, smoothed):
        assert found.log_likelihood.item() == pytest.approx(likelihood, rel=1e-5)
    for t in range(STEPS):
        means, covariances, _ = given_all(given, y, inputs, t + 1)
        np.testing.assert_allclose(filtered.means[t], means[t], rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(filtered.covariances[t], covariances[t], rtol=2e-4, atol=2e-5)


@pytest.mark.long
def test_a_diagonal_noise_may_be_its_diagonal() -> None:
    given, y = model(3, 2), observations(2).astype(np.float32)
    given[3] = np.diag([0.5, 0.2])
    short = arrays(given)._replace(noise=mx.array([0.5, 0.2]))
    for one, other in zip(kalman.filter(arrays(given), y), kalman.filter(short, y), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_nile_is_as_published() -> None:
    from monoscan.demo import nile

    flows = mx.array(nile.load()[1][:, None], mx.float64)
    one = mx.ones((1, 1), mx.float64)
    level = kalman.Model(one, 1469.1 * one, one, 15099.0 * one, 0 * one[0], 1e9 * one)
    found = kalman.filter(level, flows)
    diffuse = -0.5 * np.log(2 * np.pi * 1e9)  # the first observation says nothing beside where the level is
    assert found.log_likelihood.item() - diffuse == pytest.approx(-632.54, abs=0.02)


def test_covariances_stay_positive_in_float32() -> None:
    """Exact observations of a sum, over and over: the covariance formula leaves negative variances here."""
    steps = 400
    near = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-4]])
    given = [np.eye(2), 0 * np.eye(2), near, 1e-8 * np.eye(2), np.zeros(2), 1e4 * np.eye(2)]
    y = np.ones((steps, 2), np.float32)
    for found in (kalman.filter(arrays(given), y), kalman.smooth(arrays(given), y)):
        smallest = np.linalg.eigvalsh(np.array(found.covariances, np.float64))[:, 0]
        largest = np.abs(np.array(found.covariances)).max((1, 2))
        assert (smallest > -1e-6 * largest).all()
    covariance = 1e4 * np.eye(2, dtype=np.float32)
    emission, noise = near.astype(np.float32), (1e-8 * np.eye(2)).astype(np.float32)
    for _ in range(3):  # what a filter of covariances does in float32
        gain = covariance @ emission.T @ np.linalg.inv(emission @ covariance @ emission.T + noise)
        covariance = covariance - gain @ emission @ covariance
    assert np.linalg.eigvalsh(covariance)[0] < -1e-6 * np.abs(covariance).max()


@pytest.mark.long
def test_rows_of_a_batch_and_padded_ones_are_as_alone() -> None:
    given = arrays(model(2, 1))
    y = np.random.default_rng(3).normal(size=(3, STEPS, 1)).astype(np.float32)
    lengths = [7, 4, 1]
    for call in (kalman.filter, kalman.smooth):
        found = call(given, y, lengths=mx.array(lengths))
        for row, length in enumerate(lengths):
            alone = call(given, y[row, :length])
            np.testing.assert_allclose(found.means[row, :length], alone.means, rtol=1e-4, atol=1e-5)
            assert found.log_likelihood[row].item() == pytest.approx(alone.log_likelihood.item(), rel=1e-5)


def test_draws_have_the_moments_of_the_smoother() -> None:
    given, y = model(2, 1), observations(1).astype(np.float32)
    drawn = np.array(kalman.sample(arrays(given), y, samples=20_000, key=mx.random.key(0)))
    means, covariances, _ = given_all(given, y.astype(np.float64), np.zeros((STEPS, 2)), STEPS)
    spread = np.sqrt(np.einsum("tii->ti", covariances))
    assert (np.abs(drawn.mean(0) - means) < 5 * spread / np.sqrt(20_000) + 1e-6).all()
    centred = drawn - drawn.mean(0)
    found = np.einsum("sti,stj->tij", centred, centred) / 20_000
    np.testing.assert_allclose(found, covariances, atol=0.06 * covariances.max())


def test_draws_of_padded_rows_have_the_moments_of_each_row_alone() -> None:
    given = arrays(model(2, 1))
    y = np.random.default_rng(4).normal(size=(2, STEPS, 1)).astype(np.float32)
    lengths = [STEPS, 3]  # as many rows as draws at first, so that lengths of another axis would fit too
    for samples in (2, 4000):
        drawn = np.array(kalman.sample(given, y, samples=samples, key=mx.random.key(0), lengths=lengths))
        assert drawn.shape == (samples, 2, STEPS, 2)
        assert (drawn[:, 1, 3:] == 0).all()
        assert (drawn[:, 0] != 0).all()
    for row, length in enumerate(lengths):
        alone = kalman.smooth(given, y[row, :length])
        spread = np.sqrt(np.einsum("tii->ti", np.array(alone.covariances)))
        error = np.abs(drawn[:, row, :length].mean(0) - np.array(alone.means))
        assert (error < 5 * spread / np.sqrt(4000) + 1e-5).all()


def test_the_likelihood_has_gradients_by_the_model() -> None:
    given, y = model(2, 1), observations(1)
    y[2] = 0.3

    def loss(transition: mx.array, noise: mx.array) -> mx.array:
        known = arrays(given)._replace(transition=transition, noise=noise)
        return kalman.filter(known, y.astype(np.float32)).log_likelihood

    by_transition, by_noise = mx.grad(loss, (0, 1))(*(mx.array(given[i].astype(np.float32)) for i in (0, 3)))
    zero = np.zeros((STEPS, 2))
    for which, found in ((0, by_transition), (3, by_noise)):
        moved = []
        for step in (1e-5, -1e-5):
            shifted = [x.copy() for x in given]
            shifted[which][0, 0] += step
            moved.append(given_all(shifted, y, zero, STEPS)[2])
        assert found[0, 0].item() == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=2e-3)


@pytest.mark.parametrize("call", [kalman.filter, kalman.smooth, kalman.sample])
def test_shapes_that_do_not_fit(call: Any) -> None:
    given = arrays(model(2, 1))
    with pytest.raises(ms.ScanError, match=r"expects transition, process, covariance \(n, n\)"):
        call(given, mx.ones((STEPS, 3)))
    with pytest.raises(ms.ScanError, match=r"inputs must have the shape \(..., 7, 2\).*got \(7, 1\)"):
        call(given, mx.ones((STEPS, 1)), inputs=mx.ones((STEPS, 1)))
    with pytest.raises(ms.ScanTypeError, match=rf"\[{call.__name__}\] model is a kalman.Model\(transition, process"):
        call(None, mx.ones((STEPS, 1)))
    with pytest.raises(ms.ScanTypeError, match="y must be an array of floats"):
        call(given, mx.ones((STEPS, 1), mx.int32))
    filtered = kalman.filter(given, mx.ones((STEPS, 1)), inputs=mx.ones((3, STEPS, 2)))
    assert (filtered.means.shape, filtered.covariances.shape) == ((3, STEPS, 2), (3, STEPS, 2, 2))
    name, batch = call.__name__, mx.ones((2, STEPS, 1))
    with pytest.raises(ms.ScanError, match=rf"\[{name}\] lengths of shape \(3,\) must align from the left with \(2,\)"):
        call(given, batch, lengths=mx.array([3, 4, 4]))
    with pytest.raises(
        ms.ScanError, match=rf"\[{name}\] batch axes .* must broadcast, .*; got y \(2,\), inputs \(3,\)"
    ):
        call(given, batch, inputs=mx.ones((3, STEPS, 2)))


@pytest.mark.parametrize("samples", [-1, 2.5, True])
def test_a_number_of_samples_that_is_none_is_said(samples: Any) -> None:
    zero = mx.zeros((2,))
    for call in (
        lambda: kalman.sample(arrays(model(2, 1)), mx.ones((STEPS, 1)), samples=samples),
        lambda: hmm.sample(zero, mx.zeros((2, 2)), mx.zeros((STEPS, 2)), samples=samples),
    ):
        with pytest.raises(ms.ScanError, match=r"\[sample\] samples is a whole number of 0 or more, or None"):
            call()
    two = np.int64(2)
    assert hmm.sample(zero, mx.zeros((2, 2)), mx.zeros((STEPS, 2)), samples=two).shape == (2, STEPS)  # type: ignore[arg-type]
