"""Scans whose gradients are compared with differences: every operator, and every shape and option of some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
from gradient_oracle import Question

import monoscan as ms
from monoscan import tree
from monoscan.monoids import geometry

Make = Callable[[np.random.Generator], Any]
N = 7


def normal(rng: np.random.Generator, *shape: int) -> mx.array:
    return mx.array(rng.normal(size=shape), mx.float64)


def positive(rng: np.random.Generator, *shape: int) -> mx.array:
    return mx.array(rng.uniform(0.3, 1.5, size=shape), mx.float64)


def whole(rng: np.random.Generator, *shape: int) -> mx.array:
    return mx.array(rng.integers(-5, 6, shape), mx.int32)


def flags(rng: np.random.Generator, *shape: int) -> mx.array:
    return mx.array(rng.random(shape) < 0.4)


def unit(rng: np.random.Generator, *shape: int) -> mx.array:
    return ms.Quaternion().project(normal(rng, *shape, 4))


def covariance(rng: np.random.Generator, n: int) -> mx.array:
    root = 0.4 * normal(rng, n, 2, 2)
    return root @ mx.swapaxes(root, -1, -2) + 0.1 * mx.eye(2, dtype=mx.float64)


def kalman(rng: np.random.Generator) -> tuple[mx.array, ...]:
    return 0.5 * normal(rng, N, 2, 2), normal(rng, N, 2), covariance(rng, N), normal(rng, N, 2), covariance(rng, N)


OPERATORS: list[tuple[ms.Semigroup, Make]] = [
    (ms.Sum(), lambda rng: normal(rng, N)),
    (ms.Product(), lambda rng: normal(rng, N)),
    (ms.Max(), lambda rng: normal(rng, N)),
    (ms.Min(), lambda rng: normal(rng, N)),
    (ms.LogSumExp(), lambda rng: normal(rng, N)),
    (ms.First(), lambda rng: normal(rng, N)),
    (ms.Last(), lambda rng: normal(rng, N)),
    (ms.ArgMax(), lambda rng: (normal(rng, N), whole(rng, N))),
    (ms.ArgMin(), lambda rng: (normal(rng, N), whole(rng, N))),
    (ms.MinMax(), lambda rng: (normal(rng, N), normal(rng, N))),
    (ms.Mean(), lambda rng: (positive(rng, N), normal(rng, N))),
    *((ms.Moments(k), lambda rng, k=k: tuple(positive(rng, N) for _ in range(k + 1))) for k in (2, 3, 4)),
    (ms.OnlineSoftmax(), lambda rng: (normal(rng, N), positive(rng, N))),
    *((ms.MatMul(), lambda rng, d=d: 0.6 * normal(rng, N, d, d)) for d in (1, 2, 3)),
    (ms.Affine(), lambda rng: (normal(rng, N), normal(rng, N))),
    *((ms.MatrixAffine(), lambda rng, d=d: (0.6 * normal(rng, N, d, d), normal(rng, N, d))) for d in (1, 2, 3)),
    *((ms.SemiringMatMul(s), lambda rng: normal(rng, N, 2, 2)) for s in (ms.MaxPlus(), ms.MinPlus(), ms.Log())),
    (ms.MaxPlusAffine(), lambda rng: (normal(rng, N), normal(rng, N))),
    (ms.MaxSubarray(), lambda rng: tuple(normal(rng, N) for _ in range(4))),
    (ms.Quaternion(), lambda rng: unit(rng, N)),
    (ms.Rigid3(), lambda rng: (unit(rng, N), normal(rng, N, 3))),
    (ms.KalmanFilter(), kalman),
    (ms.KalmanSmoother(), lambda rng: kalman(rng)[:3]),
    (ms.Tuple(ms.Product(), ms.Affine()), lambda rng: (normal(rng, N), (normal(rng, N), normal(rng, N)))),
    (ms.Struct(a=ms.Max(), b=ms.LogSumExp()), lambda rng: {"a": normal(rng, N), "b": normal(rng, N)}),
    (ms.Dual(ms.MatMul()), lambda rng: 0.6 * normal(rng, N, 2, 2)),
    (ms.Maybe(ms.Product()), lambda rng: (flags(rng, N), normal(rng, N))),
    (ms.Segmented(ms.Product()), lambda rng: (flags(rng, N), normal(rng, N))),
    (ms.Segmented(ms.Affine()), lambda rng: (flags(rng, N), (normal(rng, N), normal(rng, N)))),
    (
        ms.Semidirect(ms.Quaternion(), ms.Sum(), act=geometry.rotate, event=1),
        lambda rng: (unit(rng, N), normal(rng, N, 3)),
    ),
    (ms.Via(ms.Sum(), mx.log, mx.exp), lambda rng: mx.array(rng.uniform(1, 1.2, N), mx.float64)),
]  # fmt: skip


def of(operator: ms.Semigroup, elems: Any, **fields: Any) -> Question:
    """A question about an operator that captures nothing."""
    return Question(lambda: operator, elems, **fields)


def operator_question(number: int, **fields: Any) -> Question:
    """The question of one operator on random elements."""
    operator, make = OPERATORS[number]
    return of(operator, make(np.random.default_rng(number)), **fields)


def operator_names() -> list[str]:
    """What to call them in test names."""
    rng = np.random.default_rng(0)
    with mx.stream(mx.cpu):
        shapes = [[x.shape[1:] for x in tree.flatten(make(rng))[0]] for _, make in OPERATORS]
    sizes = ["x".join(map(str, max(s, key=len))) for s in shapes]
    return [f"{operator.name}{'-' if size else ''}{size}" for (operator, _), size in zip(OPERATORS, sizes, strict=True)]


def element_of(elems: Any) -> Any:
    """The first element, to be an ``init``."""
    return tree.map_leaves(lambda x: x[0] * 0.9 if mx.issubdtype(x.dtype, mx.inexact) else x[0], elems)


@attrs.frozen
class Scaled(ms.Semigroup):
    """``l + r + rate * l * r``: associative for every rate."""

    rate: mx.array = attrs.field(eq=False)

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        return left + right + self.rate * left * right


def rotated(basis: mx.array) -> ms.Semigroup:
    """A product of matrices with a captured one between any two."""
    return ms.monoid(lambda l, r: l @ basis @ r, event=2)


def gated(gate: mx.array, shift: mx.array) -> ms.Semigroup:
    """A recurrence whose coefficients are captured; not associative, so for folds in order."""
    return ms.monoid(lambda l, r: mx.tanh(gate * l + r) + shift)


def shapes() -> dict[str, Question]:
    """Affine with every shape and option: what a leaf's gradient has to be summed over, and where it starts."""
    rng = np.random.default_rng(1)
    affine = ms.Affine()
    square = normal(rng, N, 3), normal(rng, N, 3)
    cube = normal(rng, 2, N, 3), normal(rng, 2, N, 3)
    start = normal(rng, 3), normal(rng, 3)
    return {
        "columns": of(affine, square),
        "rows": of(affine, (square[0].T, square[1].T), options={"axis": 1}),
        "middle axis": of(affine, cube, options={"axis": 1}),
        "last axis": of(affine, (mx.swapaxes(cube[0], 1, 2), mx.swapaxes(cube[1], 1, 2)), options={"axis": -1}),
        "not contiguous": of(affine, (normal(rng, 3, 2 * N).T[::2], normal(rng, N, 6)[:, ::-2])),
        "backwards": of(affine, (square[0][::-1], square[1][::-1])),
        "broadcast by mx": of(affine, (mx.broadcast_to(normal(rng, N, 1), (N, 3)), square[1])),
        "one gate a step": of(affine, (normal(rng, N, 1), square[1])),
        "one input a step": of(affine, (square[0], normal(rng, N, 1))),
        "one gate for all, of lower rank": of(affine, (normal(rng, N), square[1])),
        "inputs of lower rank": of(affine, (normal(rng, N, 2, 3), normal(rng, N, 3))),
        "crossed": of(affine, (normal(rng, N, 2, 1), normal(rng, N, 1, 3))),
        "init": of(affine, square, init=start),
        "init for all columns": of(affine, square, init=(normal(rng, 1), normal(rng, 1))),
        "init wider than the elements": of(affine, (normal(rng, N), normal(rng, N)), init=start),
        "carry": of(affine, square, carry=True),
        "carry and init": of(affine, square, init=start, carry=True),
        "carry alone": of(affine, square, carry=True, leaves=()),
        "gates alone": of(affine, square, leaves=(0,)),
        "states alone": of(affine, square, leaves=(1,)),
        "reverse": of(affine, square, options={"reverse": True}),
        "reverse, init, carry": of(affine, square, init=start, carry=True, options={"reverse": True}),
        "exclusive": of(affine, square, carry=True, options={"inclusive": False}),
        "exclusive, init": of(affine, square, init=start, carry=True, options={"inclusive": False}),
        "exclusive, reverse": of(affine, square, carry=True, options={"inclusive": False, "reverse": True}),
        "exclusive, reverse, init": of(affine, square, init=start, options={"inclusive": False, "reverse": True}),
        "exclusive, one gate a step": of(affine, (normal(rng, N, 1), square[1]), options={"inclusive": False}),
        "fold": of(affine, square, fold=True),
        "fold of gates": of(affine, square, fold=True, leaves=(0,)),
        "fold, init, reverse": of(affine, square, init=start, fold=True, options={"reverse": True}),
        **{f"{n} steps": of(affine, (normal(rng, n, 2), normal(rng, n, 2)), carry=True) for n in (1, 2, 3, 9, 17)},
        **{
            f"{n} steps, init": of(affine, (normal(rng, n), normal(rng, n)), init=(normal(rng), normal(rng)))
            for n in (1, 2, 3)
        },
        **{
            f"{n} steps, exclusive": of(affine, (normal(rng, n), normal(rng, n)), options={"inclusive": False})
            for n in (1, 2, 3)
        },
        "one column": of(affine, (normal(rng, N, 1), normal(rng, N, 1))),
    }


