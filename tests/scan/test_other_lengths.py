"""Plans that serve other lengths: those that the planner would make, and answers that are right."""

from __future__ import annotations

import itertools
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan import tree
from monoscan.cache import Cache
from monoscan.cli import target
from monoscan.lowering import lengths
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.trace.reads.captures import capture
from monoscan.monoids import named
from monoscan.scan import call, fuse

ARGUMENTS = {
    "Dual": "Dual(First())", "FiniteMap": "FiniteMap(2)", "Maybe": "Maybe(Last())", "Segmented": "Segmented(Max())",
    "Semidirect": "Semidirect(Product(), Sum())", "SemiringMatMul": "SemiringMatMul(MaxPlus())",
    "Struct": "Struct(mean=Mean(), peak=Max())", "Tuple": "Tuple(Min(), Max(), Sum())",
}  # fmt: skip
NAMES = [ARGUMENTS.get(name, name) for name in named.catalogue() if name != "Via"]
LENGTHS = (2, 3, 40, 64, 65, 200, 511, 512, 9000, 16383, 16384, 70_000)


def looked_up(operator: Any, elems: Any, axis: int, exact: bool, **options: Any) -> Plan:
    asked = call.options("scan", **options)
    return call.prepare(asked, capture(operator), elems, axis, exact=exact)[0]


def what_runs(plan: Plan) -> list[Any]:
    parts = [what_runs(part) for part in plan.parts]
    return [plan.strategy, [(kernel.emit, kernel.spec) for kernel in plan.kernels], parts]


def run_for_show(plan: Plan) -> None:
    """As if it had run: nothing is compiled for these tests."""
    plan.executable = lambda *_: ([], [])
    for part in plan.parts:
        run_for_show(part)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("name", "columns"),
    thinned(list(itertools.product(NAMES, [(), (3,)])), [("Sum", ()), ("Affine", ()), ("MatMul", (3,))]),
)
def test_what_runs_is_what_the_planner_chooses_for_the_length(
    name: str, columns: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = Cache(4096)  # of which none runs
    for module in (call, lengths):
        monkeypatch.setattr(module, "PLANS", plans)
    operator = named.operator(name)
    longest = target.example(operator, (LENGTHS[-1], *columns))
    made: list[Plan] = []
    for n in LENGTHS:
        elems = tree.map_leaves(lambda x: x[:n], longest)  # noqa: B023
        for options in ({}, {"reverse": True, "return_carry": True}):
            plan = looked_up(operator, elems, 0, False, **options)
            assert what_runs(plan) == what_runs(looked_up(operator, elems, 0, True, **options))
            run_for_show(plan)
            made += [] if any(plan is each for each in made) else [plan]
    assert len(made) < 2 * len(LENGTHS)


def test_a_known_loop_is_planned_no_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.random.default_rng(0).uniform(0.5, 1, (2, 4, 900)).astype(np.float32)
    ms.scan(ms.Affine(), (mx.array(a), mx.array(b)), axis=-1)
    monkeypatch.setattr(call, "make_plan", lambda problem: pytest.fail("planned again"))
    for n in (899, 850, 801):
        h = np.array(ms.scan(ms.Affine(), (mx.array(a[:, :n]), mx.array(b[:, :n])), axis=-1)[1])
        expected = np.zeros(4)
        for t in range(n):
            expected = a[:, t].astype(np.float64) * expected + b[:, t]
        np.testing.assert_allclose(h[:, -1], expected, rtol=1e-5)


def test_lengths_that_differ_are_an_error_beside_a_plan_that_fits_the_first() -> None:
    x = mx.ones((300,))
    ms.scan(ms.Affine(), (x, x))
    with pytest.raises(ms.ScanError, match="leaves must have one length along axis 0"):
        ms.scan(ms.Affine(), (x[:290], x[:280]))
    with pytest.raises(ms.ScanError, match="axis 1 is out of bounds"):
        ms.scan(ms.Affine(), (x[:290], x[:290]), axis=1)


def test_explain_says_what_is_asked_after_a_scan_of_another_length() -> None:
    x = mx.ones((300,))
    for n in (300, 290):
        ms.scan(ms.Affine(), (x[:n], x[:n]))
    assert "float32[290]" in str(ms.explain(ms.Affine(), (x[:290], x[:290])))


@pytest.mark.parametrize("columns", [(), (4,)])
def test_an_aggregator_is_traced_and_planned_once_for_all_lengths(
    columns: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(1).normal(size=(900, *columns)).astype(np.float32)
    ms.scan(ms.aggregators.Mean(), (mx.array(x),))
    monkeypatch.setattr(fuse, "fused_pass", lambda *_, **__: pytest.fail("planned again"))
    for n in (899, 801):
        found = np.array(ms.scan(ms.aggregators.Mean(), (mx.array(x[:n]),)))
        count = np.arange(1, n + 1).reshape(-1, *[1] * len(columns))
        np.testing.assert_allclose(found, np.cumsum(x[:n].astype(np.float64), axis=0) / count, rtol=1e-4, atol=1e-6)
    monkeypatch.undo()
    assert f"float32[{[801, *columns]}".replace("[[", "[") in str(
        ms.explain(ms.aggregators.Mean(), (mx.array(x[:801]),))
    )
