"""Kernels of ``act``: every loop against the fold in order in float64, bit for bit where rounding is MLX's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from act_cases import CASES, N, arrays, fold
from selection import thinned

import monoscan as ms
from monoscan import tree
from monoscan.lowering.plan.plan import Kernels, Plan
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.targets.cpu import build

RNG = np.random.default_rng(5)
NAMES = [case[0] for case in CASES]
COLUMNS = {Loop.PANELS: 19, Loop.SWEEP: 67, Loop.SEQUENTIAL: 2}
LOOPS = [(name, loop, begun) for name in NAMES for loop in COLUMNS for begun in (False, True)]


def loop_of(plan: Plan) -> Loop:
    assert isinstance(plan.way, Kernels)
    return plan.way.fused[0].spec.loop


def columns(elems: Any, count: int) -> Any:
    """As many columns of elements as are asked for, each with steps in an order of its own."""
    orders = np.stack([RNG.permutation(N) for _ in range(count)], axis=1)
    return tree.map_leaves(lambda x: np.asarray(x)[orders], elems)


def starts(state: Any, count: int) -> Any:
    """A state for each column: of numbers some others."""
    scales = RNG.uniform(0.5, 1, count).astype(np.float32)

    def spread(x: Any) -> Any:
        many = np.repeat(np.asarray(x)[None], count, axis=0)
        return many * scales.reshape(-1, *[1] * (many.ndim - 1)) if many.dtype == np.float32 else many

    return tree.map_leaves(spread, state)


@pytest.mark.sampled(12)
@pytest.mark.parametrize(
    ("name", "loop", "begun"),
    thinned(
        LOOPS,
        [("Affine", loop, True) for loop in COLUMNS]
        + [("MatMul", Loop.SWEEP, False), ("FiniteMap", Loop.PANELS, True), ("Maybe", Loop.SWEEP, True)],
    ),
)
def test_loops_are_the_fold_in_order(name: str, loop: Loop, begun: bool) -> None:
    _, operator, elems, state, step, begin = CASES[NAMES.index(name)]
    if begun and begin is None:
        pytest.skip("no element begins a state")
    count = COLUMNS[loop]
    xs, start = columns(elems, count), None if begun else starts(state, count)
    given = None if start is None else arrays(start)
    for reverse, inclusive in ((False, True), (True, True), (True, False)):
        if begun and not inclusive:
            continue
        options: dict[str, Any] = {"reverse": reverse, "inclusive": inclusive, "return_carry": True}
        taken = loop_of(ms.explain(operator, arrays(xs), act=True, state=given, **options))
        assert taken is loop or {taken, loop} == {Loop.NARROW, Loop.SEQUENTIAL}
        found, last = ms.act(operator, arrays(xs), given, **options)
        for j in {0, count // 2, count - 1}:
            own = None if start is None else tree.map_leaves(lambda x, j=j: x[j], start)
            expected = fold(step, begin, tree.map_leaves(lambda x, j=j: x[:, j], xs), own, reverse, inclusive)
            _close(tree.map_leaves(lambda y, j=j: y[:, j], found), expected[0])
            _close(tree.map_leaves(lambda y, j=j: y[j], last), expected[1])


LIGHT = ("Affine", "Bracket", "KalmanFilter", "Segmented", "Maybe")  # those that take no longer to move


@pytest.mark.long
@pytest.mark.parametrize("name", thinned(LIGHT, ("Affine", "Maybe")))
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_rows_side_by_side_are_the_fold_in_order(name: str, reverse: bool) -> None:
    _, operator, elems, state, step, begin = CASES[NAMES.index(name)]
    xs, start = columns(elems, 67), starts(state, 67)
    across = tree.map_leaves(lambda x: np.ascontiguousarray(np.swapaxes(x, 0, 1)), xs)
    options: dict[str, Any] = {"axis": 1, "reverse": reverse, "return_carry": True}
    assert loop_of(ms.explain(operator, arrays(across), act=True, state=arrays(start), **options)) is Loop.SHORT
    found, last = ms.act(operator, arrays(across), arrays(start), **options)
    for j in (0, 31, 66):
        own = tree.map_leaves(lambda x, j=j: x[j], start)
        expected = fold(step, begin, tree.map_leaves(lambda x, j=j: x[:, j], xs), own, reverse, True)
        _close(tree.map_leaves(lambda y, j=j: y[j], found), expected[0])
        _close(tree.map_leaves(lambda y, j=j: y[j], last), expected[1])


def _close(found: Any, expected: Any) -> None:
    left, right = tree.flatten(found), tree.flatten(expected)
    assert left[1] == right[1]
    for x, y in zip(left[0], right[0], strict=True):
        np.testing.assert_allclose(np.array(x), y, rtol=3e-4, atol=3e-4)


Step = Callable[[Any, Any], Any]
EXACT: list[tuple[str, ms.Semigroup, tuple[int, ...], tuple[int, ...], Step]] = [
    ("Affine", ms.Affine(), (), (), lambda h, x: x[0] * h + x[1]),
    ("MaxPlusAffine", ms.MaxPlusAffine(), (), (), lambda w, x: mx.maximum(w + x[0], x[1])),
    ("MatrixAffine", ms.MatrixAffine(), (2, 2), (2,),
     lambda h, x: (x[0][..., :, 0] * h[..., :1] + x[0][..., :, 1] * h[..., 1:]) + x[1]),
    ("Semidirect", ms.Dual(ms.Semidirect(ms.Product(), ms.Sum())), (), (), lambda h, x: x[0] * h + x[1]),
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "loop"),
    thinned([(case[0], loop) for case in EXACT for loop in COLUMNS], [(case[0], Loop.PANELS) for case in EXACT[1:]]
            + [("Affine", loop) for loop in COLUMNS]),
)  # fmt: skip
def test_states_have_the_bits_of_a_loop_of_array_operations(name: str, loop: Loop) -> None:
    _, operator, gate, event, step = next(case for case in EXACT if case[0] == name)
    count = COLUMNS[loop]
    a, b, h = (mx.random.normal(shape) for shape in ((70, count, *gate), (70, count, *event), (count, *event)))
    a = a * 0.5
    found = ms.act(operator, (a, b), h, strategy="sequential" if loop is Loop.SEQUENTIAL else "auto")
    for t in range(70):
        h = step(h, (a[t], b[t]))
        assert mx.array_equal(found[t], h)


@pytest.mark.parametrize("shape", [(9, 40, 64), (9, 3, 700), (1, 64, 2000)])
def test_bits_do_not_depend_on_the_number_of_threads(shape: tuple[int, int, int]) -> None:
    rows, steps, count = shape
    a, b = mx.random.uniform(shape=(rows, steps, count)), mx.random.normal((rows, steps, count))
    weights = mx.random.normal((rows, steps, count))
    bridge = build.load()

    def run(a: mx.array, b: mx.array) -> mx.array:
        return (ms.act(ms.Affine(), (a, b), axis=1) * weights).sum()

    before, found = bridge.threads(), []
    try:
        for threads in (1, 3):
            bridge.set_threads(threads)
            found.append([ms.act(ms.Affine(), (a, b), axis=1), *mx.grad(run, (0, 1))(a, b)])
            mx.eval(found)
    finally:
        bridge.set_threads(before)
    for one, many in zip(*found, strict=True):
        assert mx.array_equal(one, many)


@pytest.mark.parametrize("count", [1, 19])
def test_a_shapeless_function_takes_other_lengths(count: int) -> None:
    def pair(n: int) -> list[mx.array]:
        return [mx.random.uniform(shape=(n, count)), mx.random.normal((n, count)), mx.random.normal((count,))]

    given = mx.compile(lambda a, b, h: ms.act(ms.Affine(), (a, b), h, return_carry=True), shapeless=True)
    begun = mx.compile(lambda a, b: ms.act(ms.Affine(), (a, b)), shapeless=True)
    for n in (5, 17, 1):
        a, b, h = pair(n)
        states, last = given(a, b, h)
        _close(states, np.array(ms.act(ms.Affine(), (a, b), h, strategy="sequential")))
        _close(last, np.array(states[-1]))
        _close(begun(a, b), np.array(ms.act(ms.Affine(), (a, b), strategy="sequential")))


@pytest.mark.long
def test_an_array_is_read_where_it_stands_whatever_its_strides() -> None:
    a, b = mx.random.uniform(shape=(33, 70)), mx.random.normal((33, 70))
    expected = ms.act(ms.Affine(), (a, b), axis=1, strategy="sequential")
    turned = mx.contiguous(a.T), mx.contiguous(b.T)
    assert mx.array_equal(ms.act(ms.Affine(), turned, axis=0).T, expected)
    back = a[:, ::-1], b[:, ::-1]
    for strategy in ("auto", "sequential"):
        ordered = ms.act(ms.Affine(), (turned[0].T, turned[1].T), axis=1, strategy=strategy)
        reverse = ms.act(ms.Affine(), back, axis=1, reverse=True, strategy=strategy)[:, ::-1]
        _close((ordered, reverse), (np.array(expected),) * 2)


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_an_act_that_is_a_part_of_the_products_has_the_kernel_of_their_scan(given: bool, reverse: bool) -> None:
    for shape in ((1, 3000), (3, 400), (300, 5), (40, 19)):
        a, b = mx.random.uniform(shape=shape), mx.random.normal(shape)
        axis = int(shape[0] < 10)
        h = mx.random.normal(shape[:axis] + shape[axis + 1 :]) if given else None
        options: dict[str, Any] = {"axis": axis, "reverse": reverse, "return_carry": True}
        found = ms.act(ms.Affine(), (a, b), h, **options)
        expected = ms.linear_recurrence(a, b, h, **options)
        assert all(mx.array_equal(x, y) for x, y in zip(found, expected, strict=True))
        explained = ms.explain(ms.Affine(), (a, b), act=True, state=h, axis=axis)
        assert loop_of(explained) is loop_of(ms.explain(ms.Affine(), (a, b), axis=axis))


def test_states_that_products_hold_are_exclusive_and_finite_as_in_order() -> None:
    a, b = mx.full((3, 4000), 1.01), mx.zeros((3, 4000))
    found = ms.act(ms.Affine(), (a, b), mx.zeros((3,)), axis=1, inclusive=False)
    assert loop_of(ms.explain(ms.Affine(), (a, b), act=True, state=mx.zeros((3,)), axis=1)) is Loop.ROWS
    assert not mx.any(found != 0).item()
    b = mx.random.normal((3, 4000))
    h = mx.random.normal((3,))
    states = ms.act(ms.Affine(), (a * 0.9, b), h, axis=1)
    before = ms.act(ms.Affine(), (a * 0.9, b), h, axis=1, inclusive=False)
    assert mx.array_equal(before[:, 0], h)
    np.testing.assert_allclose(np.array(before[:, 1:]), np.array(states[:, :-1]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_row_that_is_copied_in_tiles_has_the_bits_of_one_that_is_not(reverse: bool) -> None:
    n = 1300  # more than two tiles, the last one shorter
    gate, wide, b = mx.random.uniform(shape=(1,)), mx.random.uniform(shape=(n, 2)), mx.random.normal((n,))
    same, apart = mx.broadcast_to(gate, (n,)), wide[:, 0]
    for a in (same, apart):
        expected = ms.act(ms.Affine(), (mx.contiguous(a), b), reverse=reverse)
        assert mx.array_equal(ms.act(ms.Affine(), (a, b), reverse=reverse), expected)
        turned = ms.act(ms.Affine(), (b, a), reverse=reverse)
        assert mx.array_equal(turned, ms.act(ms.Affine(), (b, mx.contiguous(a)), reverse=reverse))


def test_numbers_of_begin_come_from_the_table_too() -> None:
    def halved(rate: float) -> ms.Semigroup:
        action = ms.Action(lambda s, x: s * rate + x * 0.3, lambda x: x * (rate + 0.1))
        return ms.monoid(mx.add, right=action, name="halved")

    x = mx.random.normal((6, 19))
    sources = set()
    for rate in (0.7, 0.6):
        found = ms.act(halved(rate), x)
        h = x[0] * (rate + 0.1)
        np.testing.assert_allclose(np.array(found[0]), np.array(h), rtol=1e-6)
        np.testing.assert_allclose(np.array(found[1]), np.array(h * rate + x[1] * 0.3), rtol=1e-5)
        sources.add(ms.explain(halved(rate), x, act=True).source)
    assert len(sources) == 1
