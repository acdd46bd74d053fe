"""Hidden Markov models against sums over all paths, and against loops in float64."""

from __future__ import annotations

import itertools
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import hmm
from tests.selection import thinned

Array = np.ndarray
Model = tuple[Array, Array, Array]


def model(states: int, steps: int, batch: tuple[int, ...] = (), seed: int = 0, sparse: bool = False) -> Model:
    """Logarithms of probabilities; a sparse one has transitions that cannot be."""
    random = np.random.default_rng(seed)
    transition = random.dirichlet(np.ones(states), states)
    if sparse:
        transition[np.arange(states), (np.arange(states) + 1) % states] = 0
        transition /= transition.sum(1, keepdims=True)
    with np.errstate(divide="ignore"):
        log_transition = np.log(transition)
    return np.log(random.dirichlet(np.ones(states))), log_transition, random.normal(size=(*batch, steps, states))


def arrays(given: Model) -> tuple[mx.array, ...]:
    return tuple(mx.array(x.astype(np.float32)) for x in given)


def of_paths(given: Model) -> dict[tuple[int, ...], float]:
    """The logarithm of the joint probability of each path with the observations."""
    initial, transition, seen = given
    steps, states = seen.shape
    return {
        path: initial[path[0]]
        + sum(transition[a, b] for a, b in itertools.pairwise(path))
        + sum(seen[t, s] for t, s in enumerate(path))
        for path in itertools.product(range(states), repeat=steps)
    }


def beliefs(given: Model, upto: bool) -> Array:
    """The probability of each state at each step, from the observations up to it or from all, by all paths."""
    steps, states = given[2].shape
    found = np.zeros((steps, states))
    for t in range(steps):
        part = (given[0], given[1], given[2][: t + 1]) if upto else given
        for path, log_prob in of_paths(part).items():
            found[t, path[t]] += np.exp(log_prob)
    return found / found.sum(1, keepdims=True)


@pytest.mark.parametrize("sparse", thinned([False, True], [True]))
def test_beliefs_are_sums_over_all_paths(sparse: bool) -> None:
    given = model(3, 5, sparse=sparse)
    filtered, smoothed = hmm.filter(*arrays(given)), hmm.smooth(*arrays(given))
    np.testing.assert_allclose(np.exp(np.array(filtered.log_probs)), beliefs(given, True), atol=1e-6)
    np.testing.assert_allclose(np.exp(np.array(smoothed.log_probs)), beliefs(given, False), atol=1e-6)
    expected = np.logaddexp.reduce(list(of_paths(given).values()))
    for found in (filtered.log_likelihood, smoothed.log_likelihood, hmm.log_likelihood(*arrays(given))):
        assert found.item() == pytest.approx(expected, rel=1e-6)


def test_the_best_path_is_the_best_of_all() -> None:
    for seed in range(3):
        given = model(3, 6, seed=seed)
        paths = of_paths(given)
        found = hmm.viterbi(*arrays(given))
        assert tuple(found.states.tolist()) == max(paths, key=paths.__getitem__)
        assert found.log_prob.item() == pytest.approx(max(paths.values()), rel=1e-6)


@pytest.mark.long
def test_rows_of_a_batch_and_padded_ones_are_as_alone() -> None:
    given = model(4, 9, (3,))
    initial, transition, seen = arrays(given)
    lengths = [9, 4, 1]
    padded = mx.where(mx.arange(9)[None, :, None] < mx.array(lengths)[:, None, None], seen, mx.nan)
    options = {"lengths": mx.array(lengths)}
    smoothed, best = (call(initial, transition, padded, **options) for call in (hmm.smooth, hmm.viterbi))
    for row, length in enumerate(lengths):
        alone = hmm.smooth(initial, transition, seen[row, :length])
        np.testing.assert_allclose(smoothed.log_probs[row, :length], alone.log_probs, rtol=1e-5, atol=1e-6)
        assert smoothed.log_likelihood[row].item() == pytest.approx(alone.log_likelihood.item(), rel=1e-6)
        path = hmm.viterbi(initial, transition, seen[row, :length])
        assert best.states[row, :length].tolist() == path.states.tolist()
        assert best.log_prob[row].item() == pytest.approx(path.log_prob.item(), rel=1e-6)


