"""The fold in order decides what is finite: tiles, chunks and seeds whose partial folds overflowed are done again.

The reference is the CPU's sequential kernel.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from scans import fixed, scan
from selection import thinned
from shim_driver import Shim, needs_shim

import monoscan as ms
from monoscan import tree
from monoscan.lowering.plan.aligned import AlignedScan
from monoscan.lowering.plan.geometry import geometry
from monoscan.lowering.plan.gpu_launches import launches
from monoscan.lowering.render.gpu_spec import Body
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.targets.gpu.launch import forward

pytestmark = needs_shim

BODIES = {
    "rows": (fixed(Body.ROWS, 4, 2, 2), (2, 1300), 1),
    "short rows": (fixed(Body.SHORT, 4, 1, 2, 32), (3, 100), 1),
    "columns": (fixed(Body.COLUMNS, 4, 1, 2), (90, 35), 0),
    "three launches": (fixed(Body.ROWS, 4, 1, 2, chunk=2), (2, 2600), 1),
    "columns in three launches": (fixed(Body.COLUMNS, 2, 1, 4, chunk=2), (150, 3), 0),
    "looking back": (fixed(Body.LOOK_BACK, 4, 1, 2), (1, 17_000), 1),
}


def overflowing(shape: tuple[int, ...], axis: int, gate: float) -> tuple[mx.array, mx.array]:
    """Gates whose product overflows over inputs that are zero, and then ordinary ones that forget."""
    n = shape[axis]
    a, b = np.full(shape, gate, np.float32), np.zeros(shape, np.float32)
    a, b = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    late = n - n // 5
    a[late:], b[late:] = 0.5, np.random.default_rng(0).normal(size=b[late:].shape)
    return mx.array(np.moveaxis(a, 0, axis)), mx.array(np.moveaxis(b, 0, axis))


def flipped(x: mx.array, axis: int) -> mx.array:
    return mx.array(np.flip(np.array(x), axis).copy())


def check(found: Any, expected: Any) -> None:
    """What is finite in order is so here, and as large."""
    for got, want in zip(tree.flatten(found)[0], tree.flatten(expected)[0], strict=True):
        x, y = np.array(got), np.array(want)
        finite = np.isfinite(y)
        np.testing.assert_allclose(x[finite], y[finite], rtol=2e-4, atol=1e-5)


CASES = [
    (body, gate, reverse, inclusive)
    for body in BODIES
    for gate in (1e20, 1.05)
    for reverse in (False, True)
    for inclusive in (True, False)
]
QUICK = [
    ("rows", 1e20, False, True),
    ("columns", 1.05, True, False),
    ("looking back", 1.05, False, False),
    ("three launches", 1.05, False, True),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("body", "gate", "reverse", "inclusive"), thinned(CASES, QUICK))
def test_gates_that_overflow(body: str, gate: float, reverse: bool, inclusive: bool) -> None:
    run_one(body, gate, reverse, inclusive, Shim(seed=2))


def run_one(body: str, gate: float, reverse: bool, inclusive: bool, shim: Shim) -> None:
    plan, shape, axis = BODIES[body]
    a, b = overflowing(shape, axis, gate)
    if reverse:
        a, b = (flipped(x, axis) for x in (a, b))
    options = {"reverse": reverse, "inclusive": inclusive, "return_carry": True}
    expected = ms.scan(ms.Affine(), (a, b), axis, strategy="sequential", stream=mx.cpu, **options)
    check(scan(ms.Affine(), (a, b), axis, plan=plan, start=shim, **options), expected)


@pytest.mark.parametrize("body", thinned(BODIES, ["rows", "looking back"]))
def test_what_is_not_finite_in_order_spoils_nothing_before_it(body: str) -> None:
    plan, shape, axis = BODIES[body]
    a, b = (np.moveaxis(np.random.default_rng(k).uniform(-1, 1, shape).astype(np.float32), axis, 0) for k in range(2))
    bad = a.shape[0] // 2
    b[bad] = np.nan
    given = tuple(mx.array(np.moveaxis(x, 0, axis)) for x in (a, b))
    _, found = scan(ms.Affine(), given, axis, plan=plan)
    _, expected = ms.scan(ms.Affine(), given, axis, strategy="sequential", stream=mx.cpu)
    check(found, expected)
    assert np.isnan(np.moveaxis(np.array(found), axis, 0)[bad:]).all()


@pytest.mark.parametrize("body", thinned(BODIES, ["columns"]))
def test_segments_before_and_after_a_reset(body: str) -> None:
    run_segments(body, Shim())


def run_segments(body: str, shim: Shim) -> None:
    """Two segments, of which the first overflows unless it is folded in order; the reset hides that behind it."""
    plan, shape, axis = BODIES[body]
    a, b = overflowing(shape, axis, 1e20)
    heads = np.zeros(shape, bool)
    np.moveaxis(heads, axis, 0)[shape[axis] - shape[axis] // 6] = True
    given = (mx.array(heads), (a, b))
    operator = ms.Segmented(ms.Affine())
    found = scan(operator, given, axis, plan=plan, start=shim)
    check(found, ms.scan(operator, given, axis, strategy="sequential", stream=mx.cpu))


def test_folds_of_chunks() -> None:
    a, b = overflowing((1, 40_000), 1, 1.05)
    traced = ms.explain(ms.Affine(), (mx.ones((4,)),) * 2).problem.program
    assert traced is not None
    kernel = KernelSpec(traced, ("float32",) * 2, (), (0, 1), want_results=False)
    folded = AlignedScan(traced, (0, 1), (), want_results=False, want_carry=True)
    planned = launches(kernel, geometry([(1, 40_000)], 1, 40_000), initial=False, carry=True)
    assert len(planned) == 3, "the last chunk is walked again"
    found = forward(Shim(), launches, kernel, folded, [a, b], 1, 2)
    check(found, ms.fold(ms.Affine(), (a, b), 1, strategy="sequential", stream=mx.cpu))


@pytest.mark.parametrize("body", thinned(BODIES, ["rows"]))
def test_gradients_stay_finite(body: str) -> None:
    plan, shape, axis = BODIES[body]
    a, b = (flipped(x, axis) for x in overflowing(shape, axis, 1.05))
    w = flipped(overflowing(shape, axis, 1.05)[1], axis)
    expected, found = (
        mx.grad(lambda b, run=run: (run(b)[1] * w).sum())(b)
        for run in (
            lambda b: ms.scan(ms.Affine(), (a, b), axis, strategy="sequential", stream=mx.cpu),
            lambda b: scan(ms.Affine(), (a, b), axis, plan=plan),
        )
    )
    check(found, expected)


MISTAKES = {
    "nothing is done again": ("rows", 1e20, "if (group_says(mine, shared, turn, here)) {", "if (group_says(mine, shared, turn, here) && false) {"),
    "results are not looked at": ("rows", 0, "|| any_step_spoilt(carry, end, first, here, w)", ""),
    "no barrier behind what is done again": ("rows", 1e20, "      BARRIER();\n      return", "      return"),
    "a bad seed is taken": ("three launches", 1e20, "from.number > 0 && bad(carry)", "from.number > 99 && bad(carry)"),
    "columns: nothing is done again": ("columns", 1e20, "again = column_says(mine, shared, turn, here);", "again = column_says(false, shared, turn, here);"),
    "columns: a bad seed is taken": ("columns in three launches", 1e20, "from.number > 0 && any_of", "from.number > 99 && any_of"),
    "short rows: nothing is done again": ("short rows", 1e20, "if (any_of(mine && exists, here.lane, lanes_a_row))", "if (any_of(false, here.lane, lanes_a_row))"),
    "looking back: what came out bad is believed": ("looking back", 1.05, "guarded && spoilt(just(get(shared, of_anchor)), before.value)", "false"),
    "looking back: an anchor leaves what came out bad": ("looking back", 1.05, "left = left || !(bad(before) || bad(behind));", "left = true;"),
}  # fmt: skip


@pytest.mark.parametrize("name", thinned(MISTAKES, ["results are not looked at"]))
def test_a_mistake_is_found(name: str) -> None:
    body, gate, right, wrong = MISTAKES[name]
    shim = Shim(seed=2, faulty=(right, wrong))
    with pytest.raises(AssertionError):
        run_one(body, gate, False, True, shim) if gate else run_segments(body, shim)
    assert shim.replaced
