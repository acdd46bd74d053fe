"""Aggregators against NumPy in float64: what they present, how inputs lie, `step`, gradients and transforms."""

from __future__ import annotations

from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from aggregator_support import RNG, T, close, decays, exact, made, normal

import monoscan as ms
from monoscan import aggregators, errors, tree

# ------------------------------------------------------------------------------- a selective scan


BATCH, CHANNELS, STATES = 2, 3, 4
DELTA, X = np.abs(normal(BATCH, T, CHANNELS)), normal(BATCH, T, CHANNELS)
A, B, C = -np.abs(normal(CHANNELS, STATES)), normal(BATCH, T, STATES), normal(BATCH, T, STATES)
MAMBA = tuple(map(mx.array, (DELTA, A, B, C, X)))


def selective(delta: mx.array, a: mx.array, b: mx.array, c: mx.array, x: mx.array, **options: Any) -> Any:
    inputs = (delta, ms.fixed(a), b[..., None, :], c[..., None, :], x)
    return ms.scan(aggregators.SelectiveScan(), inputs, axis=1, **options)


def mamba(h: Any = None, reverse: bool = False) -> tuple[Any, Any]:
    delta, a, b, c, x = map(exact, (DELTA, A, B, C, X))
    h = np.zeros((BATCH, CHANNELS, STATES)) if h is None else exact(h)
    y = np.zeros_like(x)
    for t in reversed(range(T)) if reverse else range(T):
        h = np.exp(delta[:, t, :, None] * a) * h + (delta * x)[:, t, :, None] * b[:, t, None]
        y[:, t] = (h * c[:, t, None]).sum(-1)
    return y, h


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_a_selective_scan_is_the_loop_over_time(given: bool, reverse: bool) -> None:
    h = normal(BATCH, CHANNELS, STATES) if given else None
    y, last = selective(*MAMBA, state=None if h is None else mx.array(h), reverse=reverse, return_carry=True)
    expected, state = mamba(h, reverse)
    close(y, expected), close(last, state)


def test_states_before_each_position_are_presented_with_its_inputs() -> None:
    h = normal(STATES)
    y = selective(*MAMBA, state=mx.array(h), inclusive=False)
    before = np.broadcast_to(exact(h), (BATCH, CHANNELS, STATES))
    close(y[:, 0], (before * C[:, 0, None]).sum(-1))
    delta, a, b, x = map(exact, (DELTA, A, B, X))
    after = np.exp(delta[:, 0, :, None] * a) * before + (delta * x)[:, 0, :, None] * b[:, 0, None]
    close(y[:, 1], (after * C[:, 1, None]).sum(-1))


def test_chained_calls_are_one_call() -> None:
    whole, last = selective(*MAMBA, return_carry=True)
    delta, a, b, c, x = MAMBA
    head, carry = selective(delta[:, :4], a, b[:, :4], c[:, :4], x[:, :4], return_carry=True)
    tail, end = selective(delta[:, 4:], a, b[:, 4:], c[:, 4:], x[:, 4:], state=carry, return_carry=True)
    close(mx.concatenate([head, tail], axis=1), np.array(whole)), close(end, np.array(last))


def test_a_scan_is_repeated_steps() -> None:
    delta, a, b, c, x = MAMBA
    state, outputs = None, []
    for t in range(T):
        inputs = (delta[:, t], a, b[:, t, None], c[:, t, None], x[:, t])
        state, y = aggregators.SelectiveScan().step(state, *inputs)
        outputs.append(y)
    close(mx.stack(outputs, axis=1), mamba()[0]), close(state, mamba()[1])


def test_halves_are_computed_in_float32_and_rounded_once() -> None:
    halves = [x.astype(mx.float16) for x in MAMBA]
    y, last = selective(*halves, return_carry=True)
    assert (y.dtype, last.dtype) == (mx.float16, mx.float32)
    exactly = selective(*[x.astype(mx.float32) for x in halves])
    assert mx.array_equal(y, exactly.astype(mx.float16))
    assert aggregators.Sum().step(None, mx.array(1.0, mx.float16))[1].dtype == y.dtype