def test_paths_are_drawn_as_often_as_they_are_likely() -> None:
    given = model(2, 4, seed=5)
    drawn = np.array(hmm.sample(*arrays(given), samples=20_000, key=mx.random.key(1)))
    paths = of_paths(given)
    total = np.logaddexp.reduce(list(paths.values()))
    counts = {path: (drawn == np.array(path)).all(1).mean() for path in paths}
    for path, log_prob in paths.items():
        expected = np.exp(log_prob - total)
        assert abs(counts[path] - expected) < 5 * np.sqrt(expected / len(drawn)) + 1e-4


def test_paths_of_padded_rows_are_drawn_as_of_each_row_alone() -> None:
    initial, transition, seen = arrays(model(2, 4, (2,), seed=6))
    lengths = [4, 2]  # as many rows as paths, so that lengths of another axis would fit too
    for samples in (2, 4000):
        drawn = np.array(hmm.sample(initial, transition, seen, samples=samples, key=mx.random.key(1), lengths=lengths))
        assert drawn.shape == (samples, 2, 4)
        assert (drawn[:, 1, 2:] == 0).all()
    likely = np.exp(hmm.smooth(initial, transition, seen[0]).log_probs[:, 1])
    assert np.abs(drawn[:, 0].mean(0) - likely).max() < 5 * 0.5 / np.sqrt(4000)
    likely = np.exp(hmm.smooth(initial, transition, seen[1, :2]).log_probs[:, 1])
    assert np.abs(drawn[:, 1, :2].mean(0) - likely).max() < 5 * 0.5 / np.sqrt(4000)


def test_a_long_sequence_keeps_its_digits() -> None:
    given = model(4, 20_000, seed=2)
    initial, transition, seen = given
    belief, total = np.exp(initial), 0.0
    for x in np.exp(seen):
        joint = belief * x
        total += np.log(joint.sum())
        filtered = joint / joint.sum()
        belief = filtered @ np.exp(transition)
    found = hmm.filter(*arrays(given))
    assert found.log_likelihood.item() == pytest.approx(total, rel=1e-6)
    np.testing.assert_allclose(np.exp(np.array(found.log_probs[-1])), filtered, rtol=1e-4)


def test_the_gradient_of_the_likelihood_counts_states() -> None:
    """Its derivative by the log-likelihood of an observation is how likely the state is, from all of them."""
    given = model(3, 5)
    initial, transition, seen = arrays(given)
    by_seen = mx.grad(lambda x: hmm.log_likelihood(initial, transition, x))(seen)
    np.testing.assert_allclose(by_seen, beliefs(given, False), atol=1e-5)
    by_transition = mx.grad(lambda a: hmm.log_likelihood(initial, a, seen))(transition)
    weights = {path: np.exp(p) for path, p in of_paths(given).items()}
    counts = np.zeros((3, 3))
    for path, weight in weights.items():
        for a, b in itertools.pairwise(path):
            counts[a, b] += weight / sum(weights.values())
    np.testing.assert_allclose(by_transition, counts, atol=1e-5)


def test_observations_that_cannot_be_leave_minus_infinity() -> None:
    initial, transition, seen = arrays(model(2, 3))
    seen[1] = -mx.inf
    found = hmm.filter(initial, transition, seen)
    assert found.log_likelihood.item() == -np.inf
    assert not mx.isnan(found.log_probs).any()


@pytest.mark.parametrize("call", [hmm.filter, hmm.smooth, hmm.viterbi, hmm.sample, hmm.log_likelihood])
def test_shapes_that_do_not_fit(call: Any) -> None:
    initial, transition, seen = arrays(model(3, 4))
    with pytest.raises(ms.ScanError, match=rf"\[{call.__name__}\] expects log_initial \(K,\), log_transition \(K, K\)"):
        call(initial, transition[:2], seen)
    with pytest.raises(ms.ScanTypeError, match="must be an array of floats"):
        call(initial, transition, seen.astype(mx.int32))
    name = call.__name__
    with pytest.raises(ms.ScanError, match=rf"\[{name}\] lengths of shape \(3,\) must align from the left with \(2,\)"):
        call(initial, transition, mx.stack([seen, seen]), lengths=mx.array([3, 4, 4]))
    with pytest.raises(ms.ScanTypeError, match=rf"\[{name}\] lengths must be integers; got float32"):
        call(initial, transition, seen, lengths=mx.array(3.0))
