"""Products of many non-negative matrices, scaled so that none of them under- or overflows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan import errors
from monoscan.monoids import domain, matrices
from monoscan.monoids.action import Action
from monoscan.monoids.base import Monoid

Scaled = tuple[mx.array, mx.array]


@final
@attrs.frozen
class ScaledMatMul(Monoid):
    """The product of non-negative square matrices, each with the logarithm of its scale.

    Elements are pairs ``(A, log)`` (events 2, 0) that stand for the matrix ``exp(log) A``, whose greatest entry is 1,
    or all are 0 and ``log`` is -inf; with ``P = A_l A_r`` and its greatest entry ``c``, ``combine`` is ``(P / c,
    log_l + log_r + log c)``. Identity (I, 0). On finite values that are not negative only.

    Source: Rabiner, *A Tutorial on Hidden Markov Models* (1989), section V.A: scaling.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> small = mx.broadcast_to(mx.array([[1e-20, 0.0], [0.0, 1e-30]]), (3, 2, 2))
        >>> scaled = ms.ScaledMatMul()
        >>> scaled.project(ms.fold(scaled, scaled.embed(small)))
        array([[-138.155, -inf],
               [-inf, -207.233]], dtype=float32)
    """

    template = ("A", "log")
    event = (2, 0)

    def embed(self, matrices: mx.array) -> Scaled:
        """Elements from matrices; integers and halves become float32.

        Raises:
            TreeError: ``matrices`` is no array.
            ScanTypeError: It is complex.
            ScanError: The matrices are not square.
        """
        (matrices,) = domain.numbers("ScaledMatMul.embed", matrices=matrices)
        if matrices.ndim < 2 or matrices.shape[-1] != matrices.shape[-2]:
            raise errors.ScanError(
                f"[ScaledMatMul.embed] matrices must have the shape (..., d, d); got {tuple(matrices.shape)}."
            )
        return _scaled(matrices, 2, mx.max)

    def project(self, element: Scaled) -> mx.array:
        """The logarithm of the product, entry by entry."""
        matrix, log = domain.element(self, element)
        return mx.log(matrix) + log[..., None, None]

    def combine(self, left: Scaled, right: Scaled) -> Scaled:
        (a_l, log_l), (a_r, log_r) = left, right
        product, log = _scaled(a_l @ a_r, 2, mx.max)
        return product, log_l + log_r + log

    def identity(self, like: Scaled) -> Scaled:
        return matrices.identity(like[0]), mx.zeros_like(like[1])

    @property
    def right(self) -> Action:
        """On rows of weights that add up to 1, with the logarithm of their scale: ``p A / c``, ``c = sum(p A)``."""
        return _on_weights(matrices.vecmat, lambda element: element[0][..., 0, :])

    @property
    def left(self) -> Action:
        """On columns of weights that add up to 1, with the logarithm of their scale: ``A p / c``."""
        return _on_weights(lambda p, matrix: matrices.matvec(matrix, p), lambda element: element[0][..., 0])

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS, "its scales are logarithms")


def _scaled(weights: mx.array, event: int, size: Callable[..., mx.array]) -> Scaled:
    """Weights divided by their size, and its logarithm; zeros stay zeros, of the scale 0."""
    c = size(weights, axis=list(range(-event, 0)))
    divisor = mx.where(c > 0, c, 1)
    return weights / divisor[(..., *(None,) * event)], mx.log(c)


def _on_weights(product: Callable[[mx.array, mx.array], mx.array], weights: Callable[[Any], mx.array]) -> Action:
    def act(state: Scaled, element: Scaled) -> Scaled:
        (p, log), (matrix, own) = state, element
        moved, c = _scaled(product(p, matrix), 1, mx.sum)
        return moved, log + own + c

    def states(element: Scaled) -> Scaled:
        return _scaled(weights(element), 1, mx.sum)

    return Action(act, event=(1, 0), template=("p", "log"), states=states)
