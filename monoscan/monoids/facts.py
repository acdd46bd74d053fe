"""Facts about operators, and the table that infers those of composites."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs

from monoscan import dtypes, errors

Associativity = Literal["exact", "rounding"]

NATIVE = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")
"""The scans that MLX has."""


def _is_native(facts: Facts, field: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None and value not in NATIVE:
        raise errors.ScanError(f"[Facts] native is None or one of MLX's scans, {', '.join(NATIVE)}; got {value!r}.")


@attrs.frozen
class Facts:
    """What the planner may rely on; every declared fact is checked by the laws.

    Args:
        commutative: ``combine(a, b)`` equals ``combine(b, a)``.
        idempotent: ``combine(a, a)`` equals ``a``.
        invertible: Every element has an inverse (the operator is a group).
        associativity: ``"exact"`` where machine arithmetic is associative to the last
            bit, ``"rounding"`` where it is so only in exact arithmetic.
        native: The MLX scan that computes it, as ``"cumsum"``, or ``None``.
    """

    commutative: bool = False
    idempotent: bool = False
    invertible: bool = False
    associativity: Associativity = "rounding"
    native: str | None = attrs.field(default=None, validator=_is_native)


def associativity(leaf_dtypes: Iterable[str]) -> Associativity:
    """The default: integers wrap and so associate exactly, floats round."""
    return "exact" if all(dtypes.is_exact(name) for name in leaf_dtypes) else "rounding"


def product(parts: Iterable[Facts]) -> Facts:
    """Facts of a product of operators, leaf by leaf: each holds iff it holds for all parts."""
    parts = tuple(parts)
    return Facts(
        commutative=all(part.commutative for part in parts),
        idempotent=all(part.idempotent for part in parts),
        invertible=all(part.invertible for part in parts),
        associativity="exact" if all(part.associativity == "exact" for part in parts) else "rounding",
    )


def dual(inner: Facts) -> Facts:
    """Swapped operands keep every law; a native scan only where the order is nobody's business."""
    return inner if inner.commutative else attrs.evolve(inner, native=None)


def maybe(inner: Facts) -> Facts:
    """A new identity keeps commutativity and idempotence; it has no inverse of a valid element."""
    return attrs.evolve(inner, invertible=False, native=None)


def segmented(inner: Facts) -> Facts:
    """A reset forgets what is on its left only: neither commutative nor invertible."""
    return attrs.evolve(inner, commutative=False, invertible=False, native=None)


def semidirect(actor: Facts, acted: Facts) -> Facts:
    """An action twists the second part: only being a group and exactness are left."""
    exact = actor.associativity == acted.associativity == "exact"
    return Facts(invertible=actor.invertible and acted.invertible, associativity="exact" if exact else "rounding")


def via(inner: Facts) -> Facts:
    """A bijection carries every law over, up to the rounding of its two directions."""
    return attrs.evolve(inner, associativity="rounding", native=None)
