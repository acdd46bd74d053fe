"""The table of the planner: first match wins, and each row says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import pytest

import monoscan as ms
from monoscan.lowering import planner
from monoscan.lowering.plan.options import STRATEGIES
from monoscan.lowering.planner import TITLES, plan

X = mx.zeros((100,))
OPAQUE = ms.monoid(lambda l, r: mx.sort(l) + r, event=1, name="opaque")
OPAQUE_MONOID = ms.monoid(lambda l, r: mx.sort(l) + r, event=1, identity=0, name="opaque")


def row(operator: ms.Semigroup, elems: Any, **options: Any) -> tuple[int, str]:
    found = ms.explain(operator, elems, **options)
    return found.row, found.strategy


def affine(*shape: int) -> tuple[mx.array, mx.array]:
    return mx.zeros(shape), mx.zeros(shape)


ROWS: dict[int, tuple[str, ms.Semigroup, Callable[[int], Any]]] = {
    2: ("trivial", ms.Affine(), lambda batch: affine(1, batch)),
    3: ("parts", ms.Tuple(ms.Sum(), OPAQUE), lambda batch: (mx.zeros((100, batch)), mx.zeros((100, batch, 2)))),
    4: ("native", ms.Sum(), lambda batch: mx.zeros((100, batch))),
    5: ("kernel", ms.Affine(), lambda batch: affine(100, batch)),
    6: ("blelloch", OPAQUE_MONOID, lambda batch: mx.zeros((100, batch, 2))),
    7: ("hillis_steele", OPAQUE, lambda batch: mx.zeros((100, batch, 2))),
}
"""For each row that the planner tries: the strategy, and a scan that the row takes."""


@pytest.mark.parametrize("number", ROWS)
def test_each_row_takes_its_scan(number: int) -> None:
    strategy, operator, elems = ROWS[number]
    assert row(operator, elems(2)) == (number, strategy)


@pytest.mark.parametrize("number", ROWS)
def test_a_row_that_is_disabled_takes_nothing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test above fails then; the batch is another, since plans are kept."""
    _, operator, elems = ROWS[number]
    monkeypatch.delitem(planner._ROWS, number)
    if number == max(ROWS):
        with pytest.raises(ms.StrategyError, match="no plan"):
            ms.explain(operator, elems(11))
    else:
        assert ms.explain(operator, elems(11)).row > number


def test_every_row_has_a_scan() -> None:
    assert [1, *ROWS] == list(TITLES) == [1, *planner._ROWS]


def test_a_forced_strategy_comes_first() -> None:
    for strategy in ("native", "blelloch", "hillis_steele", "brent_kung", "sequential"):
        assert row(ms.Sum(), X, strategy=strategy) == (1, strategy)


def test_parts_are_forced_each() -> None:
    found = ms.explain(ms.Tuple(ms.Sum(), ms.Max()), (X, X), strategy="blelloch")
    assert (found.row, found.strategy) == (1, "parts")
    assert [(part.row, part.strategy) for part in found.parts] == [(1, "blelloch")] * 2


def test_short_axes_and_empty_batches_come_second() -> None:
    for elems in (X[:0], X[:1], mx.zeros((9, 0))):
        assert row(ms.Sum(), elems) == (2, "trivial")


def test_parts_come_third_and_have_rows_of_their_own() -> None:
    found = ms.explain(ms.Tuple(ms.Sum(), OPAQUE), (X, mx.zeros((100, 2))))
    assert (found.row, found.strategy) == (3, "parts")
    assert [part.row for part in found.parts] == [4, 7]


def test_parts_of_parts_are_planned_too() -> None:
    found = ms.explain(ms.Struct(a=ms.Tuple(ms.Sum(), ms.Max()), b=OPAQUE), {"a": (X, X), "b": mx.zeros((100, 2))})
    assert [part.strategy for part in found.parts[0].parts] == ["native", "native"]
    assert found.parts[1].row == 7


@pytest.mark.parametrize("operator", [ms.Sum(), ms.Product(), ms.Max(), ms.Min()], ids=lambda m: m.name)
def test_native_scans_come_fourth(operator: ms.Semigroup) -> None:
    assert row(operator, X) == (4, "native")
    assert row(ms.Dual(operator), X) == (4, "native")


def test_what_the_ir_cannot_express_goes_by_arrays() -> None:
    assert row(OPAQUE_MONOID, mx.zeros((100, 2))) == (6, "blelloch")
    assert row(OPAQUE, mx.zeros((100, 2))) == (7, "hillis_steele")
    assert row(OPAQUE, mx.zeros((100_000, 2))) == (7, "brent_kung")


def test_sums_after_an_init_are_a_loop() -> None:
    x = mx.zeros((100,))
    assert row(ms.Sum(), x, init=1.0) == (5, "kernel")
    assert row(ms.Max(), x, init=1.0) == (4, "native")
    assert row(ms.Sum(), x.astype(mx.int32), init=1) == (4, "native")


def test_array_operations_are_few_up_to_4096_elements() -> None:
    assert row(OPAQUE, mx.zeros((1024, 4, 2))) == (7, "hillis_steele")
    assert row(OPAQUE, mx.zeros((4096, 2))) == (7, "hillis_steele")
    assert row(OPAQUE, mx.zeros((4097, 2))) == (7, "brent_kung")


def test_the_batch_counts_in_the_choice() -> None:
    assert row(OPAQUE, mx.zeros((10, 100_000, 2))) == (7, "brent_kung")


def test_every_row_that_was_passed_gives_a_reason() -> None:
    found = ms.explain(OPAQUE, mx.zeros((100, 2)))
    rows = [reason.row for reason in found.reasons]
    assert rows[: found.row] == list(range(1, found.row + 1))
    assert all(reason.text for reason in found.reasons)
    assert all(reason.title == TITLES[reason.row] for reason in found.reasons)


def test_the_table_of_the_docstring_has_all_rows() -> None:
    assert plan.__doc__ is not None
    for number in TITLES:
        assert f"| {number} |" in plan.__doc__


def test_the_strategies_are_those_of_the_documentation() -> None:
    assert STRATEGIES == ("auto", "native", "kernel", "blelloch", "hillis_steele", "brent_kung", "sequential")


def test_the_same_question_gets_the_same_plan() -> None:
    first = ms.explain(ms.Affine(), (X, X))
    assert ms.explain(ms.Affine(), (X + 1, X)) is first
    assert ms.explain(ms.Affine(), (X[:50], X[:50])) is not first
    assert ms.explain(ms.Affine(), (X, X), reverse=True) is not first
    assert ms.explain(ms.Affine(), (X, X.astype(mx.float16))) is not first


def test_no_identity_is_needed_where_nothing_is_placed() -> None:
    assert row(ms.First(), X[:0]) == (2, "trivial")
    assert row(ms.First(), X[:0], init=1.0, return_carry=True) == (2, "trivial")
    assert row(ms.First(), mx.zeros((9, 0)), inclusive=False) == (2, "trivial")
