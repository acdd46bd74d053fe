"""Aggregators in vectors along a row: prepared as they are read and presented as they are written, against float64."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from broken_headers import break_header
from selection import thinned

import monoscan as ms
from monoscan.cache import Cache
from monoscan.lowering.plan.loops import Candidates
from monoscan.lowering.render import Loop
from monoscan.lowering.targets.cpu import kernels, target
from monoscan.scan import fuse

SIZES = [1, 2, 7, 63, 64, 65, 1000, 100_003]
RNG = np.random.default_rng(16)


@pytest.fixture(autouse=True)
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[Loop]:
    """The loop along rows, or that by runs, wherever there is one, at any length; all that were chosen."""
    chosen, taken, wanted = Candidates.fastest, list[Loop](), getattr(request, "param", Loop.ROWS)

    def fastest(self: Candidates, steps: int) -> int:
        could = [kernel.loop for kernel in self.kernels]
        number = could.index(wanted) if wanted in could else chosen(self, steps)
        taken.append(could[number])
        return number

    monkeypatch.setattr(Candidates, "fastest", fastest)
    monkeypatch.setattr(fuse, "PLANS", Cache(64))
    return taken


class Advantages(ms.Aggregator):
    """Exponentials in front and behind, a fixed input, and a state that is read beside an input."""

    operator = ms.Affine()

    def prepare(self, gate: mx.array, x: mx.array, weight: mx.array) -> Any:
        return mx.exp(-gate * weight), x * gate

    def present(self, state: mx.array, gate: mx.array, x: mx.array, weight: mx.array) -> Any:
        return state * weight + x, mx.tanh(state)

    @staticmethod
    def drawn(n: int) -> list[Any]:
        return [RNG.random(n).astype(np.float32), RNG.normal(size=n).astype(np.float32)]

    @staticmethod
    def given(inputs: list[Any]) -> tuple[Any, ...]:
        return (*map(mx.array, inputs), ms.fixed(mx.array(0.5)))

    @staticmethod
    def folded(inputs: list[Any], start: Any, inclusive: bool = True) -> tuple[list[Any], Any]:
        gate, x = (np.asarray(each, np.float64) for each in inputs)
        h, shown = start, np.zeros((2, len(x)))
        for t in range(len(x)):
            before, h = h, (0 if h is None else np.exp(-gate[t] * 0.5) * h) + x[t] * gate[t]
            state = h if inclusive else before
            shown[:, t] = state * 0.5 + x[t], np.tanh(state)
        return list(shown), h


def loop_of(plan: Any) -> Loop:
    assert plan.kernel is not None, str(plan)
    loop: Loop = plan.kernel.spec.loop
    return loop


def close(found: Any, expected: Any, tolerance: float = 2e-5) -> None:
    np.testing.assert_allclose(np.array(found.astype(mx.float32)), expected, rtol=tolerance, atol=tolerance)


LOOPS = [Loop.ROWS, Loop.RUNS]
OPTIONS = [
    (loop, kind, reverse) for loop in LOOPS for kind in ("begun", "given", "exclusive") for reverse in (False, True)
]
QUICK = [(Loop.ROWS, "begun", True), (Loop.RUNS, "exclusive", False)]


@pytest.mark.parametrize(("loops", "kind", "reverse"), thinned(OPTIONS, QUICK), indirect=["loops"])
def test_every_length_and_option(loops: list[Loop], kind: str, reverse: bool) -> None:
    start = None if kind == "begun" else 1.5
    options = {"reverse": reverse, "inclusive": kind != "exclusive", "return_carry": True}
    state = None if start is None else mx.array(start)
    for n in SIZES:
        inputs = Advantages.drawn(n)
        turned = [x[::-1] for x in inputs] if reverse else inputs
        expected, last = Advantages.folded(turned, start, kind != "exclusive")
        found, carry = ms.scan(Advantages(), Advantages.given(inputs), state=state, **options)
        assert {*loops} in ({Loop.ROWS}, {Loop.RUNS})
        for y, wanted in zip(found, expected, strict=True):
            close(y, wanted[::-1] if reverse else wanted)
        close(carry, last)


def test_rows_batches_and_strides() -> None:
    """Rows that do not lie ready go through tiles; batch axes of what is fixed stay with their rows."""
    inputs = [np.stack([x, y]) for x, y in zip(Advantages.drawn(700), Advantages.drawn(700), strict=True)]
    wide = [mx.repeat(mx.array(x), 2, axis=1)[:, ::2] for x in inputs]
    weights = ms.fixed(mx.array([[0.5], [0.5]])[:, 0])
    assert loop_of(ms.explain(Advantages(), (*wide, weights), axis=1)) is Loop.ROWS
    found = ms.scan(Advantages(), (*wide, weights), axis=1)
    for row in (0, 1):
        expected, _ = Advantages.folded([x[row] for x in inputs], None)
        close(found[0][row], expected[0]), close(found[1][row], expected[1])


@pytest.mark.parametrize("loops", thinned(LOOPS, LOOPS[:1]), indirect=True)
def test_lengths_masks_and_offsets(loops: list[Loop]) -> None:
    inputs = Advantages.drawn(300)
    rows = [mx.array(np.stack([x, x])) for x in inputs]
    weight = ms.fixed(mx.array(0.5))
    found = ms.scan(Advantages(), (*rows, weight), axis=1, lengths=mx.array([300, 170]), state=mx.array(1.0))[0]
    for row, length in enumerate((300, 170)):
        expected, _ = Advantages.folded([x[:length] for x in inputs], 1.0)
        close(found[row, :length], expected[0])
        assert not np.array(found[row, length:]).any()
    offsets = [0, 120, 120, 290]
    found, carry = ms.scan(
        Advantages(), Advantages.given(inputs), offsets=mx.array(offsets), state=mx.array(1.0), return_carry=True
    )
    for k in range(3):
        part = [x[offsets[k] : offsets[k + 1]] for x in inputs]
        expected, last = Advantages.folded(part, 1.0)
        close(found[0][offsets[k] : offsets[k + 1]], expected[0]), close(carry[k], last)
    mask = RNG.random(300) < 0.7
    found = ms.scan(Advantages(), Advantages.given(inputs), mask=mx.array(mask), state=mx.array(1.0))[0]
    expected, _ = Advantages.folded([x[mask] for x in inputs], 1.0)
    close(mx.array(np.array(found)[mask]), expected[0])


def test_folds_maps_compiled_functions_and_gradients(loops: list[Loop]) -> None:
    n = 1000
    inputs = Advantages.drawn(n)
    given = Advantages.given(inputs)

    class Fold(Advantages):
        def present(self, state: mx.array, *_: mx.array) -> Any:
            return mx.sqrt(state * state) * 2

    expected, last = Advantages.folded(inputs, None)
    close(ms.fold(Fold(), given), 2 * abs(last))
    assert loops[-1] is Loop.ROWS

    def run(gate: mx.array, x: mx.array) -> mx.array:
        return ms.scan(Advantages(), (gate, x, ms.fixed(mx.array(0.5))))[0]

    close(mx.compile(run)(*given[:2]), expected[0])
    both = mx.vmap(run, in_axes=(0, 1))(mx.stack([given[0]] * 2), mx.stack([given[1]] * 2, axis=1))
    close(both[1], expected[0])

    gradient = mx.grad(lambda x: run(given[0], x).sum())(given[1])
    decays = np.exp(-np.asarray(inputs[0], np.float64) * 0.5)
    behind = np.zeros(n)
    for t in range(n - 1, -1, -1):
        behind[t] = 0.5 + (decays[t + 1] * behind[t + 1] if t + 1 < n else 0)
    close(gradient, behind * inputs[0] + 1, 1e-4)


@pytest.mark.parametrize("loops", thinned(LOOPS, LOOPS[:1]), indirect=True)
def test_what_is_not_finite_is_done_in_order(loops: list[Loop]) -> None:
    """A product of gates overflows where no state does; from an infinity on states are those of the fold."""

    class Growing(ms.Aggregator):
        operator = ms.Affine()

        def prepare(self, gate: mx.array, x: mx.array) -> Any:
            return gate * 1e4, x

        def present(self, state: mx.array, *_: mx.array) -> Any:
            return state + 1

    n, bad = 200_001, 100_000
    gate, x = np.full(n, 1e3, np.float32), np.zeros(n, np.float32)
    gate[::7] = 0
    x[bad] = np.inf
    for state in (None, mx.array(0.0)):
        inputs = mx.array(gate), mx.array(x)
        assert "3 parts in time" in str(ms.explain(Growing(), inputs, state=state))
        found = np.array(ms.scan(Growing(), inputs, state=state))
        np.testing.assert_array_equal(found[:bad], 1)
        # the next gate of 0 makes NaN of infinity, which stays
        end = next(t for t in range(bad + 1, n) if gate[t] == 0)
        np.testing.assert_array_equal(found[bad:end], np.inf)
        assert np.isnan(found[end:]).all()


TYPES = [(mx.float16, 2e-3), (mx.bfloat16, 2e-2), (mx.float32, 2e-5), (mx.int32, 0), (mx.int8, 0)]


@pytest.mark.parametrize(("dtype", "tolerance"), thinned(TYPES, [TYPES[0], TYPES[-1]]))
def test_dtypes(dtype: mx.Dtype, tolerance: float) -> None:
    """Halves add up in float32 and are rounded once; small integers wrap."""
    add = ms.aggregator(lambda x: x, ms.Sum(), lambda s, x: s - x)
    for n in (7, 1000):
        x = mx.array(RNG.integers(-4, 5, n)).astype(dtype)
        total = np.cumsum(np.array(x.astype(mx.float32), np.float64)) - np.array(x.astype(mx.float32), np.float64)
        if dtype == mx.int8:
            total = (total + 128) % 256 - 128
        assert loop_of(ms.explain(add, x)) is Loop.ROWS
        found = ms.scan(add, x)
        assert found.dtype == dtype
        close(found, total, tolerance)


@pytest.mark.long
def test_lanes_behind_the_end_of_a_row_divide_nothing() -> None:
    x, y = RNG.integers(-50, 50, 7), RNG.integers(1, 5, 7)
    quotients = ms.aggregator(lambda x, y: x // y, ms.Sum(), lambda s, x, y: s // y)
    inputs = mx.array(x.astype(np.int32)), mx.array(y.astype(np.int32))
    assert loop_of(ms.explain(quotients, inputs)) is Loop.ROWS
    assert ms.scan(quotients, inputs).tolist() == (np.cumsum(x // y) // y).tolist()


@pytest.mark.long
def test_float64_beside_float32() -> None:
    with mx.stream(mx.cpu):
        x = RNG.normal(size=1000)
        wide = ms.aggregator(lambda x: x.astype(mx.float64), ms.Sum(), lambda s, x: (s, s.astype(mx.float32)))
        exact, rounded = ms.scan(wide, mx.array(x.astype(np.float32)))
        total = np.cumsum(x.astype(np.float32).astype(np.float64))
        np.testing.assert_allclose(np.array(exact), total, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(np.array(rounded), total, rtol=1e-5, atol=1e-5)


def variance(x: Any) -> Any:
    return np.array([x[: t + 1].var() for t in range(len(x))])


READY: list[tuple[ms.Aggregator, Any]] = [
    (ms.aggregators.Max(), np.maximum.accumulate),
    (ms.aggregators.Mean(), lambda x: np.cumsum(x) / np.arange(1, len(x) + 1)),
    (ms.aggregators.Variance(), variance),
    (ms.aggregators.LogSumExp(), lambda x: np.logaddexp.accumulate(x)),
    (ms.aggregators.First(), lambda x: np.full(len(x), x[0])),
]


@pytest.mark.parametrize(
    ("aggregator", "fold"), thinned(READY, READY[2:3]), ids=lambda given: getattr(given, "name", "")
)
def test_ready_ones(aggregator: ms.Aggregator, fold: Any) -> None:
    for n in (1, 63, 65, 1000):
        x = RNG.normal(size=n).astype(np.float32)
        assert loop_of(ms.explain(aggregator, mx.array(x))) is Loop.ROWS
        close(ms.scan(aggregator, mx.array(x)), fold(x.astype(np.float64)))


@pytest.mark.long
def test_where_the_greatest_stands() -> None:
    x = RNG.normal(size=1000).astype(np.float32)
    inputs = (mx.array(x), ms.position)
    assert loop_of(ms.explain(ms.aggregators.ArgMax(), inputs)) is Loop.ROWS
    expected = [int(np.argmax(x[: t + 1])) for t in range(1000)]
    assert ms.scan(ms.aggregators.ArgMax(), inputs).tolist() == expected


def test_segments() -> None:
    """A flag is no number, and begins a state anew; without it what comes before is never read."""
    x, heads = RNG.normal(size=500).astype(np.float32), RNG.random(500) < 0.05
    fresh = ms.aggregator(lambda head, x: (head, x), ms.Segmented(ms.Sum()), lambda s, head, x: s * 2)
    inputs = (mx.array(heads), mx.array(x))
    assert loop_of(ms.explain(fresh, inputs)) is Loop.ROWS
    expected, total = np.zeros(500), 0.0
    for t in range(500):
        total = float(x[t]) + (0 if heads[t] else total)
        expected[t] = 2 * total
    close(ms.scan(fresh, inputs), expected)


class Filter(ms.Aggregator):
    """A filter of three states: its gates are fixed, and so is their product in every run."""

    operator, event = ms.MatrixAffine(), (0, 2, 1)

    def prepare(self, x: mx.array, turn: mx.array, into: mx.array) -> Any:
        return turn, x * into

    def present(self, h: mx.array, x: mx.array, turn: mx.array, into: mx.array) -> Any:
        return h.sum() + x


@pytest.mark.parametrize("loops", [Loop.RUNS], indirect=True)
@pytest.mark.parametrize("reverse", thinned([False, True], [True]))
def test_a_filter_by_runs(loops: list[Loop], reverse: bool) -> None:
    turn = np.array([[0.9, 0.3, 0], [-0.3, 0.9, 0.1], [0, 0.2, 0.5]], np.float32)
    into, start = np.array([1, 0.5, 0.25], np.float32), RNG.normal(size=(2, 3)).astype(np.float32)
    for n in (1, 65, 300, 2000):
        x = RNG.normal(size=(2, n)).astype(np.float32)
        inputs = mx.array(x), ms.fixed(mx.array(turn)), ms.fixed(mx.array(into))
        found, last = ms.scan(
            Filter(), inputs, axis=1, state=mx.array(start), reverse=reverse, return_carry=True
        )  # fmt: skip
        assert loops[-1] is Loop.RUNS
        h, shown = start.astype(np.float64), np.zeros((2, n))
        for t in range(n - 1, -1, -1) if reverse else range(n):
            h = h @ turn.T.astype(np.float64) + x[:, t : t + 1] * into
            shown[:, t] = h.sum(-1) + x[:, t]
        close(found, shown, 1e-4), close(last, h, 1e-4)


def test_copies_are_combined_each_by_itself() -> None:
    """Gates have copies that inputs have not; of a product only one part has any."""
    rates = np.array([0.9, 0.5, 0.25], np.float32)
    several = ms.aggregator(
        lambda x, gate: ((gate, x), x), ms.Tuple(ms.Affine(), ms.Max()), lambda s, x, _: (s[0], s[0].sum() - s[1]),
        event=(0, 1),
    )  # fmt: skip
    x = RNG.normal(size=700).astype(np.float32)
    inputs = (mx.array(x), ms.fixed(mx.array(rates)))
    assert loop_of(ms.explain(several, inputs)) is Loop.ROWS
    states, h = np.zeros((700, 3)), np.zeros(3)
    for t in range(700):
        h = states[t] = (rates * h if t else 0) + x[t]
    for state in (None, ((mx.array(0.0), mx.array(-mx.inf)))):
        found, total = ms.scan(several, inputs, state=state)
        close(found, states), close(total, states.sum(-1) - np.maximum.accumulate(x), 1e-4)


def test_states_have_the_bits_of_passes() -> None:
    """Elements that are inputs, states shown as they are: the scan is the same."""
    plain = ms.aggregator(lambda a, b: (a, b), ms.Affine(), lambda h, a, b: h)
    for n in (65, 1000, 100_003):
        a, b = (mx.array(x) for x in Advantages.drawn(n))
        found, passes = ms.scan(plain, (a, b)), ms.act(ms.Affine(), (a, b))
        np.testing.assert_array_equal(np.array(found), np.array(passes))


@pytest.mark.long
def test_a_result_may_take_the_place_of_an_input() -> None:
    def run(x: mx.array) -> mx.array:
        add = ms.aggregator(lambda x: x * 2, ms.Sum(), lambda s, x: s - x)
        return ms.scan(add, x + 0.0)  # what nothing else holds is given away

    x = RNG.normal(size=100_003).astype(np.float32)
    exact = x.astype(np.float64)
    close(run(mx.array(x)), np.cumsum(2 * exact) - exact, 1e-3)


BROKEN = [
    ("blocks.h", "(give(e, r, at + i * W, x[i], k), ...);", "(give(e, r, at, x[i], k), ...);"),
    ("blocks.h", "(take(e, at + i * W, x[i], k), ...);", "(take(e, at, x[i], k), ...);"),
    ("blocks.h", "give(e, r, at + i * W, kept[i], k);", "give(e, r, at, kept[i], k);"),
    ("rows.h", "give_part(e, r, at, m, all[0], k);", "give_part(e, r, at, m, held, k);"),
]


@pytest.mark.parametrize(("header", "honest", "wrong"), thinned(BROKEN, BROKEN[:1]))
def test_a_broken_kernel_is_caught(
    header: str, honest: str, wrong: str, loops: list[Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_header(header, honest, wrong, monkeypatch)
    for module in (kernels, target, fuse):
        monkeypatch.setattr(module, "COMPILED", Cache(64))

    def both() -> None:
        test_what_is_not_finite_is_done_in_order(loops)
        test_every_length_and_option(loops, "begun", False)

    with pytest.raises(AssertionError):
        both()


@pytest.mark.parametrize("loops", [Loop.RUNS], indirect=True)
def test_gradients_of_an_aggregator_by_runs(loops: list[Loop]) -> None:
    """They read states that it does not show: these are made again in order."""
    x, g = (mx.array(RNG.normal(size=(2, 70)).astype(np.float32)) for _ in range(2))
    weights = mx.array(RNG.normal(size=(2, 70)).astype(np.float32))

    def prepare(x: mx.array, g: mx.array) -> Any:
        return (mx.sigmoid(g), x), (mx.sigmoid(g) ** 2, x * x)

    pairs = ms.Tuple(ms.Affine(), ms.Affine())
    spread = ms.aggregator(prepare, pairs, lambda state, x, g: state[1] - state[0] * state[0] + x)

    def walked(x: mx.array, g: mx.array, weights: mx.array) -> mx.array:
        gate, mean, square, total = mx.sigmoid(g), mx.zeros_like(x[:, 0]), mx.zeros_like(x[:, 0]), mx.array(0.0)
        for t in range(70):
            mean, square = gate[:, t] * mean + x[:, t], gate[:, t] ** 2 * square + x[:, t] ** 2
            total = total + ((square - mean * mean + x[:, t]) * weights[:, t]).sum()
        return total

    found = mx.grad(lambda x, g: (ms.scan(spread, (x, g), axis=1) * weights).sum(), (0, 1))(x, g)
    with mx.stream(mx.cpu):
        wanted = mx.grad(walked, (0, 1))(*(each.astype(mx.float64) for each in (x, g, weights)))
    assert loops[0] is Loop.RUNS
    for d, exact in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.array(d), np.array(exact), rtol=1e-4, atol=1e-4)
