"""Linear maps: the recurrences of state-space models."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan.monoids import domain, matrices
from monoscan.monoids.action import Action
from monoscan.monoids.base import Monoid

Pair = tuple[mx.array, mx.array]
_NUMBERS = names.FLOATS | names.INTEGERS | names.COMPLEX
_WHY = "maps of truth values are not linear"


def _promoted(dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """What complex gates multiply is complex."""
    gate, state = dtypes
    return gate, gate if gate in names.COMPLEX else state


@final
@attrs.frozen
class Affine(Monoid):
    """Composition of affine maps ``h -> a * h + b``: the recurrence ``h[t] = a[t] * h[t-1] + b[t]``.

    Elements are pairs ``(a, b)`` of scalars; ``combine`` applies the left map first:
    ``(a_r a_l, a_r b_l + b_r)``. Identity (1, 0). On finite values only: 0 * inf is NaN.
    Real gates take complex inputs as they are; with complex gates, inputs become complex.

    Source: Blelloch, *Prefix Sums and Their Applications* (1990), section 1.4; Martin and
    Cundy, *Parallelizing Linear Recurrent Neural Nets* (ICLR 2018).

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> a, b = mx.full((3,), 0.5), mx.ones((3,))
        >>> decay, h = ms.scan(ms.Affine(), (a, b))
        >>> h
        array([1, 1.5, 1.75], dtype=float32)
    """

    template = ("a", "b")

    def combine(self, left: Pair, right: Pair) -> Pair:
        (a_l, b_l), (a_r, b_r) = left, right
        return a_r * a_l, a_r * b_l + b_r

    def identity(self, like: Pair) -> Pair:
        a, b = like
        return mx.ones_like(a), mx.zeros_like(b)

    def promote(self, dtypes: tuple[str, ...]) -> tuple[str, ...]:
        return _promoted(dtypes)

    @property
    def right(self) -> Action:
        """On numbers: ``a h + b``, begun by ``b``."""
        return Action(lambda h, element: element[0] * h + element[1], _shift, template="h")


@final
@attrs.frozen
class LogAffine(Monoid):
    """Affine maps whose gates are positive and known by their logarithms, for `linear_recurrence`: ``h -> exp(log_a) h + b``.

    Their products cannot overflow before the states do, and ``exp`` runs inside the kernel.
    """

    template = ("log_a", "b")

    def combine(self, left: Pair, right: Pair) -> Pair:
        (a_l, b_l), (a_r, b_r) = left, right
        return a_l + a_r, mx.exp(a_r) * b_l + b_r

    def identity(self, like: Pair) -> Pair:
        a, b = like
        return mx.zeros_like(a), mx.zeros_like(b)

    def promote(self, dtypes: tuple[str, ...]) -> tuple[str, ...]:
        return _promoted(dtypes)

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS | names.COMPLEX, "logarithms are no integers")


@final
@attrs.frozen
class MatMul(Monoid):
    """The product of square matrices, from left to right.

    Elements are matrices ``A`` (event 2); ``combine`` is ``A_l A_r``. Identity: the
    identity matrix. On finite values only: 0 * inf is NaN. Integers wrap.

    Source: Blelloch, *Prefix Sums and Their Applications* (1990), section 1.4.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> fibonacci = mx.broadcast_to(mx.array([[1, 1], [1, 0]]), (6, 2, 2))
        >>> ms.scan(ms.MatMul(), fibonacci)[:, 0, 1]
        array([1, 1, 2, 3, 5, 8], dtype=int32)
    """

    template = "A"
    event = 2

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return matrices.matmul(left, right)

    def identity(self, like: mx.array) -> mx.array:
        return matrices.identity(like)

    @property
    def right(self) -> Action:
        """On rows: ``s A``."""
        return Action(matrices.vecmat, event=1, template="s", states=lambda matrix: matrix[..., 0, :])

    @property
    def left(self) -> Action:
        """On columns: ``A s``."""
        return Action(
            lambda s, matrix: matrices.matvec(matrix, s), event=1, template="s", states=lambda matrix: matrix[..., 0]
        )

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, _NUMBERS, _WHY)


@final
@attrs.frozen
class MatrixAffine(Monoid):
    """Composition of affine maps of vectors: the recurrence ``h[t] = A[t] @ h[t-1] + b[t]``.

    Elements are a matrix ``A`` (event 2) and a vector ``b`` (event 1); ``combine``
    applies the left map first: ``(A_r A_l, A_r b_l + b_r)``. Identity (I, 0). On finite
    values only: 0 * inf is NaN. Integers wrap.

    Source: Blelloch, *Prefix Sums and Their Applications* (1990), section 1.4: recurrences
    of higher order, by companion matrices.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> turn = mx.broadcast_to(mx.array([[0.0, -1.0], [1.0, 0.0]]), (3, 2, 2))
        >>> step = mx.broadcast_to(mx.array([1.0, 0.0]), (3, 2))
        >>> ms.scan(ms.MatrixAffine(), (turn, step))[1]
        array([[1, 0],
               [1, 1],
               [0, 1]], dtype=float32)
    """

    template = ("A", "b")
    event = (2, 1)

    def combine(self, left: Pair, right: Pair) -> Pair:
        (a_l, b_l), (a_r, b_r) = left, right
        return matrices.matmul(a_r, a_l), matrices.matvec(a_r, b_l) + b_r

    def identity(self, like: Pair) -> Pair:
        return matrices.identity(like[0]), mx.zeros_like(like[1])

    def promote(self, dtypes: tuple[str, ...]) -> tuple[str, ...]:
        return _promoted(dtypes)

    @property
    def right(self) -> Action:
        """On vectors: ``A h + b``, begun by ``b``."""
        return Action(lambda h, element: matrices.matvec(element[0], h) + element[1], _shift, event=1, template="h")

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, _NUMBERS, _WHY)


def _shift(element: Pair) -> mx.array:
    return element[1]
