"""Unlawful operators and wrong strategies, which the tests must catch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx

import monoscan as ms
from monoscan import tree
from monoscan.monoids.facts import Facts

Pair = tuple[mx.array, mx.array]


class _Pairs(ms.Monoid):
    template = ("a", "b")

    def identity(self, like: Pair) -> Pair:
        return mx.ones_like(like[0]), mx.zeros_like(like[1])


class AffineWithoutGate(_Pairs):
    """The right gate does not act on the left token."""

    def combine(self, left: Pair, right: Pair) -> Pair:
        return right[0] * left[0], left[1] * left[0] + right[1]


class AffineOffByLittle(_Pairs):
    """Wrong by one part in a million."""

    def combine(self, left: Pair, right: Pair) -> Pair:
        return right[0] * left[0], right[0] * left[1] + right[1] * (1 + 1e-6)


class SwappedSemidirect(_Pairs):
    """The right acts on the left while the actors combine from the left: no Dual, and no law."""

    template = (("A",), "b")
    event = (2, 1)

    def combine(self, left: Any, right: Any) -> Any:
        ((a_l,), b_l), ((a_r,), b_r) = left, right
        return (a_l @ a_r,), (a_r @ b_l[:, None])[:, 0] + b_r

    def identity(self, like: Any) -> Any:
        return (mx.eye(like[0][0].shape[-1]),), mx.zeros_like(like[1])


class ArgMaxByGreater(ms.Semigroup):
    """Keeps the right only if it is greater: with NaN the order of combination shows."""

    template = ("value", "index")

    def embed(self, x: mx.array, index: mx.array) -> Pair:
        return x, index.astype(mx.int32)

    def combine(self, left: Pair, right: Pair) -> Pair:
        better = right[0] > left[0]
        return mx.where(better, right[0], left[0]), mx.where(better, right[1], left[1])

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(idempotent=True, associativity="exact")


class SignedSaturatingAdd(ms.Semigroup):
    """Saturates at both ends: 100 + 100 - 100 depends on the order."""

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        total = left.astype(mx.int32) + right.astype(mx.int32)
        return mx.clip(total, -128, 127).astype(mx.int8)


class MeanOfMeans(ms.Semigroup):
    """Forgets how many values each mean stands for."""

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return (left + right) / 2


class Subtraction(ms.Semigroup):
    """Not associative at all."""

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left - right


class SoftmaxWithoutRescale(ms.Monoid):
    """Adds totals that belong to different maxima."""

    template = ("max", "total")

    def embed(self, x: mx.array) -> Pair:
        return x, mx.ones_like(x)

    def combine(self, left: Pair, right: Pair) -> Pair:
        return mx.maximum(left[0], right[0]), left[1] + right[1] * mx.exp(mx.minimum(left[0] - right[0], 0))

    def identity(self, like: Pair) -> Pair:
        return mx.full(like[0].shape, -1e30, like[0].dtype), mx.zeros_like(like[1])


class MaxFromZero(ms.Monoid):
    """The identity is 0, which negative values lose to."""

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return mx.maximum(left, right)

    def identity(self, like: mx.array) -> mx.array:
        return mx.zeros_like(like)


class MaxFromFinite(MaxFromZero):
    """The identity is finite, so -inf is lost."""

    def identity(self, like: mx.array) -> mx.array:
        return mx.full(like.shape, -1e30, like.dtype)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(True, True, False, "exact")


class MaxTimes(ms.Monoid):
    """Max of products as a matrix product: over negative numbers they do not distribute."""

    template = "A"
    event = 2

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return (left[:, :, None] * right[None]).max(axis=1)

    def identity(self, like: mx.array) -> mx.array:
        return mx.eye(like.shape[-1])


class KeyComparing(ms.Semigroup):
    """Sums runs of one key by comparing the keys of the ends, and keeps the left key."""

    template = ("key", "value")

    def embed(self, key: mx.array, value: mx.array) -> Pair:
        return mx.sign(key), value

    def combine(self, left: Pair, right: Pair) -> Pair:
        return left[0], mx.where(left[0] == right[0], left[1] + right[1], right[1])


class LyingCommutative(ms.Monoid):
    """Last value wins, and claims not to care for order."""

    template = "x"

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return mx.where(right == 0, left, right)

    def identity(self, like: mx.array) -> mx.array:
        return mx.zeros_like(like)

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(commutative=True, associativity="exact")


def translation() -> ms.Semidirect:
    """A translation is no homomorphism of addition."""
    return ms.Semidirect(ms.Sum(), ms.Sum(), act=mx.add)


def via_not_inverse() -> ms.Via:
    """There and not quite back."""
    return ms.Via(ms.Sum(), lambda x: x * 2, lambda x: x / 2 + 1)


UNLAWFUL: dict[str, tuple[Callable[[], ms.Semigroup], str, str]] = {
    "affine-without-gate": (AffineWithoutGate, "float32", "associativity"),
    "affine-off-by-little": (AffineOffByLittle, "float32", "associativity|left-identity|right-identity"),
    "swapped-semidirect": (SwappedSemidirect, "float32", "associativity"),
    "argmax-by-greater": (ArgMaxByGreater, "float32", "associativity"),
    "signed-saturating-add": (SignedSaturatingAdd, "int8", "associativity"),
    "mean-of-means": (MeanOfMeans, "float32", "associativity"),
    "subtraction": (Subtraction, "float32", "associativity"),
    "softmax-without-rescale": (SoftmaxWithoutRescale, "float32", "associativity"),
    "translation-action": (translation, "float32", "associativity"),
    "max-from-zero": (MaxFromZero, "float32", "left-identity"),
    "max-from-finite": (MaxFromFinite, "float32", "left-identity"),
    "max-times": (MaxTimes, "float32", "associativity"),
    "key-comparing": (KeyComparing, "float32", "associativity"),
    "lying-commutative": (LyingCommutative, "float32", "commutativity"),
    "via-not-inverse": (via_not_inverse, "float32", "associativity|left-identity"),
}
"""Operators by what is wrong: how to make one, a dtype, and the laws of which one must fail first."""

Scan = Callable[..., Any]


def _in_order(monoid: ms.Semigroup, elems: Any, reverse: bool, inclusive: bool, init: Any) -> tuple[list[Any], Any]:
    """The right answer, element by element, from which the wrong strategies depart."""
    leaves, structure = tree.flatten(elems)
    steps = range(leaves[0].shape[0])
    items = [tree.unflatten(structure, [leaf[i] for leaf in leaves]) for i in (reversed(steps) if reverse else steps)]
    total = init if init is not None else monoid.identity(tree.map_leaves(lambda x: x[0], elems) if items else init)  # type: ignore[attr-defined]
    outputs = []
    started = init is not None
    for item in items:
        before = total
        total = monoid.combine(total, item) if started else item
        started = True
        outputs.append(total if inclusive else before)
    return outputs, total


def _stack(outputs: list[Any], reverse: bool) -> Any:
    return tree.map_leaves(lambda *xs: mx.stack(list(xs)), *(outputs[::-1] if reverse else outputs))


def right(monoid: Any, elems: Any, *, reverse: bool, inclusive: bool, init: Any, return_carry: bool) -> Any:
    outputs, total = _in_order(monoid, elems, reverse, inclusive, init)
    return _stack(outputs, reverse), total


@attrs.frozen
class _Swapped:
    """The operator with its operands swapped, as MLX's GPU scans do."""

    inner: Any

    def combine(self, left: Any, right: Any) -> Any:
        return self.inner.combine(right, left)

    def identity(self, like: Any) -> Any:
        return self.inner.identity(like)