def test_gradients_of_all_inputs_are_differences_of_the_loop() -> None:
    def loss(*inputs: mx.array) -> mx.array:
        return (selective(*inputs) * mx.array(WEIGHTS)).sum()

    found = mx.grad(loss, argnums=(0, 1, 2, 3, 4))(*MAMBA)
    arrays = [DELTA, A, B, C, X]
    for i, array in enumerate(arrays):
        at = tuple(RNG.integers(0, size) for size in array.shape)
        values = []
        for sign in (1, -1):
            moved = [exact(each) for each in arrays]
            moved[i][at] += sign * 1e-5
            values.append((_loop(*moved) * WEIGHTS).sum())
        np.testing.assert_allclose(found[i][at].item(), (values[0] - values[1]) / 2e-5, rtol=2e-3, atol=2e-3)


WEIGHTS = normal(BATCH, T, CHANNELS)


@pytest.mark.parametrize("channels", [20, 150])
def test_channels_beside_each_other_share_what_has_none(channels: int) -> None:
    delta, x = np.abs(normal(BATCH, 5, channels)), normal(BATCH, 5, channels)
    arrays = [delta, -np.abs(normal(channels, 2)), normal(BATCH, 5, 2), normal(BATCH, 5, 2), x]
    inputs, given = tuple(map(mx.array, arrays)), mx.array(normal(BATCH, 5, channels))
    expected = _loop(*map(exact, arrays))
    y, last = selective(*inputs, return_carry=True)
    close(y, expected)
    close(
        selective(*[x[:, :0] if i != 1 else x for i, x in enumerate(inputs)], state=last, return_carry=True)[1],
        np.array(last),
    )
    head = [x if i == 1 else x[:, :2] for i, x in enumerate(inputs)]
    tail = [x if i == 1 else x[:, 2:] for i, x in enumerate(inputs)]
    close(selective(*tail, state=selective(*head, return_carry=True)[1], return_carry=True)[1], np.array(last))
    close(selective(*tail, state=selective(*head, return_carry=True)[1]), expected[:, 2:])
    for strategy in ("brent_kung", "sequential"):
        close(selective(*inputs, strategy=strategy), expected)
    close(mx.vmap(selective, in_axes=(0, None, None, 0, 0))(*[_twice(i, x) for i, x in enumerate(inputs)])[1], expected)
    if channels == 20:
        found = mx.grad(lambda *xs: (selective(*xs) * given).sum(), argnums=(0, 1, 2, 3, 4))(*inputs)
        for i, d in enumerate(found):
            direction = normal(*arrays[i].shape)
            moved = [[exact(a) for a in arrays] for _ in range(2)]
            moved[0][i] += 1e-5 * direction
            moved[1][i] -= 1e-5 * direction
            up, down = ((_loop(*each) * np.array(given)).sum() for each in moved)
            np.testing.assert_allclose((np.array(d) * direction).sum(), (up - down) / 2e-5, rtol=1e-3, atol=1e-2)


def _twice(i: int, x: mx.array) -> mx.array:
    return x if i in (1, 2) else mx.stack([x, x])


def _loop(delta: Any, a: Any, b: Any, c: Any, x: Any) -> Any:
    h, y = np.zeros((BATCH, *a.shape)), np.zeros_like(x)
    for t in range(x.shape[1]):
        h = np.exp(delta[:, t, :, None] * a) * h + (delta * x)[:, t, :, None] * b[:, t, None]
        y[:, t] = (h * c[:, t, None]).sum(-1)
    return y


def test_it_runs_inside_vmap_and_compile() -> None:
    expected = mamba()[0]
    close(mx.compile(selective)(*MAMBA), expected)
    stacked = [x if i == 1 else mx.stack([x, x]) for i, x in enumerate(MAMBA)]
    close(mx.vmap(selective, in_axes=(0, None, 0, 0, 0))(*stacked)[1], expected)


def test_a_shapeless_compile_runs_with_other_sizes() -> None:
    run = mx.compile(selective, shapeless=True)
    single = [MAMBA[1] if i == 1 else x[:1, :1] for i, x in enumerate(MAMBA)]
    assert run(*single).shape == (1, 1, A.shape[0])  # traced on one step of one row
    close(run(*MAMBA), mamba()[0])