def captures() -> dict[str, Question]:
    """Lawful operators that capture arrays."""
    rng = np.random.default_rng(2)
    rate, basis = mx.array(0.7, mx.float64), 0.6 * normal(rng, 2, 2)
    x, matrices = 0.5 * normal(rng, N, 3), 0.6 * normal(rng, N, 2, 2)
    return {
        "a field": Question(Scaled, x, (rate,)),
        "a field, init": Question(Scaled, x, (rate,), normal(rng, 3), carry=True),
        "a field, exclusive": Question(Scaled, x, (rate,), normal(rng, 3), options={"inclusive": False}),
        "a field, fold": Question(Scaled, x, (rate,), fold=True),
        "a field, reverse, along rows": Question(Scaled, x.T, (rate,), options={"reverse": True, "axis": 1}),
        "a field, one step": Question(Scaled, x[:1], (rate,)),
        "a field, one step, init": Question(Scaled, x[:1], (rate,), normal(rng, 3)),
        "a matrix": Question(rotated, matrices, (basis,)),
        "a matrix, init, carry": Question(rotated, matrices, (basis,), normal(rng, 2, 2), carry=True),
        "a matrix, batch": Question(rotated, 0.6 * normal(rng, 5, 2, 2, 2), (basis,)),
        "two fields of a tuple": Question(
            lambda a, b: ms.Tuple(Scaled(a), Scaled(b)), (x, x), (rate, mx.array(0.2, mx.float64))
        ),
        "a segmented field": Question(lambda a: ms.Segmented(Scaled(a)), (flags(rng, N, 3), x), (rate,)),
    }


def recurrences() -> dict[str, Question]:
    """Captured arrays in a fold that is not associative."""
    rng = np.random.default_rng(4)
    gate, shift = normal(rng), normal(rng)
    return {
        "gates": Question(gated, normal(rng, N, 3), (gate, shift)),
        "gates, init, reverse": Question(
            gated, normal(rng, N, 3), (gate, shift), normal(rng, 3), carry=True, options={"reverse": True}
        ),
    }


def typed(question: Question, dtype: mx.Dtype) -> Question:
    """The same with floats of another dtype."""

    def cast(x: mx.array) -> mx.array:
        return x.astype(dtype) if mx.issubdtype(x.dtype, mx.floating) else x

    init = None if question.init is None else tree.map_leaves(cast, question.init)
    captured = tuple(cast(x) for x in question.captured)
    return attrs.evolve(question, elems=tree.map_leaves(cast, question.elems), captured=captured, init=init)


def by(question: Question, strategy: str) -> Question:
    """The same by another strategy."""
    return attrs.evolve(question, options=question.options | {"strategy": strategy})
