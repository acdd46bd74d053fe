"""Recipes and layers with wrong arguments: the error names the public call and the argument, and not the scan within it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import hmm, kalman, linalg, nn, rl, signal

T, B = 5, 2
STEPS = mx.full((T, B), 0.5)
DONES = mx.zeros((T, B), mx.bool_)
LENGTHS = mx.array([3, 5])
LOGS: dict[str, Any] = {
    "log_initial": mx.zeros((3,)), "log_transition": mx.zeros((3, 3)), "log_likelihoods": mx.zeros((B, T, 3)), "lengths": LENGTHS,
}  # fmt: skip
LEVEL = kalman.Model(mx.eye(2), mx.eye(2), mx.ones((1, 2)), mx.ones((1,)), mx.zeros((2,)), mx.eye(2))
SEEN: dict[str, Any] = {"model": LEVEL, "y": mx.ones((B, T, 1)), "inputs": mx.ones((B, T, 2)), "lengths": LENGTHS}
DRAWN: dict[str, Any] = {"samples": 2, "key": mx.random.key(0)}
WEIGHTED: dict[str, Any] = {
    "x": STEPS, "halflife": 2.0, "min_periods": 1, "adjust": True, "ignore_na": False, "times": mx.arange(T), "axis": 0,
}  # fmt: skip
ROLLED: dict[str, Any] = {"x": STEPS, "window": 2, "min_periods": 1, "axis": 0}
RETURNS: dict[str, Any] = {"r_t": STEPS, "discount_t": STEPS, "dones": DONES, "axis": 0, "stop_target_gradients": False}
ERRORS: dict[str, Any] = {"v_tm1": STEPS, "v_t": STEPS, "rho_tm1": STEPS, "lambda_": STEPS, "clip_rho_threshold": 1.0}
LAYERS: dict[str, Callable[[], nn.Recurrent]] = {
    "LRU": lambda: nn.LRU(4, 6), "S5": lambda: nn.S5(4, 6), "MinGRU": lambda: nn.MinGRU(4, 6),
    "MinLSTM": lambda: nn.MinLSTM(4, 6), "RGLRU": lambda: nn.RGLRU(4), "SelectiveSSM": lambda: nn.SelectiveSSM(4, 2),
    "GatedLinearAttention": lambda: nn.GatedLinearAttention(4, heads=2),
}  # fmt: skip
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "discounted_returns": (rl.discounted_returns, {**RETURNS, "v_t": STEPS}),
    "lambda_returns": (rl.lambda_returns, {**RETURNS, "v_t": STEPS, "lambda_": STEPS}),
    "gae": (rl.gae, {**RETURNS, "lambda_": STEPS, "values": mx.zeros((T + 1, B))}),
    "vtrace": (rl.vtrace, {**RETURNS, **ERRORS}),
    "log_likelihood": (hmm.log_likelihood, LOGS),
    "filter": (hmm.filter, LOGS),
    "smooth": (hmm.smooth, LOGS),
    "viterbi": (hmm.viterbi, LOGS),
    "sample": (hmm.sample, {**LOGS, **DRAWN}),
    "filter of kalman": (kalman.filter, SEEN),
    "smooth of kalman": (kalman.smooth, SEEN),
    "sample of kalman": (kalman.sample, {**SEEN, **DRAWN}),
    "lfilter": (signal.lfilter, {"b": [1.0, 0.5], "a": [1.0, 0.3], "x": STEPS, "axis": -1, "zi": mx.zeros((T, 1))}),
    "sosfilt": (signal.sosfilt, {"sos": [[1.0, 0, 0, 1, 0, 0]], "x": STEPS, "axis": -1, "zi": mx.zeros((1, T, 2))}),
    "ewm_mean": (signal.ewm_mean, WEIGHTED),
    "ewm_var": (signal.ewm_var, {**WEIGHTED, "bias": False}),
    "rolling_sum": (signal.rolling_sum, ROLLED),
    "rolling_std": (signal.rolling_std, {**ROLLED, "ddof": 1}),
    "deer": (linalg.deer, {"step": lambda h, x: h * x, "xs": STEPS, "state": mx.ones((B,)), "guess": STEPS,
                           "iterations": 9, "tolerance": 0.1}),
    "scaled_matmul": (linalg.scaled_matmul, {"matrices": mx.ones((T, B, B)), "axis": 0, "reverse": False}),
    "solve_tridiagonal": (linalg.solve_tridiagonal, dict.fromkeys(("dl", "d", "du", "b"), STEPS)),
}  # fmt: skip
SAID_OF_OTHERS = {"log_likelihoods", "y", "inputs"}
"""Arguments whose batch is compared with that of the lengths, which the message names."""


def wrong(given: Any) -> Iterator[Any]:
    """Values that no argument takes."""
    yield from ("what", object(), np.array(["a"]))
    if not isinstance(given, mx.array):
        return
    yield from (mx.concatenate([given, given], axis) for axis in range(given.ndim))
    yield from (given[None], given.astype(mx.complex64))
    if given.dtype == mx.uint32:
        yield from (3, given.astype(mx.int32))


def message(call: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """The words of the refusal, empty where the call takes the arguments."""
    try:
        call(**arguments)
    except ms.ScanError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", CALLS)
def test_what_a_recipe_refuses_names_the_call_and_the_argument(name: str) -> None:
    call, arguments = CALLS[name]
    for argument, given in arguments.items():
        for i, value in enumerate(wrong(given)):
            said = message(call, {**arguments, argument: value})
            assert said or i > 2, f"{argument}={value!r} is taken"
            named = {argument, "lengths"} if argument in SAID_OF_OTHERS else {argument}
            assert not said or said.startswith(f"[{call.__name__}]"), said
            assert not said or call is linalg.deer or any(word in said for word in named), said


@pytest.mark.parametrize("name", LAYERS)
def test_what_a_layer_refuses_names_the_layer_and_the_argument(name: str) -> None:
    layer = LAYERS[name]()
    x = mx.ones((B, T, 4))
    state = mx.zeros((B, *(layer.state_shape() or ())))
    for call, given in (
        (layer, {"x": x, "state": state, "lengths": LENGTHS}),
        (layer.step, {"x": x[:, 0], "state": state}),
    ):
        for argument in given:
            for i, value in enumerate(wrong(given[argument])):
                said = message(call, {**given, argument: value})
                assert said or i > 2, f"{argument}={value!r} is taken"
                assert not said or said.startswith(f"[{name}]"), said
                assert not said or argument in said, said


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.MinGRU(4, 0), r"[MinGRU] hidden_dims must be a whole number of 1 or more; got 0."),
        (lambda: nn.RGLRU("4"), r"[RGLRU] input_dims must be a whole number"),  # type: ignore[arg-type]
        (lambda: nn.SelectiveSSM(4, rank=0.5), r"[SelectiveSSM] rank must be"),  # type: ignore[arg-type]
        (lambda: nn.LRU(4, 4, r_min=0.9, r_max=0.5), "[LRU] moduli go from r_min to r_max within 0 and 1; got 0.9 and 0.5."),
        (lambda: nn.S5(4, 4, dt_min=0.1, dt_max=0.01), "[S5] step sizes go from dt_min to dt_max, above 0; got 0.1 and 0.01."),
        (lambda: nn.SelectiveSSM(4, dt_min=0), "[SelectiveSSM] step sizes go from dt_min to dt_max, above 0; got 0 and 0.1."),
        (lambda: nn.GatedLinearAttention(8, temperature=0), "[GatedLinearAttention] temperature must be more than 0; got 0."),
        (
            lambda: nn.MinGRU(4, 6)(mx.ones((1, 3, 4)), mx.zeros((2, 6))),
            "[MinGRU] expects a state of shape (1, 6), the batch of x and (6,); got (2, 6).",
        ),
        (lambda: nn.MinGRU(4, 6).step(mx.ones((2, 3))), "[MinGRU] expects x of shape (..., 4); got (2, 3)."),
        (lambda: hmm.sample(**{**LOGS, "key": 3}), "[sample] key must be one of mx.random, as mx.random.key(0), or None; got 3."),
        (
            lambda: signal.lfilter([1.0], [1.0, 0.5], STEPS, zi=mx.ones((T, 1)) * 1j),
            "[lfilter] zi is complex and x is float32: its imaginary parts would be lost.",
        ),
        (
            lambda: rl.vtrace(**{**ERRORS, "r_t": STEPS, "discount_t": 0.5, "v_t": STEPS[1:]}),
            "[vtrace] steps must be as many along axis 0 everywhere; r_t has 5 (shape (5, 2)), v_t has 4 (shape (4, 2))",
        ),
        (
            lambda: rl.gae(mx.ones((T,)), mx.ones((B, T)), 0.5, mx.zeros((T + 1,)), axis=-1),
            "[gae] axis -1 counts from the end, which needs as many axes everywhere",
        ),
        (lambda: linalg.scaled_matmul(mx.ones((3, 2, 2)), -1), "[scaled_matmul] axis -1 of matrices"),
        (lambda: linalg.deer(lambda h: h, STEPS, mx.ones((B,))), "[deer] <lambda>: step is called with a state"),  # type: ignore[arg-type,misc]
    ],
)  # fmt: skip
def test_what_it_says(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ms.ScanError) as caught:
        make()
    assert words in str(caught.value)


def test_a_number_of_steps_may_be_an_array_without_axes() -> None:
    gate = mx.array(0.5)
    assert mx.array_equal(
        rl.gae(STEPS, gate, gate, mx.zeros((T + 1, B))), rl.gae(STEPS, 0.5, 0.5, mx.zeros((T + 1, B)))
    )
    assert rl.discounted_returns(STEPS, gate, mx.zeros((T, B)))[0, 0].item() == pytest.approx(0.96875)
    assert rl.discounted_returns(STEPS[:, :0], 0.5, STEPS[:, :0]).shape == (T, 0)


def test_samples_of_doubles_are_drawn() -> None:
    """On a CPU, where there are doubles."""
    with mx.stream(mx.cpu):
        doubles = {name: x.astype(mx.float64) for name, x in LOGS.items() if name != "lengths"}
        assert hmm.sample(**doubles, key=mx.random.key(0)).shape == (B, T)


def test_an_axis_of_matrices_counts_from_the_end_too() -> None:
    matrices = mx.random.uniform(shape=(2, 4, 3, 3))
    for ours, expected in zip(linalg.scaled_matmul(matrices, -3), linalg.scaled_matmul(matrices, 1), strict=True):
        assert mx.array_equal(ours, expected)
