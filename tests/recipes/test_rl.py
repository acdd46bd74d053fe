"""Returns and advantages against loops in float64."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import rl

Array = np.ndarray
T, BATCH = 37, 5


def backwards(gates: Array, inputs: Array, start: Any = 0.0) -> Array:
    """``y[t] = gates[t] * y[t+1] + inputs[t]``, with ``start`` after the last step."""
    out, state = np.zeros(np.broadcast_shapes(gates.shape, inputs.shape)), np.asarray(start, np.float64)
    for t in range(len(inputs) - 1, -1, -1):
        state = out[t] = gates[t] * state + inputs[t]
    return out


@pytest.fixture
def given() -> dict[str, Array]:
    random = np.random.default_rng(0)
    normal = {name: random.normal(size=(T, BATCH)) for name in ("r_t", "v_t", "v_tm1")}
    positive = {"rho_tm1": random.uniform(0, 2, (T, BATCH)), "lambda_": random.uniform(0, 1, (T, BATCH))}
    discount, dones = random.uniform(0.8, 1, (T, BATCH)), random.random((T, BATCH)) < 0.1
    return normal | positive | {"discount_t": discount, "dones": dones, "values": random.normal(size=(T + 1, BATCH))}


def taken(given: dict[str, Array], *names: str) -> dict[str, mx.array]:
    return {name: mx.array(given[name].astype(bool if name == "dones" else np.float32)) for name in names}


def kept(given: dict[str, Array]) -> Array:
    return np.where(given["dones"], 0, given["discount_t"])


def close(ours: mx.array, expected: Array) -> None:
    np.testing.assert_allclose(np.array(ours), expected, rtol=2e-5, atol=2e-5)


def test_discounted_returns_go_on_from_the_last_value(given: dict[str, Array]) -> None:
    ours = rl.discounted_returns(**taken(given, "r_t", "discount_t", "v_t", "dones"))
    close(ours, backwards(kept(given), given["r_t"], given["v_t"][-1]))


def test_discounted_returns_of_numbers(given: dict[str, Array]) -> None:
    ours = rl.discounted_returns(given["r_t"].astype(np.float32), 0.9, 2.0)
    close(ours, backwards(np.full((T, 1), 0.9), given["r_t"], 2.0))


def test_lambda_returns(given: dict[str, Array]) -> None:
    ours = rl.lambda_returns(**taken(given, "r_t", "discount_t", "v_t", "lambda_", "dones"))
    gate, weight = kept(given), given["lambda_"]
    inputs = given["r_t"] + gate * (1 - weight) * given["v_t"]
    close(ours, backwards(gate * weight, inputs, given["v_t"][-1]))


def test_generalized_advantages(given: dict[str, Array]) -> None:
    ours = rl.gae(**taken(given, "r_t", "discount_t", "values", "dones"), lambda_=0.95)
    gate, values = kept(given), given["values"]
    close(ours, backwards(gate * 0.95, given["r_t"] + gate * values[1:] - values[:-1]))


def test_errors_of_vtrace(given: dict[str, Array]) -> None:
    ours = rl.vtrace(
        **taken(given, "v_tm1", "v_t", "r_t", "discount_t", "rho_tm1", "lambda_", "dones"), clip_rho_threshold=1.5
    )
    gate, rho = kept(given), given["rho_tm1"]
    errors = np.minimum(rho, 1.5) * (given["r_t"] + gate * given["v_t"] - given["v_tm1"])
    close(ours, backwards(gate * given["lambda_"] * np.minimum(rho, 1), errors))


def test_an_episode_that_ended_hears_nothing_of_the_next(given: dict[str, Array]) -> None:
    inputs = taken(given, "r_t", "discount_t", "values")
    dones = np.zeros((T, BATCH), bool)
    dones[10] = True
    first = rl.gae(**inputs, lambda_=0.9, dones=mx.array(dones))
    inputs["r_t"][11:] = mx.nan
    second = rl.gae(**inputs, lambda_=0.9, dones=mx.array(dones))
    assert mx.array_equal(first[:11], second[:11])


def test_time_may_be_any_axis(given: dict[str, Array]) -> None:
    inputs = taken(given, "r_t", "discount_t", "values", "dones")
    turned = {name: x.swapaxes(0, 1) for name, x in inputs.items()}
    for axis in (1, -1):
        close(rl.gae(**turned, lambda_=0.9, axis=axis).T, np.array(rl.gae(**inputs, lambda_=0.9)))


def test_gradients_are_those_of_the_loop(given: dict[str, Array]) -> None:
    inputs = taken(given, "r_t", "discount_t", "values")
    weights = mx.array(np.random.default_rng(1).normal(size=(T, BATCH)).astype(np.float32))

    def loss(r: mx.array, values: mx.array) -> mx.array:
        return (rl.gae(r, inputs["discount_t"], 0.9, values) * weights).sum()

    by_reward, by_value = mx.grad(loss, (0, 1))(inputs["r_t"], inputs["values"])
    gate = np.array(inputs["discount_t"], np.float64)
    reach = np.zeros((T, BATCH))  # how much an error counts: the weights, folded forwards
    for t in range(T):
        reach[t] = np.array(weights)[t] + (gate[t - 1] * 0.9 * reach[t - 1] if t else 0)
    close(by_reward, reach)
    expected = np.zeros((T + 1, BATCH))
    expected[1:] += gate * reach
    expected[:-1] -= reach
    close(by_value, expected)


def test_targets_are_taken_as_given(given: dict[str, Array]) -> None:
    inputs = taken(given, "v_tm1", "v_t", "r_t", "discount_t", "rho_tm1")

    def loss(v_tm1: mx.array, v_t: mx.array, stop: bool) -> mx.array:
        rest = {name: inputs[name] for name in ("r_t", "discount_t", "rho_tm1")}
        return rl.vtrace(v_tm1, v_t, **rest, stop_target_gradients=stop).sum()

    by_before, by_after = mx.grad(loss, (0, 1))(inputs["v_tm1"], inputs["v_t"], True)
    assert mx.array_equal(by_before, -mx.ones_like(by_before))
    assert not by_after.any()
    assert mx.grad(loss, 1)(inputs["v_tm1"], inputs["v_t"], False).any()
    returns = mx.grad(lambda r: rl.discounted_returns(r, 0.9, stop_target_gradients=True).sum())(inputs["r_t"])
    assert not returns.any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: rl.gae(x, 0.9, 0.9, x), r"\[gae\] values needs one step more than r_t along axis 0"),
        (lambda x: rl.gae(x, 0.9, 0.9, x, axis=3), r"\[gae\] axis 3 is no axis of r_t"),
        (lambda x: rl.lambda_returns(x[:0], 0.9, x[:0]), r"\[lambda_returns\] v_t is empty along axis 0"),
        (lambda x: rl.discounted_returns(x, x[1:]), r"\[discounted_returns\] steps .* along axis 0 .* discount_t has"),
        (lambda x: rl.lambda_returns(x, 0.9, x[1:]), r"\[lambda_returns\] steps must be as many .* v_t has"),
        (lambda x: rl.discounted_returns(3.0, 0.9), r"\[discounted_returns\] r_t must be an array"),
        (lambda x: rl.discounted_returns(x + 1j, 0.9), "r_t must be an array of floats; got complex64"),
        (lambda x: rl.discounted_returns(x, 0.9, dones=x), r"\[discounted_returns\] dones must be an array of bool"),
    ],
)
def test_what_does_not_fit(call: Any, words: str) -> None:
    with pytest.raises(ms.ScanError, match=words):
        call(mx.ones((T, BATCH)))


def test_halves_give_float32_with_numbers_and_with_arrays_beside_them() -> None:
    half = mx.ones((T, BATCH), mx.float16)
    values = mx.ones((T + 1, BATCH), mx.bfloat16)
    found = [
        rl.discounted_returns(half, half, half), rl.discounted_returns(half, 0.5), rl.gae(half, half, half, values),
        rl.lambda_returns(half, half, half, half), rl.vtrace(half, half, half, half, half),
    ]  # fmt: skip
    assert {each.dtype for each in found} == {mx.float32}
