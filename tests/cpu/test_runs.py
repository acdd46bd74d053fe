"""Acts by runs of a row side by side: in order, from true states, finite where the fold in order is."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from act_cases import CASES, N, arrays, fold
from broken_headers import break_header
from loop_driver import Call
from selection import thinned
from test_act_kernels import loop_of
from test_loops_order import SWITCHES, check, intervals, witness

import monoscan as ms
from monoscan import tree
from monoscan.lowering.plan.loops import Candidates
from monoscan.lowering.program.nonfinite import Kinds
from monoscan.lowering.render import KernelSpec, Loop
from monoscan.lowering.render.spec import Parts
from monoscan.lowering.targets.cpu import build

NOTHING: tuple[Kinds, ...] = (frozenset(),) * 3
LENGTHS = [1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257, 383, 384, 513, 700, 1100]
"""Around blocks of 64, 128 and 256 steps: of two vectors of 4, 8 and 16 runs, of 8 or 16 steps."""


def witness_spec(reverse: bool, inclusive: bool, vector_bytes: int = 32) -> KernelSpec:
    """States are intervals too, which an element acts on as on its like."""
    return KernelSpec(
        combine=witness(), compose=witness(), parts=Parts((), (), NOTHING, NOTHING), action=True, loop=Loop.RUNS,
        elements=("int32",) * 3, results=("int32",) * 3, emit=(0, 1, 2), reverse=reverse, inclusive=inclusive,
        vector_bytes=vector_bytes,
    )  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("vector_bytes", thinned([16, 32, 64], [32]))
@pytest.mark.parametrize(("reverse", "inclusive"), thinned(SWITCHES, [(True, False)]))
def test_every_length_is_in_order(reverse: bool, inclusive: bool, vector_bytes: int) -> None:
    kernel = witness_spec(reverse, inclusive, vector_bytes)
    for n in LENGTHS:
        check(kernel, (2, n, 1), with_init=True)
    wide = np.zeros((2, 700, 3, 1), np.int32)
    elements = intervals((2, 700, 1), reverse)
    wide[:, :, 1] = elements[0]
    check(kernel, (2, 700, 1), with_init=True, elements=[wide[:, :, 1], *elements[1:]])


BROKEN = [
    ("put_lane(starts[run / W], run % W, h, registers());", "put_lane(starts[run / W], 0, h, registers());"),
    ("c[n], x[n], k)", "x[n], c[n], k)"),
    ("reverse ? 0 : W - 1);", "reverse ? W - 1 : 0);"),
]


@pytest.mark.parametrize(("honest", "wrong"), thinned(BROKEN, BROKEN[:1]))
def test_a_loop_out_of_order_is_caught(honest: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_header("runs.h", honest, wrong, monkeypatch)
    with pytest.raises(AssertionError):
        check(witness_spec(False, True), (1, 1100, 1), with_init=True)


# ------------------------------------------------------------------------------------------- affine maps

TURN = np.array([[0.9, 0.3], [-0.3, 0.9]], np.float32)


@functools.cache
def filter_spec(reverse: bool = False) -> KernelSpec:
    b, h = mx.zeros((1, 480_000, 2)), mx.zeros((1, 2))
    plan = ms.explain(
        ms.MatrixAffine(), (ms.fixed(mx.array(TURN)), b), axis=1, act=True, state=h, reverse=reverse
    )  # fmt: skip
    assert loop_of(plan) is Loop.RUNS
    spec = plan.kernels[0].spec
    assert isinstance(spec, KernelSpec)
    return spec


def filtered(
    turn: np.ndarray, b: np.ndarray, h: np.ndarray, varies: bool, spec: KernelSpec | None = None
) -> np.ndarray:
    """What the kernel makes of one matrix at all steps, or of as many copies."""
    gates = np.broadcast_to(turn, (*b.shape[:3], 2, 2))
    gates = np.ascontiguousarray(gates) if varies else np.broadcast_to(turn, (1, *b.shape[1:3], 2, 2))
    return Call(spec or filter_spec(), [gates, b], init=[h]).run().results[0]


def in_order(turn: np.ndarray, b: np.ndarray, h: np.ndarray) -> np.ndarray:
    found = []
    with np.errstate(all="ignore"):
        for t in range(b.shape[1]):
            h = (turn[:, 0] * h[..., :1] + turn[:, 1] * h[..., 1:]) + b[:, t]
            found.append(h)
    return np.stack(found, axis=1)


def noise(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return rng.standard_normal((1, n, 1, 2), np.float32), rng.standard_normal((1, 1, 2), np.float32)


@pytest.mark.parametrize("n", [511, 512, 2000])
def test_states_are_those_in_order_whether_gates_are_stored_or_not(n: int) -> None:
    b, h = noise(n)
    once, stored = filtered(TURN, b, h, False), filtered(TURN, b, h, True)
    np.testing.assert_array_equal(once, stored)
    np.testing.assert_allclose(once, in_order(TURN.astype(float), b, h), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_products_that_overflow_are_no_states(reverse: bool, varies: bool) -> None:
    b, h = np.zeros((1, 3000, 1, 2), np.float32), np.zeros((1, 1, 2), np.float32)
    grows = np.array([[1e3, 0], [0, 1e3]], np.float32)
    assert not filtered(grows, b, h, varies, filter_spec(reverse)).any()
    b[0, -1 if not reverse else 0] = 7  # the last step
    found = filtered(grows, b, h, varies, filter_spec(reverse))
    assert found.sum() == 14
    assert np.isfinite(found).all()


@pytest.mark.parametrize("varies", [False, True])
def test_what_comes_before_the_first_value_that_is_not_finite_keeps_its_bits(varies: bool) -> None:
    b, h = noise(3000)
    clean = filtered(TURN, b, h, varies)
    for bad in (np.nan, np.inf, -np.inf):
        for t in (0, 700, 1030, 2999):
            spoilt = b.copy()
            spoilt[0, t, 0, 0] = bad
            found = filtered(TURN, spoilt, h, varies)
            np.testing.assert_array_equal(found[0, :t], clean[0, :t])
            np.testing.assert_array_equal(np.isfinite(found), np.isfinite(in_order(TURN, spoilt, h)))


def test_a_loop_that_does_not_look_at_its_products_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    b, h = np.zeros((1, 3000, 1, 2), np.float32), np.zeros((1, 1, 2), np.float32)
    break_header(
        "runs.h", "if (!any(any_bad)) return RUNS;", "if (!any(any_bad) || RUNS > 0) return RUNS;", monkeypatch
    )
    spec = attrs.evolve(filter_spec())
    assert np.isnan(filtered(np.array([[1e3, 0], [0, 1e3]], np.float32), b, h, True, spec)).any()


def test_a_decaying_impulse_ends_at_zero_and_not_before() -> None:
    b, h = np.zeros((1, 5000, 1, 2), np.float32), np.array([[[1.0, 0.0]]], np.float32)
    found, expected = filtered(TURN * np.float32(0.95), b, h, False), in_order(TURN * np.float32(0.95), b, h)
    sizes = np.linalg.norm(expected.astype(float), axis=-1, keepdims=True)
    assert (np.abs(found - expected) <= 1e-3 * sizes + 16 * 2.0**-126).all()
    assert not found[0, -1].any()


# -------------------------------------------------------------------------------------------- by the public call


def test_many_rows_have_the_bits_of_one_in_any_number_of_threads() -> None:
    b, h = mx.random.normal((6, 9000, 2)), mx.random.normal((6, 2))
    turn, bridge = ms.fixed(mx.array(TURN)), build.load()
    plan = ms.explain(ms.MatrixAffine(), (turn, b), axis=1, act=True, state=h)
    assert loop_of(plan) is Loop.RUNS
    assert "fixed     leaves 0: the same at every step, multiplied once for all runs" in str(plan)
    before, found = bridge.threads(), []
    try:
        for threads in (1, 3):
            bridge.set_threads(threads)
            found.append(ms.act(ms.MatrixAffine(), (turn, b), h, axis=1))
            mx.eval(found)
    finally:
        bridge.set_threads(before)
    assert mx.array_equal(*found)
    one = ms.act(ms.MatrixAffine(), (turn, b[2:3]), h[2:3], axis=1)
    assert mx.array_equal(found[0][2:3], one)


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True])
def test_extremes_have_the_bits_of_the_order(reverse: bool) -> None:
    w, b = mx.random.randint(-9, 9, (5000,)).astype(mx.float32), mx.random.randint(-99, 99, (5000,)).astype(mx.float32)
    plan = ms.explain(ms.MaxPlusAffine(), (w, b), act=True, state=mx.array(0.0))
    assert loop_of(plan) is Loop.RUNS
    assert "each from its true state" in str(plan)
    for state in (mx.array(0.0), None):
        options: dict[str, Any] = {"reverse": reverse, "return_carry": True}
        found = ms.act(ms.MaxPlusAffine(), (w, b), state, **options)
        expected = ms.act(ms.MaxPlusAffine(), (w, b), state, strategy="sequential", **options)
        assert all(mx.array_equal(x, y) for x, y in zip(found, expected, strict=True))


def test_matrices_that_are_stored_go_in_order() -> None:
    a, b = mx.zeros((1, 480_000, 2, 2)), mx.zeros((2, 480_000, 2))
    assert loop_of(ms.explain(ms.MatrixAffine(), (a, b), axis=1, act=True, state=mx.zeros((2,)))) is not Loop.RUNS


def test_gradients_are_those_of_the_walk() -> None:
    b, h, weights = mx.random.normal((2, 1500, 2)), mx.random.normal((2, 2)), mx.random.normal((2, 1500, 2))

    def loss(turn: mx.array, b: mx.array, h: mx.array, strategy: str) -> mx.array:
        return (ms.act(ms.MatrixAffine(), (ms.fixed(turn), b), h, axis=1, strategy=strategy) * weights).sum()

    found, expected = (mx.grad(loss, (0, 1, 2))(mx.array(TURN), b, h, how) for how in ("auto", "sequential"))
    for x, y in zip(found, expected, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-4, atol=1e-4)


def test_tangents_are_those_of_the_gradient() -> None:
    """Products of elements and their tangents are none of the kernel's."""
    arrays = [mx.array(TURN), mx.random.normal((2, 20_000, 2)), mx.random.normal((2, 2))]
    weights = mx.random.normal((2, 20_000, 2))

    def loss(turn: mx.array, b: mx.array, h: mx.array) -> mx.array:
        return (ms.act(ms.MatrixAffine(), (ms.fixed(turn), b), h, axis=1) * weights).sum()

    given = (ms.fixed(arrays[0]), arrays[1])
    assert loop_of(ms.explain(ms.MatrixAffine(), given, axis=1, act=True, state=arrays[2])) is Loop.RUNS
    moved = [mx.random.normal(x.shape) * 0.1 for x in arrays]
    ((slope,),) = mx.jvp(lambda *x: [loss(*x)], arrays, moved)[1:]
    terms = [(d * t).sum().item() for d, t in zip(mx.grad(loss, (0, 1, 2))(*arrays), moved, strict=True)]
    assert slope.item() == pytest.approx(sum(terms), abs=1e-4 * sum(map(abs, terms)))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", thinned([case[0] for case in CASES], ["KalmanFilter", "Maybe"]))
@pytest.mark.parametrize("reverse", thinned([False, True], [True]))
def test_every_action_by_runs_is_the_fold_in_order(name: str, reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Candidates.fastest
    asked: list[bool] = []

    def by_runs(could: Candidates, steps: int) -> int:
        runs = [number for number, kernel in enumerate(could.kernels) if kernel.loop is Loop.RUNS]
        asked.append(bool(runs))
        return runs[0] if runs else chosen(could, steps)

    monkeypatch.setattr(Candidates, "fastest", by_runs)
    _, operator, elems, state, step, begin = next(case for case in CASES if case[0] == name)
    picked = np.random.default_rng(1).integers(0, N, 901)
    xs = tree.map_leaves(lambda x: np.asarray(x)[picked], elems)
    found, last = ms.act(operator, arrays(xs), arrays(state), reverse=reverse, return_carry=True)
    if not any(asked):
        pytest.skip("its products do not tell when they are broken, or it has no kernel of its own")
    expected = fold(step, begin, xs, state, reverse, True)
    for got, want in zip((found, last), expected, strict=True):
        for x, y in zip(tree.flatten(got)[0], tree.flatten(want)[0], strict=True):
            np.testing.assert_allclose(np.array(x), y, rtol=3e-3, atol=1e-3)
