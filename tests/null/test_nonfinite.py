"""What must be looked at so that no partial fold breaks an answer unseen."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

import monoscan as ms
from monoscan.lowering.program.nonfinite import Watch, watch

X = mx.ones((9,))
MATRICES = mx.ones((9, 2, 2))


def of(operator: ms.Semigroup, elems: Any) -> Watch | None:
    """With the infinities that the identity holds as ordinary ones."""
    problem = ms.explain(operator, elems, strategy="brent_kung").problem
    program = problem.program
    assert program is not None
    kinds = [each for each, leaf in zip(problem.ordinary, program.outputs, strict=True) for _ in range(leaf.lanes)]
    return watch(program, tuple(kinds))


@pytest.mark.parametrize(
    ("operator", "elems"),
    [
        (ms.Max(), X), (ms.First(), X), (ms.LogSumExp(), X), (ms.ArgMax(), (X, mx.arange(9))), (ms.Sum(), mx.arange(9)),
        (ms.monoid(mx.logaddexp), X), (ms.monoid(lambda l, r: mx.where(l > r, l, r)), X),
    ],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_what_makes_nothing_infinite_is_not_looked_at(operator: ms.Semigroup, elems: Any) -> None:
    found = of(operator, elems)
    assert found is not None
    assert found.lanes == ()


@pytest.mark.parametrize(
    ("operator", "elems", "lanes", "whole", "lasting"),
    [
        (ms.Affine(), (X, X), (0, 1), False, (True, True)),
        (ms.MatMul(), MATRICES, (0, 1, 2, 3), False, (True,) * 4),
        (ms.OnlineSoftmax(), (X, X), (1,), False, (False, True)),
        (ms.Segmented(ms.Sum()), (X > 0, X), (1,), False, (False, False)),
        (ms.MaxPlusAffine(), (X, X), (0, 1), True, (True, True)),
        (ms.monoid(lambda l, r: l * r / (1 + l * r)), X, (0,), False, (True,)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_lanes_that_may_overflow_are_looked_at(
    operator: ms.Semigroup, elems: Any, lanes: tuple[int, ...], whole: bool, lasting: tuple[bool, ...]
) -> None:
    found = of(operator, elems)
    assert found is not None
    assert (found.lanes, found.whole, found.lasting) == (lanes, whole, lasting)


def test_minus_infinity_is_ordinary_where_the_identity_holds_it() -> None:
    for semiring, ordinary in ((ms.MaxPlus(), "-inf"), (ms.MinPlus(), "inf"), (ms.Log(), "-inf")):
        found = of(ms.SemiringMatMul(semiring), MATRICES)
        assert found is not None
        assert all(kinds == frozenset({"nan", "inf", "-inf"}) - {ordinary} for kinds in found.kinds)


@pytest.mark.parametrize(
    "combine",
    [
        lambda l, r: 1 / (1 / l + 1 / r), lambda l, r: mx.minimum(l * r, 5.0), lambda l, r: mx.tanh(l * r),
        lambda l, r: mx.where(l * r > 1e30, 0.0, l * r), lambda l, r: l * mx.exp(-(r * r)),
    ],
)  # fmt: skip
def test_what_hides_an_infinity_is_not_trusted(combine: Any) -> None:
    assert of(ms.monoid(combine), X) is None


def test_a_leaf_that_tells_of_another_is_enough() -> None:
    hidden = ms.monoid(lambda l, r: (l[0] * r[0], l[1] / (l[0] * r[0]) + r[1] / l[0]))
    found = of(hidden, (X, X))
    assert found is not None
    assert found.whole


def test_a_select_on_a_flag_keeps_what_it_drops_from_harm() -> None:
    found = of(ms.Segmented(ms.Moments(2)), (X > 0, (X, X, X)))
    assert found is not None
    assert found.whole
