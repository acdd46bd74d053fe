"""Operators to split over ranks, with the fold in order in NumPy's float64 that says what is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

import monoscan as ms

SCALE = mx.array(0.5)
Arrays = tuple[np.ndarray, ...]


@attrs.frozen
class Case:
    """An operator, and what it does in NumPy.

    Args:
        make: Makes the operator, in each process anew.
        combine: The same on tuples of leaves of one time.
        events: The event shape of each leaf.
        batches: The batch shape of each leaf; the time stands in front.
        dtype: The dtype of all leaves.
        identity: A number for each leaf, or ``None`` where there is none.
        act: What an element does to a state, in NumPy.
        state: The shape of a state.
    """

    make: Callable[[], Any]
    combine: Callable[[Arrays, Arrays], Arrays]
    events: tuple[tuple[int, ...], ...] = ((),)
    batches: tuple[tuple[int, ...], ...] = ((3,),)
    dtype: str = "float32"
    identity: tuple[Any, ...] | None = (0,)
    act: Callable[[np.ndarray, Arrays], np.ndarray] | None = None
    state: tuple[int, ...] = ()

    def scaled(self, scale: mx.array) -> Any:
        """The operator with another captured array, where it captures one."""
        if self is not CASES["captures"]:
            return self.make()
        return ms.monoid(lambda l, r: l + r + scale * l * r, identity=0, name="scaled")

    def elements(self, length: int, seed: int) -> Arrays:
        """Elements of a whole sequence."""
        rng = np.random.default_rng(seed)
        shapes = [(length, *batch, *event) for batch, event in zip(self.batches, self.events, strict=True)]
        if self.dtype == "int32":
            return tuple(rng.integers(-50, 50, shape).astype(np.int32) for shape in shapes)
        return tuple(rng.uniform(-0.9, 0.9, shape).astype(self.dtype) for shape in shapes)


def _matmul(l: Arrays, r: Arrays) -> Arrays:
    return (l[0] @ r[0],)


def _scaled(l: Any, r: Any) -> Any:
    return l + r + SCALE * l * r


CASES: dict[str, Case] = {
    "Sum": Case(ms.Sum, lambda l, r: (l[0] + r[0],)),
    "Sum of integers": Case(ms.Sum, lambda l, r: (l[0] + r[0],), dtype="int32"),
    "Sum of halves": Case(ms.Sum, lambda l, r: (l[0] + r[0],), dtype="float16"),
    "Max": Case(ms.Max, lambda l, r: (np.maximum(l[0], r[0]),), identity=(-np.inf,)),
    "Affine": Case(
        ms.Affine, lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), ((), ()), ((1,), (3,)), identity=(1, 0),
        act=lambda h, x: x[0] * h + x[1], state=(3,),
    ),
    "MatMul": Case(ms.MatMul, _matmul, ((2, 2),), ((2,),), identity=(np.eye(2),),
        act=lambda h, x: (h[..., None, :] @ x[0])[..., 0, :], state=(2, 2)),
    "no identity": Case(lambda: ms.monoid(mx.matmul, event=2, name="product"), _matmul, ((2, 2),), ((),), identity=None),
    "captures": Case(
        lambda: ms.monoid(_scaled, identity=0, name="scaled"), lambda l, r: (l[0] + r[0] + 0.5 * l[0] * r[0],)
    ),
}  # fmt: skip


def in_order(
    case: Case, xs: Arrays, reverse: bool, inclusive: bool, init: Arrays | None
) -> tuple[list[Arrays], Arrays | None]:
    """What every position of a whole sequence holds, in the order of positions, and the carry."""
    kind = np.int64 if case.dtype == "int32" else np.float64
    state = None if init is None else tuple(x.astype(kind) for x in init)
    if state is None and case.identity is not None and not (inclusive and len(xs[0])):
        blank = [np.zeros(x.shape[1:], kind) for x in xs]
        state = tuple(zero + value for zero, value in zip(blank, case.identity, strict=True))
    found: list[Any] = [None] * len(xs[0])
    for t in range(len(found))[::-1] if reverse else range(len(found)):
        x, before = tuple(leaf[t].astype(kind) for leaf in xs), state
        state = x if state is None else case.combine(state, x)
        found[t] = state if inclusive else before
    return found, state


def driven(case: Case, xs: Arrays, reverse: bool, state: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The states of a whole sequence, and the last one."""
    assert case.act is not None
    h, found = state.astype(np.float64), [None] * len(xs[0])
    for t in range(len(found))[::-1] if reverse else range(len(found)):
        h = found[t] = case.act(h, tuple(leaf[t].astype(np.float64) for leaf in xs))
    return found, h