@pytest.mark.long
def test_gradients_in_a_shapeless_compile_are_those_outside() -> None:
    gradient = mx.grad(lambda *arrays: selective(*arrays).square().sum(), argnums=(0, 1, 4))
    run = mx.compile(gradient, shapeless=True)
    for steps in (1, X.shape[1]):
        arrays = [MAMBA[1] if i == 1 else x[:, :steps] for i, x in enumerate(MAMBA)]
        for found, expected in zip(run(*arrays), gradient(*arrays), strict=True):
            close(found, np.array(expected))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: ms.fold(aggregators.Mean(), x),
        lambda x: ms.scan(ms.aggregator(lambda x, t: x * t, ms.Sum(), lambda s, x, t: s), (x, ms.position)),
        lambda x: ms.scan(ms.aggregator(lambda x, y: x, ms.Sum(), lambda s, x, y: s), (x, x + 1)),
    ],
    ids=["fold", "position", "unread"],
)
def test_a_shapeless_compile_refuses_what_holds_sizes(call: Any) -> None:
    with pytest.raises(errors.StrategyError, match="Compile without shapeless=True"):
        mx.compile(call, shapeless=True)(mx.ones((5, 2)))


# ------------------------------------------------------------------------- others of the contract


class Filter(ms.Aggregator):
    operator, event = ms.SemiringMatMul(ms.Log()), (0, 2, 1)

    def prepare(self, t: Any, log_A: Any, e: Any) -> Any:
        return mx.where(t == 0, self.operator.identity(log_A), log_A) + e

    def present(self, s: Any, t: Any, log_A: Any, e: Any) -> Any:
        return s - mx.logsumexp(s)


def test_a_hidden_markov_filter_reads_the_position_and_a_fixed_matrix() -> None:
    transition, emissions, initial = np.log(RNG.dirichlet(np.ones(3), 3)), normal(T, 3), np.log([0.2, 0.3, 0.5])
    inputs = (ms.position, ms.fixed(mx.array(transition, mx.float32)), mx.array(emissions))
    found, last = ms.scan(Filter(), inputs, state=mx.array(initial, mx.float32), return_carry=True)
    s = exact(initial)
    for t in range(T):
        s = (s if t == 0 else np.logaddexp.reduce(s[:, None] + transition, axis=0)) + emissions[t]
        close(found[t], s - np.logaddexp.reduce(s))
    close(last, s)


def scale(g: Any, m: Any) -> Any:
    return g * m[0], m[1], g * m[2]


@attrs.frozen
class EWMVar(ms.Aggregator):
    alpha: float
    operator = ms.Tuple(ms.Dual(ms.Semidirect(ms.Product(), ms.Moments(2), act=scale)), ms.Affine())

    def prepare(self, x: Any) -> Any:
        g, one = mx.array(1 - self.alpha), mx.array(1.0)
        return (g, (one, x, mx.zeros_like(x))), (g * g, one)

    def present(self, state: Any, x: Any) -> Any:
        (n, _, m2), w2 = state
        return m2 / (n - w2 / n)


def test_an_exponentially_weighted_variance_is_unbiased_by_reliabilitydecays() -> None:
    x = normal(T)
    found = ms.scan(EWMVar(0.3), mx.array(x))
    for t in range(1, T):
        w, head = decays(0.3, t), exact(x[: t + 1])
        mean = (w * head).sum() / w.sum()
        close(found[t], (w * (head - mean) ** 2).sum() / (w.sum() - (w**2).sum() / w.sum()))


def test_an_operator_is_an_aggregator_of_what_it_embeds_and_projects() -> None:
    x = mx.array(normal(T))
    both = ms.Tuple(ms.Mean(), ms.Max())
    close(ms.scan(both.aggregator(), x)[0], np.cumsum(exact(x)) / np.arange(1, T + 1))
    a, b = mx.array(normal(T)), mx.array(normal(T))
    decay, h = ms.scan(ms.Affine().aggregator(), (a, b))
    close(decay, np.cumprod(exact(a))), close(h, np.array(ms.linear_recurrence(a, b)))


def test_joined_aggregators_have_the_outputs_that_each_has() -> None:
    delta, a, b, c, x = MAMBA
    inputs = (delta, ms.fixed(a), b[..., None, :], c[..., None, :], x)
    plain = ms.aggregator(lambda *inputs: inputs[-1], ms.Sum(), lambda total, *inputs: total, event=(0, 1, 1, 1, 0))
    found, state = ms.scan(ms.join(mamba=aggregators.SelectiveScan(), sum=plain), inputs, axis=1, return_carry=True)
    close(found["mamba"], mamba()[0]), close(found["sum"], np.cumsum(exact(X), axis=1))
    assert (state["mamba"].shape, state["sum"].shape) == ((BATCH, CHANNELS, STATES), (BATCH, CHANNELS))


