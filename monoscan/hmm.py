"""Hidden Markov models of K states: likelihoods, beliefs and paths, each a loop or two over time, in log space.

``log_initial`` has shape (K,), ``log_transition`` (K, K) with the state before in its rows, and ``log_likelihoods``
(..., T, K): how likely each observation is in each state, whatever it is of. Beliefs are normed at each step, so that
nothing gets large, however long the sequence. All functions have gradients but those that return paths, and take the
``lengths`` of padded rows.

Source: Rabiner, *A Tutorial on Hidden Markov Models and Selected Applications in Speech Recognition* (1989).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import mlx.core as mx

from monoscan import errors
from monoscan.arguments import random_key
from monoscan.held import floats
from monoscan.scan.api_states import loop
from monoscan.scan.ragged.given import lengths_of, of_samples, with_samples

__all__ = ["Beliefs", "Path", "filter", "log_likelihood", "sample", "smooth", "viterbi"]


class Beliefs(NamedTuple):
    """How likely each state is at each step.

    Args:
        log_probs (array): The logarithms, of shape ``(..., T, K)``; zeros behind the end of a padded row.
        log_likelihood (array): That of the whole sequence, of shape ``(...)``.
    """

    log_probs: mx.array
    log_likelihood: mx.array


class Path(NamedTuple):
    """The best path.

    Args:
        states (array): The state at each step, int32, of shape ``(..., T)``; 0 behind the end of a padded row.
        log_prob (array): The logarithm of its joint probability with the observations, of shape ``(...)``.
    """

    states: mx.array
    log_prob: mx.array


def log_likelihood(
    log_initial: mx.array, log_transition: mx.array, log_likelihoods: mx.array, *, lengths: mx.array | None = None
) -> mx.array:
    """How likely a sequence of observations is, by the forward algorithm.

    Args:
        log_initial (array): The logarithms of the probabilities of the first state, of shape ``(K,)``.
        log_transition (array): Those from each state, in rows, to the next, of shape ``(K, K)``.
        log_likelihoods (array): Those of each observation in each state, of shape ``(..., T, K)``.
        lengths (array, optional): How many steps of each row count. Default: ``None``, all.

    Returns:
        array: The logarithm, of shape ``(...)``.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import hmm
        >>> initial, transition = mx.log(mx.array([0.5, 0.5])), mx.log(mx.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> seen = mx.log(mx.array([[0.8, 0.3], [0.8, 0.3], [0.1, 0.6]]))
        >>> mx.exp(hmm.log_likelihood(initial, transition, seen))
        array(0.0708, dtype=float32)
    """
    return _forwards(*_model("log_likelihood", log_initial, log_transition, log_likelihoods, lengths)).log_likelihood


def filter(
    log_initial: mx.array, log_transition: mx.array, log_likelihoods: mx.array, *, lengths: mx.array | None = None
) -> Beliefs:
    """What the observations up to each step say of its state, by the forward algorithm.

    Args:
        log_initial (array): As in `log_likelihood`.
        log_transition (array): As in `log_likelihood`.
        log_likelihoods (array): As in `log_likelihood`.
        lengths (array, optional): As in `log_likelihood`. Default: ``None``.

    Returns:
        Beliefs: The beliefs, normed, and the likelihood of all observations.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import hmm
        >>> initial, transition = mx.log(mx.array([0.5, 0.5])), mx.log(mx.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> seen = mx.log(mx.array([[0.8, 0.3], [0.8, 0.3], [0.1, 0.6]]))
        >>> mx.exp(hmm.filter(initial, transition, seen).log_probs)
        array([[0.727273, 0.272727],
               [0.866667, 0.133333],
               [0.41017, 0.589831]], dtype=float32)
    """
    return _forwards(*_model("filter", log_initial, log_transition, log_likelihoods, lengths))


def smooth(
    log_initial: mx.array, log_transition: mx.array, log_likelihoods: mx.array, *, lengths: mx.array | None = None
) -> Beliefs:
    """What all observations say of the state at each step, by the forward-backward algorithm.

    Args:
        log_initial (array): As in `log_likelihood`.
        log_transition (array): As in `log_likelihood`.
        log_likelihoods (array): As in `log_likelihood`.
        lengths (array, optional): As in `log_likelihood`. Default: ``None``.

    Returns:
        Beliefs: The beliefs, normed, and the likelihood of all observations.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import hmm
        >>> initial, transition = mx.log(mx.array([0.5, 0.5])), mx.log(mx.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> seen = mx.log(mx.array([[0.8, 0.3], [0.8, 0.3], [0.1, 0.6]]))
        >>> mx.exp(hmm.smooth(initial, transition, seen).log_probs)
        array([[0.694915, 0.305085],
               [0.661017, 0.338983],
               [0.41017, 0.589831]], dtype=float32)
    """
    initial, transition, seen, lengths = _model("smooth", log_initial, log_transition, log_likelihoods, lengths)
    forwards = _forwards(initial, transition, seen, lengths)

    def step(later: mx.array, pair: tuple[mx.array, mx.array]) -> tuple[mx.array, mx.array]:
        x, belief = pair
        joint = belief + later
        after = mx.logsumexp(transition + (x + later)[None, :], axis=1)
        return _normed(after, after.max()), _normed(joint, mx.logsumexp(joint))

    beliefs = _over(step, (seen, forwards.log_probs), mx.zeros_like(initial), lengths, reverse=True)
    return Beliefs(beliefs, forwards.log_likelihood)


def viterbi(
    log_initial: mx.array, log_transition: mx.array, log_likelihoods: mx.array, *, lengths: mx.array | None = None
) -> Path:
    """The most likely path, the lowest state where several are equally so, and its probability.

    Scores go forwards, and the path back through them: each step looks at the K states that may come before the one it is
    in. (Pointers for all K states, which the forward loop would note and a scan of `FiniteMap` follow, take several
    times as long on a CPU.)

    Source: Viterbi, *Error Bounds for Convolutional Codes and an Asymptotically Optimum Decoding Algorithm* (1967).

    Args:
        log_initial (array): As in `log_likelihood`.
        log_transition (array): As in `log_likelihood`.
        log_likelihoods (array): As in `log_likelihood`.
        lengths (array, optional): As in `log_likelihood`. Default: ``None``.

    Returns:
        Path: The states, and the logarithm of their joint probability with the observations.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import hmm
        >>> initial, transition = mx.log(mx.array([0.5, 0.5])), mx.log(mx.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> seen = mx.log(mx.array([[0.8, 0.3], [0.8, 0.3], [0.1, 0.6]]))
        >>> hmm.viterbi(initial, transition, seen).states
        array([0, 0, 0], dtype=int32)
    """
    initial, transition, seen, lengths = _model("viterbi", log_initial, log_transition, log_likelihoods, lengths)

    def step(predicted: mx.array, x: mx.array) -> tuple[mx.array, tuple[mx.array, mx.array]]:
        score = predicted + x
        best = score.max()
        score = _normed(score, best)
        return (score[:, None] + transition).max(axis=0), (score, best)

    scores, gained = _over(step, seen, initial, lengths)
    return Path(_back(transition, scores, lengths), gained.sum(-1))


def sample(
    log_initial: mx.array,
    log_transition: mx.array,
    log_likelihoods: mx.array,
    *,
    samples: int | None = None,
    key: mx.array | None = None,
    lengths: mx.array | None = None,
) -> mx.array:
    """Paths drawn from what all observations say of them: filtered forwards, sampled backwards.

    Source: Fruhwirth-Schnatter, *Data Augmentation and Dynamic Linear Models* (1994); states are drawn by maxima of Gumbel
    noise.

    Args:
        log_initial (array): As in `log_likelihood`.
        log_transition (array): As in `log_likelihood`.
        log_likelihoods (array): As in `log_likelihood`.
        samples (int, optional): How many paths to draw. Default: ``None``, one, without an axis for it.
        key (array, optional): A key of ``mx.random``. Default: ``None``, where MLX's own state is used.
        lengths (array, optional): As in `log_likelihood`. Default: ``None``.

    Returns:
        array: The states, int32, of shape ``(..., T)``, or ``(samples, ..., T)``.

    Raises:
        ScanError: Shapes do not fit.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import hmm
        >>> initial, transition = mx.log(mx.array([0.5, 0.5])), mx.log(mx.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> seen = mx.log(mx.array([[0.8, 0.3], [0.8, 0.3], [0.1, 0.6]]))
        >>> hmm.sample(initial, transition, seen, samples=5, key=mx.random.key(0)).shape
        (5, 3)
    """
    initial, transition, seen, lengths = _model("sample", log_initial, log_transition, log_likelihoods, lengths)
    beliefs = _forwards(initial, transition, seen, lengths).log_probs
    noise = mx.random.gumbel(with_samples("[sample]", beliefs.shape, samples), key=random_key("sample", key))
    return _back(transition, beliefs + noise, of_samples("[sample]", lengths, samples))


def _forwards(initial: mx.array, transition: mx.array, seen: mx.array, lengths: mx.array | None) -> Beliefs:
    """The forward algorithm on what `_model` has looked at."""

    def step(predicted: mx.array, x: mx.array) -> tuple[mx.array, tuple[mx.array, mx.array]]:
        joint = predicted + x
        total = mx.logsumexp(joint)
        belief = _normed(joint, total)
        return mx.logsumexp(belief[:, None] + transition, axis=0), (belief, total)

    beliefs, totals = _over(step, seen, initial, lengths)
    return Beliefs(beliefs, totals.sum(-1))


def _back(transition: mx.array, scores: mx.array, lengths: mx.array | None) -> mx.array:
    """The path that ends where the last score is greatest, and comes from where score and transition are."""

    def step(state: tuple[mx.array, mx.array], x: mx.array) -> tuple[tuple[mx.array, mx.array], mx.array]:
        after, last = state
        onwards = mx.where(last, mx.zeros_like(x), mx.take(transition, after, axis=1))
        here = mx.argmax(x + onwards).astype(mx.int32)
        return (here, mx.zeros_like(last)), here

    path: mx.array = _over(step, scores, (mx.array(0), mx.array(True)), lengths, reverse=True, state_event=0)
    return path


def _over(
    step: Any, xs: Any, state: Any, lengths: mx.array | None, *, reverse: bool = False, state_event: int = 1
) -> Any:
    """A loop over the steps, which are the axis before the last."""
    axis = (xs[0] if isinstance(xs, tuple) else xs).ndim - 2
    return loop(step, xs, state, axis, event=1, state_event=state_event, reverse=reverse, lengths=lengths)


def _normed(log_probs: mx.array, total: mx.array) -> mx.array:
    """Less the total; what is impossible in every state stays so, and is no NaN."""
    return mx.where(total == -mx.inf, log_probs, log_probs - total)


def _model(
    call: str, log_initial: Any, log_transition: Any, log_likelihoods: Any, lengths: Any
) -> tuple[mx.array, mx.array, mx.array, mx.array | None]:
    given = log_initial, log_transition, log_likelihoods
    names = ("log_initial", "log_transition", "log_likelihoods")
    initial, transition, seen = (floats(f"[{call}] {name}", x) for name, x in zip(names, given, strict=True))
    states = initial.shape[-1] if initial.ndim == 1 else 0
    if initial.ndim != 1 or transition.shape != (states, states) or seen.ndim < 2 or seen.shape[-1] != states:
        raise errors.ScanError(
            f"[{call}] expects log_initial (K,), log_transition (K, K) and log_likelihoods (..., T, K); got "
            f"{initial.shape}, {transition.shape} and {seen.shape}."
        )
    return initial, transition, seen, lengths_of(f"[{call}]", lengths, seen.shape[:-2])
