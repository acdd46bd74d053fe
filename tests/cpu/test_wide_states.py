"""Acts, loops and aggregators on states of many lanes: loops over arrays, against folds in order by NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from selection import thinned
from wide_support import elements_of_a_filter

import monoscan as ms
from monoscan.lowering.plan import fused_act
from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.program.unroll import unroll
from monoscan.lowering.render.scan_spec import Loop

pytestmark = pytest.mark.usefixtures("kernels_are_built")

ROWS = {Loop.EVENTS: 1, Loop.BATCH: 37}
"""How many rows a loop is tried on: a vector holds lanes of one state, or one lane of many."""

T, K = 11, 10
Array = np.ndarray


def numbers(shape: Sequence[int], seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=tuple(shape)).astype(np.float32)


def log_row(s: Array, m: Array) -> Array:
    terms = s[..., :, None] + m
    top = terms.max(-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (
            np.log(np.exp(terms - np.where(np.isinf(top), 0, top)).sum(-2)) + np.where(np.isinf(top), 0, top)[..., 0, :]
        )
    return found


ACTS: dict[str, tuple[ms.Semigroup, Callable[[Array, Array], Array]]] = {
    "matmul": (ms.MatMul(), lambda s, m: (s[..., None, :] @ m)[..., 0, :]),
    "log": (ms.SemiringMatMul(ms.Log()), log_row),
    "best": (ms.SemiringMatMul(ms.MaxPlus()), lambda s, m: (s[..., :, None] + m).max(-2)),
    "column": (ms.Dual(ms.MatMul()), lambda s, m: (m @ s[..., None])[..., 0]),
}
QUICK = [("matmul", Loop.EVENTS), ("best", Loop.BATCH)]


def in_order(
    step: Callable[..., Any], xs: Array, state: Array, *, reverse: bool = False, inclusive: bool = True
) -> Array:
    """States in array order; the steps go along axis 1."""
    state, found = state.astype(np.float64), np.zeros((xs.shape[1], *state.shape))
    for t in range(xs.shape[1])[:: -1 if reverse else 1]:
        after = step(state, xs[:, t].astype(np.float64))
        found[t] = after if inclusive else state
        state = after
    return np.moveaxis(found, 0, 1)


def loop_of(plan: Any) -> Loop:
    kernels = [plan.kernel] if hasattr(plan, "kernel") else plan.kernels
    (kernel,) = kernels
    assert isinstance(kernel, Fused)
    return kernel.spec.loop


@pytest.mark.parametrize(("name", "loop"), thinned([(n, loop) for n in ACTS for loop in ROWS], QUICK))
def test_acts_are_the_fold_in_order(name: str, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_act, "rolled", lambda _, spec, *__: [attrs.evolve(spec, loop=loop)])
    operator, step = ACTS[name]
    rows = ROWS[loop]
    m, state = numbers((rows, T, K, K)) / 3, numbers((rows, K), 1)
    for reverse, inclusive in ((False, True), (True, True), (False, False)):
        options: dict[str, Any] = {"axis": 1, "reverse": reverse, "inclusive": inclusive}
        plan = ms.explain(operator, mx.array(m), act=True, state=mx.array(state), **options)
        assert loop_of(plan) is loop
        found = ms.act(operator, mx.array(m), mx.array(state), **options)
        want = in_order(step, m, state, reverse=reverse, inclusive=inclusive)
        np.testing.assert_allclose(np.array(found), want, rtol=2e-5, atol=2e-5)


def test_a_first_element_begins_the_state() -> None:
    elements = tuple(elements_of_a_filter(8, 6))
    plan = ms.explain(ms.KalmanFilter(), elements, act=True)
    assert loop_of(plan) is Loop.EVENTS
    assert "begun by the first element; one after another" in str(plan)
    states = ms.act(ms.KalmanFilter(), elements)
    whole = ms.scan(ms.KalmanFilter(), elements, strategy="sequential")
    for found, want in zip(states, whole[1:3], strict=True):
        np.testing.assert_allclose(np.array(found), np.array(want), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", thinned(ACTS, ["matmul", "log"]))
def test_array_programs_mean_the_scalar_programs(name: str) -> None:
    """Where both exist, a fold in order by scalar code and one by loops over arrays agree."""
    operator, count = ACTS[name][0], 9
    m, state = mx.array(numbers((2, T, count, count)) / 3), mx.array(numbers((2, count), 1))
    plan = ms.explain(operator, m, axis=1, act=True, state=state)
    assert loop_of(plan) is Loop.EVENTS
    acts = plan.problem.acts
    assert acts is not None
    assert acts.act.program is not None
    assert acts.act.arrays is not None
    assert unroll(acts.act.arrays).outputs == acts.act.program.outputs
    plain = np.array(ms.act(operator, m, state, axis=1, strategy="sequential"))
    found = np.array(ms.act(operator, m, state, axis=1))
    if name == "log":
        np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-5)
    else:  # + - * and extremes: the same bits
        assert np.array_equal(found, plain)


def gated(h: mx.array, x: mx.array, w: mx.array) -> mx.array:
    """A gated recurrent unit; Cho et al., EMNLP 2014."""
    n = h.shape[-1]
    g = h @ w
    reset, keep = (mx.sigmoid(x[..., i * n : (i + 1) * n] + g[..., i * n : (i + 1) * n]) for i in (0, 1))
    return (1 - keep) * mx.tanh(x[..., 2 * n :] + reset * g[..., 2 * n :]) + keep * h


def run_gated(x: mx.array, h: mx.array, w: mx.array) -> mx.array:
    def step(h: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
        h = gated(h, x, w)
        return h, h

    return ms.loop(step, x, h, event=1, state_event=1)


@pytest.mark.parametrize("rows", [1, pytest.param(37, marks=pytest.mark.long)])
@pytest.mark.parametrize("units", thinned([12, 64], [64]))
def test_loops_read_captured_weights(units: int, rows: int) -> None:
    w, x, h = numbers((units, 3 * units)) / units**0.5, numbers((T, rows, 3 * units), 1), numbers((rows, units), 2)
    found = run_gated(*map(mx.array, (x, h, w)))
    state, want = mx.array(h), []
    for t in range(T):
        state = gated(state, mx.array(x[t]), mx.array(w))
        want.append(np.array(state))
    np.testing.assert_allclose(np.array(found), np.stack(want), rtol=2e-5, atol=2e-6)


class Filtered(ms.Aggregator):
    """The forward algorithm in log space; Rabiner, Proceedings of the IEEE 1989."""

    operator, event = ms.SemiringMatMul(ms.Log()), (2, 1)

    def prepare(self, moves: mx.array, seen: mx.array) -> mx.array:
        return moves + seen

    def present(self, state: mx.array, moves: mx.array, seen: mx.array) -> mx.array:
        return state - mx.logsumexp(state)


def filtered(moves: Array, seen: Array, start: Array) -> Array:
    states = in_order(lambda s, e: log_row(s, moves.astype(np.float64)) + e, seen, start)
    return states - np.logaddexp.reduce(states, axis=-1, keepdims=True)


@pytest.mark.parametrize(("states", "rows"), thinned([(8, 1), (64, 1), (32, 1), (10, 37)], [(64, 1), (10, 37)]))
def test_aggregators_read_fixed_matrices(states: int, rows: int) -> None:
    moves, seen, start = numbers((states, states)), numbers((rows, T, states), 1), numbers((rows, states), 2)
    inputs = ms.fixed(mx.array(moves)), mx.array(seen)
    plan = ms.explain(Filtered(), inputs, axis=1, state=mx.array(start))
    assert loop_of(plan) in ROWS
    assert "read once for all steps" in str(plan)
    found, last = ms.scan(Filtered(), inputs, axis=1, state=mx.array(start), return_carry=True)
    np.testing.assert_allclose(np.array(found), filtered(moves, seen, start), rtol=1e-4, atol=1e-5)
    step = mx.array(start)
    for part in (slice(0, 4), slice(4, T)):
        again = step = ms.scan(Filtered(), (inputs[0], inputs[1][:, part]), axis=1, state=step, return_carry=True)[1]
    assert np.array_equal(np.array(again), np.array(last))


def test_what_cannot_follow_is_minus_infinity() -> None:
    """A chain from left to right: most moves are impossible, and sums of exponentials would underflow."""
    moves = np.full((16, 16), -np.inf, np.float32)
    for i in range(16):
        moves[i, i], moves[i, min(i + 1, 15)] = np.log(0.5), np.log(0.5)
    seen, start = 40 * numbers((1, 60, 16), 1), np.full((1, 16), -np.inf, np.float32)
    start[:, 0] = 0
    inputs = ms.fixed(mx.array(moves)), mx.array(seen)
    found = np.array(ms.scan(Filtered(), inputs, axis=1, state=mx.array(start)))
    np.testing.assert_allclose(found, filtered(moves, seen, start), rtol=1e-4, atol=1e-3)


def test_an_emission_that_is_no_number_stays_in_its_state() -> None:
    moves, seen = numbers((10, 10)), numbers((1, 4, 10), 1)
    seen[0, 0, 3], seen[0, 3, 4] = -np.inf, np.nan
    inputs = ms.fixed(mx.array(moves)), mx.array(seen)
    _, last = ms.scan(Filtered(), inputs, axis=1, state=mx.zeros((1, 10)), return_carry=True)
    assert np.isnan(np.array(last)).nonzero()[1].tolist() == [4]


def differences(f: Callable[..., mx.array], arrays: list[mx.array], i: int) -> tuple[float, float]:
    """The derivative along a direction: from the gradient, and from two ends of a step."""
    direction = mx.array(numbers(arrays[i].shape, 9))
    found = (mx.grad(f, argnums=i)(*arrays) * direction).sum().item()
    h = 1e-2
    ends = [f(*arrays[:i], arrays[i] + s * h * direction, *arrays[i + 1 :]).item() for s in (1, -1)]
    return float(found), (ends[0] - ends[1]) / (2 * h)


def hidden(moves: mx.array, seen: mx.array, start: mx.array) -> mx.array:
    return (ms.scan(Filtered(), (ms.fixed(moves), seen), axis=1, state=start) * mx.array(numbers(seen.shape, 7))).sum()


def recurrent(x: mx.array, h: mx.array, w: mx.array) -> mx.array:
    return (run_gated(x, h, w) * mx.array(numbers((*x.shape[:-1], h.shape[-1]), 7))).sum()


@pytest.mark.parametrize(("what", "rows"), thinned([(f, n) for f in ("hidden", "recurrent") for n in (1, 37)], [("recurrent", 1)]))  # fmt: skip
def test_gradients_equal_differences(what: str, rows: int) -> None:
    if what == "hidden":
        f, arrays = hidden, [numbers((9, 9)), numbers((rows, T, 9), 1), numbers((rows, 9), 2)]
    else:
        f, arrays = recurrent, [numbers((T, rows, 27), 1), numbers((rows, 9), 2), numbers((9, 27)) / 3]
    given = [mx.array(x) for x in arrays]
    for i in range(3):
        found, want = differences(f, given, i)
        assert found == pytest.approx(want, rel=2e-2, abs=2e-2), i


def test_transformations_of_one_another() -> None:
    x, h, w = (mx.array(a) for a in (numbers((3, 2, 27), 1), numbers((2, 9), 2), numbers((9, 27)) / 3))
    plain = run_gated(x, h, w)
    mapped = mx.vmap(lambda a, b: run_gated(a, b, w), in_axes=(1, 0), out_axes=1)(x, h)
    np.testing.assert_allclose(np.array(mapped), np.array(plain), rtol=1e-6)
    assert np.array_equal(np.array(mx.compile(run_gated)(x, h, w)), np.array(plain))
    direction, step = mx.array(numbers(w.shape, 5)), 1e-2
    tangent = mx.jvp(lambda a: run_gated(x, h, a), [w], [direction])[1][0]
    ends = [np.array(run_gated(x, h, w + s * step * direction), np.float64) for s in (1, -1)]
    np.testing.assert_allclose(np.array(tangent), (ends[0] - ends[1]) / (2 * step), atol=2e-3)
    slope = mx.grad(lambda a: (mx.grad(recurrent, argnums=2)(x, h, a) * direction).sum())(w)
    ends = [np.array(mx.grad(recurrent, argnums=2)(x, h, w + s * step * direction), np.float64) for s in (1, -1)]
    np.testing.assert_allclose(np.array(slope), (ends[0] - ends[1]) / (2 * step), atol=2e-2)


def test_gradients_of_captured_arrays_are_summed_in_the_kernel() -> None:
    """One total a row, whatever the number of steps: what a gradient takes beside its inputs does not grow with them."""
    x, h, w = mx.array(numbers((2000, 1, 96), 1)), mx.zeros((1, 32)), mx.array(numbers((32, 96)) / 6)
    mx.eval(x, h, w)
    held = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(mx.grad(recurrent, argnums=2)(x, h, w))
    assert mx.get_peak_memory() - held < 8 * x.nbytes < 2000 * w.nbytes


def test_half_inputs_add_up_in_float32() -> None:
    m, state = numbers((1, T, K, K)) / 3, numbers((1, K), 1)
    halves = [mx.array(a).astype(mx.float16) for a in (m, state)]
    found = ms.act(ms.MatMul(), *halves, axis=1)
    assert found.dtype == mx.float16
    want = in_order(ACTS["matmul"][1], *(np.array(a, np.float64) for a in halves))
    np.testing.assert_allclose(np.array(found, np.float64), want, rtol=2e-3, atol=1e-3)


def delta(row: Any, x: tuple[Any, ...]) -> tuple[Any, Any]:
    """One row of the state of a gated delta rule: keys are read by all rows; Yang, Kautz and Hatamizadeh, 2024."""
    query, key, value, gate = x
    row = row * gate[..., None]
    row = row + (value - (row * key).sum(-1))[..., None] * key
    return row, (row * query).sum(-1)


def run_delta(query: mx.array, key: mx.array, value: mx.array, gate: mx.array, state: mx.array) -> mx.array:
    return ms.loop(delta, (query, key, value, gate), state, event=(1, 1, 0, 0), state_event=1)


@pytest.mark.long
@pytest.mark.parametrize(("rows", "keys"), [(32, 40), (20, 40), (32, 9)])
def test_rows_side_by_side_share_what_they_read(rows: int, keys: int) -> None:
    heads = 3
    shapes = [(T, heads, 1, keys), (T, heads, 1, keys), (T, heads, rows), (T, heads, 1), (heads, rows, keys)]
    arrays = [numbers(shape, i) for i, shape in enumerate(shapes)]
    arrays[1] /= np.linalg.norm(arrays[1], axis=-1, keepdims=True)
    arrays[3] = 1 / (1 + np.exp(-arrays[3]))
    *xs, state = (a.astype(np.float64) for a in arrays)
    want = []
    for x in zip(*xs, strict=True):
        state, y = delta(state, x)
        want.append(y)
    given = [mx.array(a) for a in arrays]
    np.testing.assert_allclose(np.array(run_delta(*given)), np.stack(want), rtol=1e-4, atol=1e-5)
    # with another axis of the batch in front, of keys and not of values, rows share them all the same
    both = mx.stack([given[1], -given[1]])
    mapped = mx.vmap(lambda key: run_delta(given[0], key, *given[2:]))(both)
    for found, key in zip(mapped, both, strict=True):
        np.testing.assert_allclose(
            np.array(found), np.array(run_delta(given[0], key, *given[2:])), rtol=1e-5, atol=1e-6
        )
    for i in (1, 2):
        found, slope = differences(lambda *a: (run_delta(*a) * mx.array(np.stack(want)) / 50).sum(), given, i)
        assert found == pytest.approx(slope, rel=2e-2, abs=2e-2)


def test_states_that_read_one_another_are_not_overwritten() -> None:
    """The new state of one leaf is what the other was, and an output shows a state before its step."""

    def step(state: tuple[mx.array, mx.array], x: mx.array) -> tuple[tuple[mx.array, mx.array], mx.array]:
        a, b = state
        return (b + x, a[::-1] * 0.5), a

    x, a, b = numbers((T, 12)), numbers((12,), 1), numbers((12,), 2)
    found = ms.loop(step, mx.array(x), (mx.array(a), mx.array(b)), event=1, state_event=1)
    for t in range(T):
        np.testing.assert_allclose(np.array(found[t]), a, rtol=1e-6)
        a, b = b + x[t], a[::-1] * np.float32(0.5)


@pytest.mark.parametrize("terms", [32, 33, 200])
def test_many_terms_are_summed_in_halves(terms: int) -> None:
    """Of more than 32; the error of a sum in halves is smaller than that in order."""
    x = np.abs(numbers((4, terms), 3)) * 1e3 + 1
    ys = ms.loop(lambda s, x: (s * 0.5, (s * x).sum()), mx.array(x), mx.ones((terms,)), event=1, state_event=1)
    want = [(x[t].astype(np.float64) * 0.5**t).sum() for t in range(4)]
    np.testing.assert_allclose(np.array(ys), want, rtol=4e-7)


def corrected(s: Any, x: tuple[Any, Any]) -> tuple[Any, Any]:
    """A matrix corrected where a key is, and read by another: sums along its rows and its columns as they are computed."""
    key, value = x
    s = s * 0.9
    s = s + key[:, None] * (value - (s * key[:, None]).sum(0))
    return s, ((s * s).sum(1), (s * s).max(0))


@pytest.mark.parametrize("rows", [1, pytest.param(18, marks=pytest.mark.long)])
@pytest.mark.parametrize("terms", thinned([40, 9], [40]))
def test_terms_are_folded_as_they_are_computed(terms: int, rows: int) -> None:
    keys, values, start = numbers((T, rows, terms), 1) / 4, numbers((T, rows, 20), 2), numbers((rows, terms, 20), 3)
    given = (mx.array(keys), mx.array(values))
    found = ms.loop(corrected, given, mx.array(start), event=(1, 1), state_event=2)
    for r in range(rows):
        s = start[r].astype(np.float64)
        for t in range(T):
            s, want = corrected(s, (keys[t, r].astype(np.float64), values[t, r].astype(np.float64)))
            for y, expected in zip(found, want, strict=True):
                np.testing.assert_allclose(np.array(y[t, r]), expected, rtol=2e-4, atol=1e-5)