def swapped_operands(monoid: Any, elems: Any, **options: Any) -> Any:
    return right(_Swapped(monoid), elems, **options)


def dropped_last(monoid: Any, elems: Any, *, reverse: bool, inclusive: bool, init: Any, return_carry: bool) -> Any:
    """The last position repeats the one before: an odd length rounded down."""
    outputs, total = _in_order(monoid, elems, reverse, inclusive, init)
    if len(outputs) % 2 and len(outputs) > 1:
        outputs[-1] = outputs[-2]
    return _stack(outputs, reverse), total


def off_by_one_shift(monoid: Any, elems: Any, *, reverse: bool, inclusive: bool, init: Any, return_carry: bool) -> Any:
    """An exclusive scan that shifts by one too many."""
    outputs, total = _in_order(monoid, elems, reverse, inclusive, init)
    return _stack(outputs if inclusive else [*outputs[:1], *outputs[:-1]], reverse), total


def identity_padded(monoid: Any, elems: Any, *, reverse: bool, inclusive: bool, init: Any, return_carry: bool) -> Any:
    """Combines an identity in front where a guard by index was needed."""
    like = tree.map_leaves(lambda x: x[0], elems)
    start = monoid.identity(like) if init is None else monoid.combine(monoid.identity(like), init)
    outputs, total = _in_order(monoid, elems, reverse, inclusive, start)
    return _stack(outputs, reverse), total


def wrong_seam(monoid: Any, elems: Any, *, reverse: bool, inclusive: bool, init: Any, return_carry: bool) -> Any:
    """Tiles of eight whose carry skips the tile before the last."""
    outputs, total = _in_order(monoid, elems, reverse, inclusive, init)
    for i in range(16, len(outputs)):
        tile = i - i % 8
        seen = _in_order(monoid, _run(elems, tile, i + 1, reverse), reverse, True, outputs[tile - 9])[0]
        outputs[i] = seen[-1]
    return _stack(outputs, reverse), total


def _run(elems: Any, start: int, stop: int, reverse: bool) -> Any:
    """Steps ``start`` to ``stop`` in fold order."""

    def cut(x: mx.array) -> mx.array:
        return x[len(x) - stop : len(x) - start] if reverse else x[start:stop]

    return tree.map_leaves(cut, elems)


WRONG_STRATEGIES: dict[str, tuple[Scan, bool]] = {
    "swapped-operands": (swapped_operands, False),
    "dropped-last": (dropped_last, False),
    "off-by-one-shift": (off_by_one_shift, False),
    "wrong-seam": (wrong_seam, False),
    "identity-padded": (identity_padded, True),
}
"""Strategies by what is wrong, and whether the strict witness is needed to see it."""
