"""Rotations and rigid motions in three dimensions."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan import errors
from monoscan.monoids import domain
from monoscan.monoids.action import Action
from monoscan.monoids.base import Monoid

Pose = tuple[mx.array, mx.array]
_WHY = "a rotation has fractions"


def hamilton(p: mx.array, q: mx.array) -> mx.array:
    """The product of quaternions (w, x, y, z)."""
    a, b, c, d = _entries(p, 4)
    w, x, y, z = _entries(q, 4)
    return mx.concatenate(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        axis=-1,
    )


def rotate(q: mx.array, t: mx.array) -> mx.array:
    """The vector ``q t q*``: rotated, and scaled by the squared norm of ``q``."""
    w, x, y, z = _entries(q, 4)
    axis = q[..., 1:]
    dot = sum(a * b for a, b in zip((x, y, z), _entries(t, 3), strict=True))
    return (w * w - x * x - y * y - z * z) * t + 2 * dot * axis + 2 * w * cross(axis, t)


def cross(u: mx.array, v: mx.array) -> mx.array:
    """The vector product."""
    (a, b, c), (x, y, z) = _entries(u, 3), _entries(v, 3)
    return mx.concatenate([b * z - c * y, c * x - a * z, a * y - b * x], axis=-1)


def _expected(vector: mx.array, number: int) -> mx.array:
    if not vector.ndim or vector.shape[-1] != number:
        what = "a quaternion (w, x, y, z)" if number == 4 else "a vector (x, y, z)"
        raise errors.ScanError(f"[geometry] {what} has the shape (..., {number}); got {tuple(vector.shape)}.")
    return vector


def _entries(vector: mx.array, number: int) -> list[mx.array]:
    return [_expected(vector, number)[..., i : i + 1] for i in range(number)]


def _one(like: mx.array) -> mx.array:
    return mx.broadcast_to(mx.array([1, 0, 0, 0], like.dtype), like.shape)


def _unit(q: mx.array) -> mx.array:
    wide = domain.accumulating(_expected(q, 4))  # a half has no square of 300
    return (wide / mx.sqrt((wide * wide).sum(axis=-1, keepdims=True))).astype(q.dtype)


@final
@attrs.frozen
class Quaternion(Monoid):
    """The product of quaternions: rotations one after the other.

    Elements are ``(w, x, y, z)`` in one leaf (event 1); ``combine`` is the Hamilton product
    ``q_l q_r``, whose rotation applies ``q_r`` first. Identity (1, 0, 0, 0). On finite
    values only: 0 * inf is NaN.

    Source: Hamilton, *On quaternions* (1844).

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> half_turn = mx.array([[0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]])  # about z, about x
        >>> ms.fold(ms.Quaternion(), half_turn)
        array([0, 0, 1, 0], dtype=float32)
    """

    template = "q"
    event = 1

    def project(self, element: mx.array) -> mx.array:
        """The rotation: the quaternion at length one."""
        return _unit(domain.element(self, element))

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return hamilton(left, right)

    def identity(self, like: mx.array) -> mx.array:
        return _one(like)

    @property
    def left(self) -> Action:
        """On vectors: ``q v q*``, turned and scaled by the squared norm."""
        return Action(lambda v, q: rotate(q, v), event=1, template="v", states=lambda q: q[..., 1:])

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS, _WHY)


@final
@attrs.frozen
class Rigid3(Monoid):
    """Poses along a chain of frames: a rotation and a translation each.

    Elements are a quaternion ``q`` (w, x, y, z) and a vector ``t`` (event 1 both), for the
    motion ``x -> q x q* + t``; ``combine`` is ``(q_l q_r, t_l + q_l t_r q_l*)``, which
    applies the right motion first. Identity (1, 0). On finite values only: 0 * inf is NaN.

    Source: the semidirect product of rotations and translations; Murray, Li and Sastry,
    *A Mathematical Introduction to Robotic Manipulation* (1994), section 2.3.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> turn = mx.broadcast_to(mx.array([0.5**0.5, 0.0, 0.0, 0.5**0.5]), (3, 4))  # a right angle about z
        >>> step = mx.broadcast_to(mx.array([1.0, 0.0, 0.0]), (3, 3))
        >>> ms.Rigid3().project(ms.scan(ms.Rigid3(), (turn, step)))[1].round(3) + 0.0
        array([[1, 0, 0],
               [1, 1, 0],
               [0, 1, 0]], dtype=float32)
    """

    template = ("q", "t")
    event = 1

    def project(self, element: Pose) -> Pose:
        """The rotation at length one, and the translation."""
        q, t = domain.element(self, element)
        return _unit(q), t

    def combine(self, left: Pose, right: Pose) -> Pose:
        (q_l, t_l), (q_r, t_r) = left, right
        return hamilton(q_l, q_r), t_l + rotate(q_l, t_r)

    def identity(self, like: Pose) -> Pose:
        return _one(like[0]), mx.zeros_like(like[1])

    @property
    def left(self) -> Action:
        """On points: ``q p q* + t``."""
        return Action(lambda p, pose: rotate(pose[0], p) + pose[1], event=1, template="p", states=lambda pose: pose[1])

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.FLOATS, _WHY)