# ------------------------------------------------------------------------------------- what it reads


def test_captured_arrays_and_states_have_gradients() -> None:
    x = mx.array(normal(T))

    def loss(alpha: mx.array, state: mx.array) -> mx.array:
        smooth = ms.aggregator(lambda x: (1 - alpha, alpha * x), ms.Affine(), lambda h, x: h * alpha)
        return ms.scan(smooth, x, state=state).sum()

    by_alpha, by_state = mx.grad(loss, argnums=(0, 1))(mx.array(0.3), mx.array(2.0))
    values = []
    for alpha in (0.3 + 1e-6, 0.3 - 1e-6):
        h, total = 2.0, 0.0
        for each in exact(x):
            h = (1 - alpha) * h + alpha * each
            total += h * alpha
        values.append(total)
    close(by_alpha, (values[0] - values[1]) / 2e-6, 1e-3)
    close(by_state, sum(0.3 * 0.7 ** (t + 1) for t in range(T)))


def test_derivatives_of_a_function_in_prepare_are_those_that_it_declares() -> None:
    @mx.custom_function
    def doubled(x: mx.array, k: mx.array) -> mx.array:
        return 2 * x * k

    @doubled.vjp
    def doubled_vjp(primals: Any, cotangent: Any, _: Any) -> Any:
        return 7 * cotangent, 5 * cotangent

    def loss(x: mx.array, k: mx.array) -> mx.array:
        return ms.scan(ms.aggregator(lambda x: doubled(x, k), ms.Sum(), lambda s, x: s), x)[-1]

    by_x, by_k = mx.grad(loss, argnums=(0, 1))(mx.array(normal(3)), mx.array(2.0))
    assert by_x.tolist() == [7, 7, 7]
    assert by_k.item() == 15


def test_a_changed_global_is_read_anew() -> None:
    space: dict[str, Any] = {"rate": 2.0}
    scaled = eval("lambda x: x * rate", space)
    aggregator, x = ms.aggregator(scaled, ms.Sum(), lambda s, x: s), mx.array(normal(T))
    first = ms.scan(aggregator, x)
    space["rate"] = 3.0
    close(ms.scan(aggregator, x), 1.5 * np.array(first))


def test_an_empty_sequence_has_no_outputs_and_keeps_its_state() -> None:
    delta, a, b, c, x = MAMBA
    none, h = slice(0, 0), mx.array(normal(CHANNELS, STATES))
    empty = (delta[:, none], a, b[:, none], c[:, none], x[:, none])
    y, last = selective(*empty, state=h, return_carry=True)
    assert y.shape == (BATCH, 0, CHANNELS)
    close(last, np.broadcast_to(np.array(h), (BATCH, CHANNELS, STATES)))


def test_batch_axes_of_a_state_broadcast_with_those_of_inputs() -> None:
    x, start = normal(T), normal(3)
    found = ms.scan(ms.aggregators.Sum(), mx.array(x), state=mx.array(start))
    close(found, np.cumsum(exact(x))[:, None] + start)


# ----------------------------------------------------------------------------------------- explain


def test_explain_says_what_runs_in_one_kernel_and_what_does_not() -> None:
    of_states, of_channels = mx.ones((BATCH, T, 1, STATES)), mx.ones((BATCH, T, 20))
    inputs = (of_channels, ms.fixed(mx.ones((20, STATES))), of_states, of_states, of_channels)
    plan = ms.explain(aggregators.SelectiveScan(), inputs, axis=1)
    assert plan.strategy == "kernel"
    said = str(plan)
    for words in (
        "fixed float32[20, 4]",
        "prepare, act by Affine, present",
        "4 of 4 numbers carried",
        "read once for all",
    ):
        assert words in said
    parts = str(ms.explain(aggregators.SelectiveScan(), inputs, axis=1, strategy="brent_kung"))
    assert "three passes" in parts
    assert "not fused strategy is brent_kung" in parts
    assert "not fused not traceable" in str(ms.explain(made(lambda x: x + mx.fft.fft(x[None])[0].real), mx.ones((T,))))


