"""Lanes of a state that a walk carries for the sake of some, and the step on these alone."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import tree
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.program.live import Lanes, closed, narrowed
from monoscan.lowering.program.unroll import unroll
from monoscan.lowering.trace.combine import Traced, trace_combine
from monoscan.lowering.trace.reads.captures import capture

N = 4
FILTER = [(N, N), (N,), (N, N), (N,), (N, N)]


def traced(operator: ms.Semigroup, shapes: Sequence[tuple[int, ...]]) -> Traced:
    leaves = tuple(Leaf("float32", shape) for shape in shapes)
    structure = tree.flatten(leaves if len(leaves) > 1 else leaves[0])[1]
    return trace_combine(operator, structure, leaves, capture(operator))


def chosen(shapes: Sequence[tuple[int, ...]], **parts: object) -> list[Lanes]:
    """Some lanes of some leaves: `_1=(0,)` is the first row of the second."""
    found = [np.zeros(shape, dtype=bool) for shape in shapes]
    for name, index in parts.items():
        found[int(name[1:])][index] = True  # type: ignore[call-overload]
    return found


def number(lanes: Sequence[Lanes]) -> int:
    return sum(int(each.sum()) for each in lanes)


def test_a_row_of_a_product_carries_a_row() -> None:
    found = traced(ms.MatMul(), [(3, 3)])
    assert found.program is not None
    lanes = closed(found.program, chosen([(3, 3)], _0=0))
    step, _ = narrowed(found.program, lanes)
    assert isinstance(step, Program)
    assert (number(lanes), len(step.code), len(found.program.code)) == (3, 15, 45)
    assert step.inputs == (Leaf("float32", (3,)), Leaf("float32", (3, 3)))


def test_a_row_of_a_log_product_carries_a_row() -> None:
    found = traced(ms.SemiringMatMul(ms.Log()), [(8, 8)])
    for program in (found.program, found.arrays):
        assert program is not None
        assert number(closed(program, chosen([(8, 8)], _0=0))) == 8


def test_a_belief_of_a_filter_carries_itself() -> None:
    found = traced(ms.KalmanFilter(), FILTER)
    for program in (found.program, found.arrays):
        assert program is not None
        lanes = closed(program, chosen(FILTER, _1=..., _2=...))
        assert (number(lanes), sum(each.size for each in lanes)) == (20, 56)


def test_a_greatest_of_all_carries_all() -> None:
    found = traced(ms.monoid(lambda x, y: x - x.max() + y, event=1), [(9,)])
    for program in (found.program, found.arrays):
        assert program is not None
        assert number(closed(program, chosen([(9,)], _0=2))) == 9


def test_rows_and_columns_between_those_that_are_read_are_carried_of_arrays() -> None:
    found = traced(ms.MatMul(), [(5, 5)])
    some = chosen([(5, 5)], _0=(0, 1))
    some[0][3, 2] = True
    assert found.program is not None
    assert found.arrays is not None
    assert number(closed(found.program, some)) == 10
    assert number(closed(found.arrays, some)) == 20


def shifted(x: mx.array, y: mx.array) -> mx.array:
    """Views that are no part of a row: a diagonal, a transposition, a reshape over rows."""
    turned = x.T.reshape(2, 18).T.reshape(6, 6) * 0.5
    return mx.tril(turned) @ y + mx.concatenate([y[2:], x[:2]], axis=0) * mx.diag(y)


@pytest.mark.parametrize(
    ("operator", "shapes", "parts"),
    [
        (ms.MatMul(), [(3, 3)], {"_0": (slice(1, 3), 0)}),
        (ms.KalmanFilter(), FILTER, {"_1": ..., "_2": ...}),
        (ms.KalmanFilter(), FILTER, {"_4": ...}),
        (ms.MatrixAffine(), [(3, 3), (3,)], {"_1": 1}),
        (ms.SemiringMatMul(ms.Log()), [(4, 4)], {"_0": (2, 1)}),
        (ms.monoid(shifted, event=2), [(6, 6)], {"_0": (0, 1)}),
        (ms.monoid(lambda x, y: mx.cumsum(x, axis=0) + y[::-1], event=2), [(6, 6)], {"_0": (2, slice(2, 4))}),
    ],
)
def test_the_step_on_what_is_carried_is_the_step(
    operator: ms.Semigroup, shapes: list[tuple[int, ...]], parts: dict[str, object]
) -> None:
    found, rng = traced(operator, shapes), np.random.default_rng(0)
    left, right = ([rng.normal(size=s).astype(np.float32) for s in shapes] for _ in range(2))
    assert found.program is not None
    want = _run(found.program, [*left, *right])
    for program in (found.program, found.arrays):
        assert program is not None
        step, lanes = narrowed(program, closed(program, chosen(shapes, **parts)))
        given = [x[held] for x, held in zip(left, lanes, strict=True)]
        scalar = unroll(step) if isinstance(step, ArrayProgram) else step
        assert isinstance(scalar, Program)
        got = _run(scalar, [*given, *right])
        expected = np.concatenate([
            x[held.reshape(-1)] for x, held in zip(np.split(want, np.cumsum([h.size for h in lanes])[:-1]), lanes, strict=True)
        ])  # fmt: skip
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        assert len(got) == number(lanes)


def _run(program: Program, leaves: Sequence[np.ndarray]) -> np.ndarray:
    lanes = [mx.array(x) for leaf in leaves for x in leaf.reshape(-1)]
    return np.array(mx.stack(evaluate(program, lanes, ARRAYS)))
