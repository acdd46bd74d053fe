"""Matrix products over other semirings: best paths, all paths, reachability."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import reduce
from typing import Any, ClassVar, final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan import errors
from monoscan.monoids import domain
from monoscan.monoids.action import Action
from monoscan.monoids.base import Monoid

Dtypes = tuple[str, ...]


@attrs.frozen
class Semiring(ABC):
    """Two operations, where ``multiply`` distributes over a commutative ``add``.

    Attributes:
        takes: The dtypes that it is defined on. Default: floats.
        why: What a message says about the reason.
    """

    takes: ClassVar[frozenset[str]] = names.FLOATS
    why: ClassVar[str] = "its zero is infinite"

    @abstractmethod
    def add(self, x: mx.array, y: mx.array) -> mx.array:
        """The sum of two numbers."""

    @abstractmethod
    def multiply(self, x: mx.array, y: mx.array) -> mx.array:
        """The product of two numbers."""

    def sum(self, x: mx.array) -> mx.array:
        """The sum over the last axis. Default: `add` from left to right."""
        return reduce(self.add, (x[..., k] for k in range(x.shape[-1])))

    @abstractmethod
    def zero(self, like: mx.array) -> mx.array:
        """What adds nothing, and annihilates."""

    @abstractmethod
    def one(self, like: mx.array) -> mx.array:
        """What multiplies to the same."""

    def promote(self, dtypes: Dtypes) -> Dtypes:
        """As `Semigroup.promote`."""
        return dtypes


@final
@attrs.frozen
class MaxPlus(Semiring):
    """(max, +): the weight of the heaviest path. Zero -inf, one 0; inf is off the domain."""

    def add(self, x: mx.array, y: mx.array) -> mx.array:
        return mx.maximum(x, y)

    def sum(self, x: mx.array) -> mx.array:
        return x.max(axis=-1)

    def multiply(self, x: mx.array, y: mx.array) -> mx.array:
        return x + y

    def zero(self, like: mx.array) -> mx.array:
        return domain.lowest(like)

    def one(self, like: mx.array) -> mx.array:
        return mx.zeros_like(like)


@final
@attrs.frozen
class MinPlus(Semiring):
    """(min, +): the length of the shortest path. Zero inf, one 0; -inf is off the domain."""

    def add(self, x: mx.array, y: mx.array) -> mx.array:
        return mx.minimum(x, y)

    def sum(self, x: mx.array) -> mx.array:
        return x.min(axis=-1)

    def multiply(self, x: mx.array, y: mx.array) -> mx.array:
        return x + y

    def zero(self, like: mx.array) -> mx.array:
        return domain.highest(like)

    def one(self, like: mx.array) -> mx.array:
        return mx.zeros_like(like)


@final
@attrs.frozen
class Log(Semiring):
    """(log-add-exp, +): the log-probability of all paths. Zero -inf, one 0; inf is off the domain."""

    def add(self, x: mx.array, y: mx.array) -> mx.array:
        return mx.logaddexp(x, y)

    def sum(self, x: mx.array) -> mx.array:
        return mx.logsumexp(x, axis=-1)

    def multiply(self, x: mx.array, y: mx.array) -> mx.array:
        return x + y

    def zero(self, like: mx.array) -> mx.array:
        return domain.lowest(like)

    def one(self, like: mx.array) -> mx.array:
        return mx.zeros_like(like)


@final
@attrs.frozen
class Boolean(Semiring):
    """(or, and): whether there is a path. Zero False, one True; numbers are taken as bool."""

    takes = domain.ORDERED
    why = "complex numbers have no order"

    def add(self, x: mx.array, y: mx.array) -> mx.array:
        return mx.logical_or(x, y)

    def sum(self, x: mx.array) -> mx.array:
        return x.any(axis=-1)

    def multiply(self, x: mx.array, y: mx.array) -> mx.array:
        return mx.logical_and(x, y)

    def zero(self, like: mx.array) -> mx.array:
        return mx.full(like.shape, False, mx.bool_)

    def one(self, like: mx.array) -> mx.array:
        return mx.full(like.shape, True, mx.bool_)

    def promote(self, dtypes: Dtypes) -> Dtypes:
        return ("bool",) * len(dtypes)


def _is_semiring(operator: SemiringMatMul, field: attrs.Attribute[Semiring], value: Any) -> None:
    if not isinstance(value, Semiring):
        raise errors.ScanTypeError(f"[SemiringMatMul] expects a semiring, as MaxPlus(); got {value!r:.60}.")


@final
@attrs.frozen
class SemiringMatMul(Monoid):
    """The product of square matrices over a semiring, from left to right.

    Elements are matrices ``A`` (event 2); ``combine`` adds the products ``A_l[i, k] A_r[k,
    j]`` over ``k``, both in the sense of the semiring. Identity: its one on the diagonal,
    its zero elsewhere. NaN gives NaN from there on; the semiring says which infinities
    are off its domain.

    Source: Aho, Hopcroft and Ullman, *The Design and Analysis of Computer Algorithms*
    (1974), section 5.6: closed semirings and paths.

    Args:
        semiring (Semiring): `MaxPlus`, `MinPlus`, `Log`, `Boolean` or your own.

    Raises:
        ScanTypeError: ``semiring`` is none.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> steps = mx.array([[[0.0, 1.0], [5.0, 0.0]], [[0.0, 9.0], [2.0, 0.0]]])
        >>> ms.fold(ms.SemiringMatMul(ms.MinPlus()), steps)
        array([[0, 1],
               [2, 0]], dtype=float32)
    """

    semiring: Semiring = attrs.field(validator=_is_semiring)

    template = "A"
    event = 2

    @property
    def name(self) -> str:
        return f"SemiringMatMul({type(self.semiring).__name__})"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        columns = mx.swapaxes(right, -1, -2)
        return self.semiring.sum(self.semiring.multiply(left[..., :, None, :], columns[..., None, :, :]))

    def identity(self, like: mx.array) -> mx.array:
        diagonal = mx.eye(like.shape[-1], dtype=mx.bool_)
        return mx.where(diagonal, self.semiring.one(like), self.semiring.zero(like))

    @property
    def right(self) -> Action:
        """On rows: ``s A``."""
        return Action(self._row, event=1, template="s", states=lambda matrix: matrix[..., 0, :])

    @property
    def left(self) -> Action:
        """On columns: ``A s``."""
        return Action(self._column, event=1, template="s", states=lambda matrix: matrix[..., 0])

    def _row(self, s: mx.array, matrix: mx.array) -> mx.array:
        return self.combine(s[..., None, :], matrix)[..., 0, :]

    def _column(self, s: mx.array, matrix: mx.array) -> mx.array:
        return self.combine(matrix, s[..., None])[..., 0]

    def promote(self, dtypes: Dtypes) -> Dtypes:
        return self.semiring.promote(dtypes)

    def check(self, dtypes: Dtypes) -> None:
        domain.require(self, dtypes, self.semiring.takes, self.semiring.why)
