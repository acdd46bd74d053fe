"""Operators print as the call that makes them, and travel: by ``pickle`` and ``copy``."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import mlx.core as mx
import pytest

import monoscan as ms
from monoscan import aggregators
from monoscan.monoids import named


def total(left: mx.array, right: mx.array) -> mx.array:
    return left + right


def weighed(x: mx.array) -> tuple[mx.array, mx.array]:
    return x, mx.ones_like(x)


def ratio(state: tuple[mx.array, mx.array], x: mx.array) -> mx.array:
    return state[0] / state[1]


def same(x: mx.array) -> mx.array:
    return x


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "Dual": (ms.Affine(),), "FiniteMap": (3,), "Maybe": (ms.Max(),), "Moments": (3,), "Segmented": (ms.Affine(),),
    "Semidirect": (ms.Product(), ms.Sum()), "SemiringMatMul": (ms.MaxPlus(),), "Tuple": (ms.Sum(), ms.Max()),
    "Via": (ms.Sum(), mx.exp, mx.log),
}  # fmt: skip
CATALOGUE = [getattr(ms, name)(*ARGUMENTS.get(name, ())) for name in named.catalogue() if name != "Struct"]
OPERATORS = [
    *CATALOGUE,
    ms.Struct(first=ms.Sum(), second=ms.Dual(ms.Max())),
    ms.Via(ms.Sum(), same, same),
    ms.Semidirect(ms.Product(), ms.Sum(), act=total, event=1),
    ms.monoid(total, identity=0, commutative=True),
    ms.monoid(total, event=(1, 0), name="together"),
    ms.aggregator(weighed, ms.Tuple(ms.Sum(), ms.Sum()), ratio),
    ms.aggregator(weighed, ms.Tuple(ms.Sum(), ms.Sum()), ratio, event=1),
    ms.join(spread=aggregators.Std(ddof=1), ratio=ms.aggregator(weighed, ms.Tuple(ms.Sum(), ms.Sum()), ratio)),
    ms.Mean().aggregator(),
    ms.position,
    ms.position.__class__(4),
]
SPACE = {**vars(aggregators), **{name: getattr(ms, name) for name in ms.__all__}, "Position": type(ms.position)}


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
def test_repr_is_the_call_that_makes_it(operator: Any) -> None:
    functions = {"mx": mx, "total": total, "weighed": weighed, "ratio": ratio, "same": same}
    assert eval(repr(operator), {**SPACE, **functions}) == operator


@pytest.mark.parametrize("operator", OPERATORS, ids=repr)
def test_operators_of_functions_that_can_be_imported_travel(operator: Any) -> None:
    assert pickle.loads(pickle.dumps(operator)) == operator
    assert copy.deepcopy(operator) == operator
    assert copy.copy(operator) == operator


def test_what_is_fixed_prints_as_it_was_given() -> None:
    assert repr(ms.fixed(mx.array([1.0, 2.0]))) == "fixed(array([1, 2], dtype=float32))"


@pytest.mark.parametrize(
    ("operator", "elems"),
    [
        (ms.Affine(), (mx.ones((8,)), mx.ones((8,)))),
        (ms.monoid(total, identity=0), mx.ones((8, 2))),
        (ms.Tuple(ms.Sum(), ms.Affine()), (mx.ones((8,)), (mx.ones((8,)), mx.ones((8,))))),
        (ms.MatMul(), mx.ones((4, 20, 20))),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_plans_travel(operator: ms.Monoid, elems: Any) -> None:
    plan = ms.explain(operator, elems)
    for copied in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan)):
        assert str(copied) == str(plan)
        assert copied.source == plan.source
        assert copied.problem.options.call == "scan"