@pytest.mark.parametrize(("size", "operations"), [(2, 6), (64, 3)])
def test_explain_says_what_is_done_once(size: int, operations: int) -> None:
    """Of few numbers all operations count, of arrays those on arrays."""

    class Decaying(ms.Aggregator):
        operator, event = ms.Affine(), (1, 1)

        def prepare(self, x: mx.array, rate: mx.array) -> Any:
            return mx.exp(-mx.exp(rate)), x

        def present(self, h: mx.array, x: mx.array, rate: mx.array) -> mx.array:
            return h

    x, rate = np.random.default_rng(2).normal(size=(T, size)), np.linspace(-2, 0, size)
    inputs = (mx.array(x.astype(np.float32)), ms.fixed(mx.array(rate.astype(np.float32))))
    assert f"read once for all steps, and {operations} operations on them done once" in str(
        ms.explain(Decaying(), inputs)
    )
    want, h = [], 0 * x[0]
    for t in range(T):
        h = x[t] if t == 0 else np.exp(-np.exp(rate)) * h + x[t]
        want.append(h)
    close(ms.scan(Decaying(), inputs), np.stack(want))


def test_a_leaf_of_the_state_that_nothing_reads_is_not_carried() -> None:
    pair = made(lambda x: (x, x), ms.Tuple(ms.Sum(), ms.Max()), lambda state, x: state[1])
    assert "1 of 2 numbers carried" in str(ms.explain(pair, mx.ones((T, 20))))
    close(ms.scan(pair, mx.array(DELTA[0])), np.maximum.accumulate(DELTA[0], axis=0))


def test_outputs_may_be_trees() -> None:
    spans = made(lambda x: (x, x), ms.MinMax(), lambda s, x: {"low": s[0], "span": (s[1] - s[0], x)})
    x = normal(T)
    found = ms.scan(spans, mx.array(x))
    assert tree.flatten(found)[1] == (dict, ("low", "span"), (tree.LEAF, (tuple, (tree.LEAF, tree.LEAF))))
    close(found["span"][0], np.maximum.accumulate(x) - np.minimum.accumulate(x))


def test_an_aggregator_is_not_taken_for_a_scan_of_its_operator() -> None:
    x = mx.array([1.0, 3.0, 8.0])
    (_, means), count = ms.scan(ms.Mean(), ms.Mean().embed(x)), ms.scan(ms.Sum(), x)
    total = ms.aggregator(lambda x: x, ms.Sum(), lambda s, x: s)
    assert ms.scan(total, x).tolist() == count.tolist() == [1, 4, 12]
    np.testing.assert_allclose(np.array(ms.scan(ms.Mean().aggregator(), x)), [1, 2, 4], rtol=1e-6)
    np.testing.assert_allclose(np.array(means), [1, 2, 4], rtol=1e-6)


def test_a_row_by_itself_goes_in_vectors_of_its_steps() -> None:
    plan = str(ms.explain(ms.aggregators.Max(), mx.zeros((400_000,))))
    assert "one kernel: prepare, products of Max, present" in plan
    assert "loop rows" in plan
    assert "3 parts in time" in plan

    x = np.random.default_rng(0).normal(size=400_000).astype(np.float32)
    np.testing.assert_array_equal(np.array(ms.scan(ms.aggregators.Max(), mx.array(x))), np.maximum.accumulate(x))


def test_tangents_of_a_state_that_fewer_rows_have_than_outputs() -> None:
    weighted = ms.aggregator(lambda x, w: (w, x, mx.zeros_like(x)), ms.Moments(2), lambda s, x, w: s[2] / s[0])
    x, w = mx.array(normal(2, 9)), mx.ones((1, 9))

    def states(x: mx.array, w: mx.array) -> list[mx.array]:
        outputs, (weights, *others) = ms.scan(weighted, (x, w), axis=1, return_carry=True)
        return [outputs, weights, *others]

    found, moved = mx.jvp(states, [x, w], [mx.zeros_like(x), w])
    assert [y.shape for y in moved] == [y.shape for y in found]
    close(moved[1], np.full(found[1].shape, 9.0))


def test_what_is_found_once_beside_columns_of_several_vectors() -> None:
    """The exponential of what all steps share is read at each: where its row stands must reach the loop."""
    decayed = ms.aggregator(lambda x, d: (mx.exp(d), x), ms.Affine(), lambda h, x, d: h)
    x, d = normal(T, 100), np.full(100, -0.5, np.float32)
    found = ms.scan(decayed, (mx.array(x), ms.fixed(mx.array(d))), axis=0)
    h, states = np.zeros(100), []
    for row in x:
        h = np.exp(-0.5) * h + row
        states.append(h)
    close(found, np.array(states))
