"""Kalman filtering and smoothing of linear Gaussian models, in parallel over time."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan.monoids import domain, models
from monoscan.monoids.action import Action
from monoscan.monoids.base import Monoid
from monoscan.monoids.matrices import identity, matvec, solve, transpose
from monoscan.monoids.shapes import align

FilterElement = tuple[mx.array, mx.array, mx.array, mx.array, mx.array]
SmootherElement = tuple[mx.array, mx.array, mx.array]
Gaussian = tuple[mx.array, mx.array]
_WHY = "it solves linear systems"


@final
@attrs.frozen
class KalmanFilter(Monoid):
    """The Kalman filter: what the observations so far say of the state.

    Elements are ``(A, b, C, eta, J)`` (events 2, 1, 2, 1, 2): given the state before, the
    state is Gaussian with mean ``A x + b`` and covariance ``C``, and the observations say
    ``exp(eta x - x J x / 2)`` of the state before. With ``G = inverse(I + C_l J_r)``,
    ``combine`` is ``(A_r G A_l, A_r G (b_l + C_l eta_r) + b_r, A_r G C_l A_r' + C_r,
    A_l' G' (eta_r - J_r b_l) + eta_l, A_l' G' J_r A_l + J_l)``. Identity (I, 0, 0, 0, 0).
    On finite values only: NaN and infinities give NaN from there on.

    Source: Sarkka and Garcia-Fernandez, *Temporal Parallelization of Bayesian Smoothers*
    (IEEE Transactions on Automatic Control, 2021), Lemma 8.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> level, y, one = ms.KalmanFilter(), mx.array([[1.0], [2.0], [3.0]]), mx.ones((1, 1))
        >>> elements = level.embed(y, transition=one, process=one, emission=one, noise=one)
        >>> start = level.prior(mx.zeros((1,)), one)
        >>> mean, covariance = level.project(ms.scan(level, elements, init=start))
        >>> mean[:, 0]
        array([0.666667, 1.5, 2.42857], dtype=float32)
    """

    template = ("A", "b", "C", "eta", "J")
    event = (2, 1, 2, 1, 2)

    def embed(
        self,
        y: mx.array,
        transition: mx.array,
        process: mx.array,
        emission: mx.array,
        noise: mx.array,
        *,
        mask: mx.array | None = None,
        axis: int = 0,
    ) -> FilterElement:
        """Elements from observations ``y = emission x + N(0, noise)``, one step each.

        The model is one matrix each, or one for each step along ``axis``; entry ``k`` of
        ``transition`` and ``process`` leads into step ``k``. Integers and halves become float32.

        Args:
            y (array): Observations, shape ``(..., p)``, with time along ``axis``.
            transition (array): What the state is multiplied by, shape ``(..., d, d)``.
            process (array): The covariance added by a step, shape ``(..., d, d)``.
            emission (array): From state to observation, shape ``(..., p, d)``.
            noise (array): The covariance of an observation, shape ``(..., p, p)``.
            mask (array, optional): False where an entry of ``y`` is missing, with the axes of ``y``; ``(..., 1)``
                is one flag for each step. Default: ``None``.
            axis (int, optional): The axis of time. Default: ``0``.

        Returns:
            tuple: ``(A, b, C, eta, J)``, each with all steps along ``axis``.

        Raises:
            ScanError: The shapes do not agree; the message names the argument.
        """
        given = {"y": y, "transition": transition, "process": process, "emission": emission, "noise": noise}
        y, transition, process, emission, noise = domain.numbers("KalmanFilter.embed", **given)
        axis = models.axis_of_time("KalmanFilter.embed", y, axis)
        _check_model("KalmanFilter.embed", transition, process)
        models.expect("KalmanFilter.embed", "emission", emission, (y.shape[-1], transition.shape[-1]))
        models.expect("KalmanFilter.embed", "noise", noise, (y.shape[-1], y.shape[-1]))
        steps = {"transition": transition, "process": process, "emission": emission, "noise": noise}
        models.expect_steps("KalmanFilter.embed", axis, "y", y, **steps)
        rank, length = y.ndim - 1, y.shape[axis]
        if mask is not None:
            mask = domain.given("KalmanFilter.embed", "mask", mask)
            models.expect_mask("KalmanFilter.embed", y, mask)
            emission, noise = (align(matrix, axis, rank, event=2) for matrix in (emission, noise))
            y, emission, noise = models.observed(y, emission, noise, mask)
        a, b, c, eta, j = _condition(y, *models.over_time(axis, rank, transition, process, emission, noise))
        a, c, j = (models.every_step(matrix, axis, rank, length) for matrix in (a, c, j))
        return a, b, c, eta, j

    def prior(self, mean: mx.array, covariance: mx.array) -> FilterElement:
        """The element of a state that is known before the first step: the ``init`` of a scan."""
        mean, covariance = domain.numbers("KalmanFilter.prior", mean=mean, covariance=covariance)
        models.expect_state("KalmanFilter.prior", mean, covariance)
        nothing = mx.zeros_like(covariance)
        return nothing, mean, covariance, mx.zeros_like(mean), nothing

    def project(self, element: FilterElement) -> Gaussian:
        """The mean and the covariance of the state, given the observations so far."""
        _, mean, covariance, *_ = domain.element(self, element)
        return mean, covariance

    def combine(self, left: FilterElement, right: FilterElement) -> FilterElement:
        (a_l, b_l, c_l, eta_l, j_l), (a_r, b_r, c_r, eta_r, j_r) = left, right
        size = c_l.shape[-1]
        shift = b_l + matvec(c_l, eta_r)
        known = mx.concatenate([a_l, c_l, shift[..., None]], axis=-1)
        solved = solve(identity(c_l) + c_l @ j_r, known)  # G A_l, G C_l and G (b_l + C_l eta_r)
        back = transpose(solved[..., :size])
        forward = a_r @ solved
        return (
            forward[..., :size],
            forward[..., 2 * size] + b_r,
            forward[..., size : 2 * size] @ transpose(a_r) + c_r,
            matvec(back, eta_r - matvec(j_r, b_l)) + eta_l,
            back @ j_r @ a_l + j_l,
        )

    def identity(self, like: FilterElement) -> FilterElement:
        a, *rest = like
        b, c, eta, j = map(mx.zeros_like, rest)
        return identity(a), b, c, eta, j

    @property
    def right(self) -> Action:
        """On the mean and the covariance of the state: predicted and corrected. Begun by ``(b, C)``."""
        return Action(_filtered, lambda element: (element[1], element[2]), (1, 2), ("mean", "covariance"))

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS, _WHY)


@final
@attrs.frozen
class KalmanSmoother(Monoid):
    """The Rauch-Tung-Striebel smoother: what all observations say of each state.

    Used with ``reverse=True``, on elements ``(E, g, L)`` (events 2, 1, 2): given the state
    after, the state is Gaussian with mean ``E x + g`` and covariance ``L``. ``combine``
    has the *later* one on its left: ``(E_r E_l, E_r g_l + g_r, E_r L_l E_r' + L_r)``.
    Identity (I, 0, 0). On finite values only: NaN and infinities give NaN from there on.

    Source: Sarkka and Garcia-Fernandez, *Temporal Parallelization of Bayesian Smoothers*
    (IEEE Transactions on Automatic Control, 2021), Lemma 10, with the operands swapped.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> one, mean = mx.ones((1, 1)), mx.array([[0.0], [3.0]])
        >>> level = ms.KalmanSmoother()
        >>> elements = level.embed(mean, mx.ones((2, 1, 1)), transition=one, process=one)
        >>> mean, covariance = level.project(ms.scan(level, elements, reverse=True))
        >>> mean[:, 0]
        array([1.5, 3], dtype=float32)
    """

    template = ("E", "g", "L")
    event = (2, 1, 2)

    def embed(
        self, mean: mx.array, covariance: mx.array, transition: mx.array, process: mx.array, *, axis: int = 0
    ) -> SmootherElement:
        """Elements from the filter's answer and the model, up to the end: the last step has none after it.

        Integers and halves become float32.

        Args:
            mean (array): Filtered means, shape ``(..., d)``, with time along ``axis``.
            covariance (array): Filtered covariances, shape ``(..., d, d)``.
            transition (array): As for ``KalmanFilter``, shape ``(..., d, d)``.
            process (array): As for ``KalmanFilter``, shape ``(..., d, d)``.
            axis (int, optional): The axis of time. Default: ``0``.

        Returns:
            tuple: ``(E, g, L)``, each with all steps along ``axis``.

        Raises:
            ScanError: The shapes do not agree; the message names the argument.
        """
        given = {"mean": mean, "covariance": covariance, "transition": transition, "process": process}
        mean, covariance, transition, process = domain.numbers("KalmanSmoother.embed", **given)
        axis = models.axis_of_time("KalmanSmoother.embed", mean, axis)
        _check_model("KalmanSmoother.embed", transition, process)
        models.expect("KalmanSmoother.embed", "covariance", covariance, (mean.shape[-1], mean.shape[-1]))
        steps = {"covariance": covariance, "transition": transition, "process": process}
        models.expect_steps("KalmanSmoother.embed", axis, "mean", mean, **steps)
        rank, length = mean.ndim - 1, mean.shape[axis]
        aligned = (align(matrix, axis, rank, event=2) for matrix in (transition, process))
        ahead = (models.leading_on(matrix, axis) for matrix in aligned)
        transition, process, covariance = models.over_time(axis, rank, *ahead, covariance)
        across = transition @ covariance
        predicted = across @ transpose(transition) + process
        gain = mx.where(models.is_last(length, axis, rank), 0, transpose(solve(predicted, across)))
        return gain, mean - matvec(gain, matvec(transition, mean)), covariance - gain @ across

    def project(self, element: SmootherElement) -> Gaussian:
        """The mean and the covariance of the state, given all observations."""
        _, mean, covariance, *_ = domain.element(self, element)
        return mean, covariance

    def combine(self, left: SmootherElement, right: SmootherElement) -> SmootherElement:
        (e_l, g_l, l_l), (e_r, g_r, l_r) = left, right
        return e_r @ e_l, matvec(e_r, g_l) + g_r, e_r @ l_l @ transpose(e_r) + l_r

    def identity(self, like: SmootherElement) -> SmootherElement:
        e, g, covariance = like
        return identity(e), mx.zeros_like(g), mx.zeros_like(covariance)

    @property
    def right(self) -> Action:
        """On the mean and the covariance of the state after: smoothed. Begun by ``(g, L)``."""
        return Action(_smoothed, lambda element: (element[1], element[2]), (1, 2), ("mean", "covariance"))

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS, _WHY)


def _filtered(state: Gaussian, element: FilterElement) -> Gaussian:
    """What `KalmanFilter.combine` makes of a state that is known: of ``(0, mean, covariance, 0, 0)``."""
    (mean, covariance), (a, b, c, eta, j) = state, element
    shift = mean + matvec(covariance, eta)
    solved = solve(identity(c) + covariance @ j, mx.concatenate([covariance, shift[..., None]], axis=-1))
    forward = a @ solved
    return forward[..., -1] + b, forward[..., :-1] @ transpose(a) + c


def _smoothed(state: Gaussian, element: SmootherElement) -> Gaussian:
    (mean, covariance), (e, g, own) = state, element
    return matvec(e, mean) + g, e @ covariance @ transpose(e) + own


def _check_model(call: str, transition: mx.array, process: mx.array) -> None:
    size = transition.shape[-1]
    models.expect(call, "transition", transition, (size, size))
    models.expect(call, "process", process, (size, size))


def _condition(
    y: mx.array, transition: mx.array, process: mx.array, emission: mx.array, noise: mx.array
) -> FilterElement:
    """One step and its observation, as elements (Sarkka and Garcia-Fernandez 2021, equation 14)."""
    seen, through = emission @ process, emission @ transition
    innovation = seen @ transpose(emission) + noise
    size = process.shape[-1]
    solved = solve(innovation, mx.concatenate([seen, through], axis=-1))
    gain, weight = transpose(solved[..., :size]), transpose(solved[..., size:])
    return transition - gain @ through, matvec(gain, y), process - gain @ seen, matvec(weight, y), weight @ through
