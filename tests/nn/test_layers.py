"""Layers against straightforward loops over time, in MLX operations alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

import monoscan as ms
from monoscan import nn
from tests.selection import thinned

BATCH, TIME = 2, 11
Loop = Callable[[Any, mx.array], tuple[mx.array, mx.array]]


def over_time(step: Callable[..., tuple[Any, mx.array]], state: Any, *sequences: mx.array) -> tuple[mx.array, Any]:
    """Outputs and last state of ``state, y = step(state, *x)``, one position after the other."""
    found = []
    for t in range(sequences[0].shape[1]):
        state, y = step(state, *(x[:, t] for x in sequences))
        found.append(y)
    return mx.stack(found, 1), state


def lru(layer: nn.LRU, x: mx.array) -> tuple[mx.array, mx.array]:
    gate = mx.exp(-mx.exp(layer.nu_log) + 1j * mx.exp(layer.theta_log))
    u = mx.exp(layer.gamma_log) * (x @ layer.B[0].T + 1j * (x @ layer.B[1].T))
    zero = mx.zeros((BATCH, layer.state_dims), mx.complex64)
    h, last = over_time(lambda h, u: (gate * h + u, gate * h + u), zero, u)
    return (h @ (layer.C[0] + 1j * layer.C[1]).T).real + layer.D * x, last


def s5(layer: nn.S5, x: mx.array) -> tuple[mx.array, mx.array]:
    rate = layer.Lambda[0] + 1j * layer.Lambda[1]
    gate = mx.exp(rate * mx.exp(layer.log_step))
    u = (gate - 1) / rate * (x @ layer.B[0].T + 1j * (x @ layer.B[1].T))
    h, last = over_time(lambda h, u: (gate * h + u, gate * h + u), mx.zeros(u.shape[::2], mx.complex64), u)
    return 2 * (h @ (layer.C[0] + 1j * layer.C[1]).T).real + layer.D * x, last


def min_gru(layer: nn.MinGRU, x: mx.array) -> tuple[mx.array, mx.array]:
    z, candidate = mx.split(layer.projection(x), 2, -1)
    z = mx.sigmoid(z)

    def step(h: mx.array, z: mx.array, c: mx.array) -> tuple[mx.array, mx.array]:
        h = (1 - z) * h + z * c
        return h, h

    return over_time(step, mx.zeros((BATCH, layer.hidden_dims)), z, candidate)


def min_lstm(layer: nn.MinLSTM, x: mx.array) -> tuple[mx.array, mx.array]:
    f, i, candidate = mx.split(layer.projection(x), 3, -1)
    f, i = mx.sigmoid(f), mx.sigmoid(i)

    def step(h: mx.array, f: mx.array, i: mx.array, c: mx.array) -> tuple[mx.array, mx.array]:
        h = f / (f + i) * h + i / (f + i) * c
        return h, h

    return over_time(step, mx.zeros((BATCH, layer.hidden_dims)), f, i, candidate)


def rg_lru(layer: nn.RGLRU, x: mx.array) -> tuple[mx.array, mx.array]:
    width = layer.input_dims // layer.blocks
    blocks = [x[..., i * width : (i + 1) * width] for i in range(layer.blocks)]
    maps = [mx.concatenate([b @ w for b, w in zip(blocks, layer.weight[k], strict=True)], -1) for k in range(2)]
    r, i = (mx.sigmoid(m + b) for m, b in zip(maps, layer.bias, strict=True))
    a = mx.exp(-8 * mx.log1p(mx.exp(layer.param)) * r)

    def step(h: mx.array, a: mx.array, i: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
        h = a * h + mx.sqrt(1 - a * a) * (i * x)
        return h, h

    return over_time(step, mx.zeros((BATCH, layer.input_dims)), a, i, x)


def selective(layer: nn.SelectiveSSM, x: mx.array) -> tuple[mx.array, mx.array]:
    low, b, c = mx.split(layer.x_proj(x), [layer.rank, layer.rank + layer.state_dims], -1)
    delta = mx.log1p(mx.exp(layer.dt_proj(low)))
    rate = -mx.exp(layer.A_log)

    def step(h: mx.array, delta: mx.array, b: mx.array, c: mx.array, x: mx.array) -> tuple[mx.array, mx.array]:
        h = mx.exp(delta[..., None] * rate) * h + (delta * x)[..., None] * b[:, None]
        return h, (h * c[:, None]).sum(-1) + layer.D * x

    return over_time(step, mx.zeros((BATCH, layer.input_dims, layer.state_dims)), delta, b, c, x)


def attention(layer: nn.GatedLinearAttention, x: mx.array) -> tuple[mx.array, mx.array]:
    q, k, v, gate = (
        m.reshape(BATCH, TIME, layer.heads, -1)
        for m in (layer.q_proj(x), layer.k_proj(x), layer.v_proj(x), layer.gate_up(layer.gate_down(x)))
    )
    alpha = mx.sigmoid(gate) ** (1 / layer.temperature)

    def step(s: mx.array, q: mx.array, k: mx.array, v: mx.array, a: mx.array) -> tuple[mx.array, mx.array]:
        s = a[..., None] * s + k[..., None] * v[..., None, :]
        return s, (q[..., None] * s).sum(-2) * k.shape[-1] ** -0.5

    o, last = over_time(step, mx.zeros((BATCH, layer.heads, k.shape[-1], v.shape[-1])), q, k, v, alpha)
    return layer.out_proj(layer.norm(o).reshape(BATCH, TIME, -1) * mnn.silu(layer.g_proj(x))), last


LAYERS: dict[str, tuple[Callable[[], nn.Recurrent], Loop]] = {
    "LRU": (lambda: nn.LRU(6, 8, r_min=0.4), lru),
    "S5": (lambda: nn.S5(6, 8, blocks=2), s5),
    "MinGRU": (lambda: nn.MinGRU(6, 5), min_gru),
    "MinLSTM": (lambda: nn.MinLSTM(6, 5), min_lstm),
    "RGLRU": (lambda: nn.RGLRU(6, blocks=2), rg_lru),
    "SelectiveSSM": (lambda: nn.SelectiveSSM(6, state_dims=4), selective),
    "GatedLinearAttention": (lambda: nn.GatedLinearAttention(8, heads=2), attention),
}
every = pytest.mark.parametrize("name", LAYERS)
some = pytest.mark.parametrize("name", thinned(LAYERS, ["LRU", "SelectiveSSM"]))


def made(name: str) -> tuple[nn.Recurrent, mx.array]:
    """A layer, of which no parameter is where a mistake would not be seen, and inputs."""
    mx.random.seed(3)
    layer = LAYERS[name][0]()
    layer.update(tree_map(lambda p: p + 0.05 * mx.random.normal(p.shape), layer.parameters()))
    return layer, mx.random.normal((BATCH, TIME, layer.input_dims))


def close(ours: mx.array, expected: mx.array, atol: float = 2e-5) -> None:
    np.testing.assert_allclose(np.array(ours), np.array(expected), rtol=2e-4, atol=atol)


@every
def test_outputs_and_the_last_state_are_those_of_a_loop(name: str) -> None:
    layer, x = made(name)
    (y, state), (expected, last) = layer(x), LAYERS[name][1](layer, x)
    close(y, expected)
    close(state, last)


def same(ours: mx.array, expected: mx.array, exact: bool) -> None:
    tolerance = 0.0 if exact else 2e-6
    np.testing.assert_allclose(np.array(ours), np.array(expected), rtol=tolerance, atol=tolerance)


@every
def test_steps_and_parts_are_the_sequence(name: str) -> None:
    """To the bit, but for the gates that are the same at all steps: those of few states go in lanes along time."""
    layer, x = made(name)
    exact = name not in ("LRU", "S5")
    y, last = layer(x)
    state, found = None, []
    for t in range(TIME):
        one, state = layer.step(x[:, t], state)
        found.append(one)
    same(mx.stack(found, 1), y, exact)
    same(state, last, exact)
    first, state = layer(x[:, :4])
    none, state = layer(x[:, :0], state)
    second, state = layer(x[:, 4:], state)
    same(mx.concatenate([first, none, second], 1), y, exact)
    same(state, last, exact)


def test_wide_states_step_to_the_bit() -> None:
    for layer in (nn.LRU(4, 16), nn.S5(4, 32)):
        x = mx.random.normal((2, 5, 4))
        y, state = layer(x[:, :4])[0], layer(x[:, :3])[1]
        assert mx.array_equal(layer.step(x[:, 3], state)[0], y[:, 3])


@some
def test_gradients_are_those_of_a_loop(name: str) -> None:
    layer, x = made(name)
    weights = mx.random.normal(layer(x)[0].shape)

    def gradients(run: Loop) -> dict[str, mx.array]:
        def loss(parameters: Any, x: mx.array) -> mx.array:
            layer.update(parameters)
            return (run(layer, x)[0] * weights).sum()

        by_parameters, by_x = mx.grad(loss, (0, 1))(layer.trainable_parameters(), x)
        return {"x": by_x, **dict(tree_flatten(by_parameters))}

    ours, expected = gradients(lambda layer, x: layer(x)), gradients(LAYERS[name][1])
    assert ours.keys() == expected.keys()
    for path, gradient in expected.items():
        close(ours[path], gradient, atol=2e-4)


@some
def test_halves_keep_their_state_in_float32(name: str) -> None:
    layer, x = made(name)
    expected = layer(x)[0]
    for _ in range(2):  # by parameters in float32, then in halves
        y, state = layer(x.astype(mx.bfloat16))
        assert y.dtype == mx.bfloat16
        assert state.dtype in (mx.float32, mx.complex64)
        np.testing.assert_allclose(np.array(y.astype(mx.float32)), np.array(expected), rtol=0.1, atol=0.15)
        layer.set_dtype(mx.bfloat16)


def test_a_gate_that_is_shut_has_a_gradient() -> None:
    """Where the recurrence gate of an RGLRU is 0, all is kept and the root of 1 - 1 is taken."""
    layer = nn.RGLRU(4)
    layer.bias[0] = -200.0

    def loss(parameters: Any, x: mx.array) -> mx.array:
        layer.update(parameters)
        return layer(x)[0].square().sum()

    value, gradients = mx.value_and_grad(loss)(layer.trainable_parameters(), mx.ones((2, 5, 4)))
    assert value.item() == 0
    assert all(mx.isfinite(each).all() for _, each in tree_flatten(gradients))


@pytest.mark.long
@pytest.mark.parametrize("gates", [(-200.0, -200.0), (-1e4, 1e4), (1e4, -1e4), (0.0, -1e4)])
def test_gates_at_their_ends_are_finite_with_gradients(gates: tuple[float, float]) -> None:
    """A MinLSTM whose gates both round to 0 takes their shares; attention forgets all, or nothing."""
    forget, update = gates
    lstm = nn.MinLSTM(8, 4)
    lstm.projection.weight *= 0
    lstm.projection.bias = mx.concatenate([mx.full((4,), forget), mx.full((4,), update), mx.ones((4,))])
    gla = nn.GatedLinearAttention(8, heads=2, temperature=1.0)
    gla.gate_up.bias = mx.full(gla.gate_up.bias.shape, forget)
    kept = 1 / (1 + np.exp(np.clip(update - forget, -700, 700))) if update < 0 > forget else float(forget > update)
    x = mx.random.normal((2, 7, 8))
    y, _ = lstm(x, mx.zeros((2, 4)))
    np.testing.assert_allclose(np.array(y[0, :, 0]), 1 - kept ** np.arange(1, 8), atol=1e-6)
    for layer in (lstm, gla):

        def loss(parameters: Any, x: mx.array, layer: nn.Recurrent = layer) -> mx.array:
            layer.update(parameters)
            return layer(x)[0].square().sum()

        value, found = mx.value_and_grad(loss, (0, 1))(layer.trainable_parameters(), x)
        assert mx.isfinite(value)
        assert all(mx.isfinite(each).all() for _, each in tree_flatten(found))


@pytest.mark.parametrize("name", thinned(LAYERS, ["SelectiveSSM"]))
def test_padded_rows_are_those_alone(name: str) -> None:
    """Outputs of valid positions, the state of the row's end, and gradients; NaN in the padding changes nothing."""
    layer, x = made(name)
    lengths = [4, TIME]
    padding = mx.arange(TIME)[None, :, None] >= mx.array(lengths)[:, None, None]
    spoilt = mx.where(padding, mx.nan, x)

    def loss(parameters: Any, x: mx.array, lengths: Any, padding: Any) -> tuple[mx.array, Any]:
        layer.update(parameters)
        y, state = layer(x, lengths=lengths)
        return mx.where(padding, 0, y).sum() + mx.abs(state).sum(), (y, state)

    run = mx.value_and_grad(loss, (0, 1))
    parameters = layer.trainable_parameters()
    (_, (y, state)), (by_parameters, by_x) = run(parameters, spoilt, mx.array(lengths), padding)
    assert not by_x[0, lengths[0] :].any()
    summed: dict[str, mx.array] = {}
    for row, length in enumerate(lengths):
        (_, (alone, last)), (own, by_row) = run(parameters, x[row : row + 1, :length], None, mx.array(False))
        close(y[row, :length], alone[0])
        close(state[row], last[0])
        close(by_x[row, :length], by_row[0], atol=2e-4)
        summed = {path: each + summed.get(path, 0) for path, each in tree_flatten(own)}
    for path, each in tree_flatten(by_parameters):
        close(each, summed[path], atol=5e-4)


@pytest.mark.long
def test_a_training_step_holds_no_states() -> None:
    batch, time, channels, states = 2, 512, 64, 16
    layer, x = nn.SelectiveSSM(channels, states), mx.random.normal((batch, time, channels))

    def loss(parameters: Any) -> mx.array:
        layer.update(parameters)
        return layer(x)[0].square().mean()

    step, parameters = mx.grad(loss), layer.trainable_parameters()
    mx.eval(x, parameters, step(parameters))
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(step(parameters))
    assert mx.get_peak_memory() - before < batch * time * channels * states * 4


@pytest.mark.parametrize("name", thinned(LAYERS, ["RGLRU", "GatedLinearAttention"]))
def test_a_batch_may_have_no_rows(name: str) -> None:
    layer, x = made(name)
    y, state = layer(x)
    none, start = layer(x[:0])
    assert none.shape == (0, *y.shape[1:])
    shapes = [leaf.shape for _, leaf in tree_flatten(state)]
    assert [leaf.shape for _, leaf in tree_flatten(start)] == [(0, *shape[1:]) for shape in shapes]


@some
def test_a_row_of_no_positions_keeps_its_state(name: str) -> None:
    layer, x = made(name)
    state = layer(x)[1]

    def loss(x: mx.array, state: mx.array) -> mx.array:
        y, last = layer(x, state, mx.array([0, 3]))
        return mx.abs(last).sum() + y[1, :3].sum()

    last = layer(x, state, mx.array([0, 3]))[1]
    assert mx.array_equal(last[0], state[0])
    by_x, by_state = mx.grad(loss, (0, 1))(x, state)
    assert not by_x[0].any()
    close(mx.abs(by_state[0]), mx.ones_like(mx.abs(by_state[0])))
    assert mx.isfinite(mx.abs(by_state)).all()
    assert mx.array_equal(layer(x[:, :0], state)[1], state)


def test_rows_without_a_batch() -> None:
    layer, x = made("MinGRU")
    y, state = layer(x[0])
    close(y, layer(x)[0][0])
    assert state.shape == (5,)


def test_training_brings_the_loss_down() -> None:
    """Which of two symbols came three steps ago: a layer has to remember it."""
    import mlx.optimizers as optim

    mx.random.seed(0)

    class Model(mnn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.LRU(1, 8, r_min=0.5, r_max=0.95), mnn.Linear(1, 1)

        def __call__(self, x: mx.array) -> mx.array:
            return self.head(self.layer(x)[0])

    model, optimizer = Model(), optim.Adam(3e-2)
    x = mx.random.randint(0, 2, (8, 32, 1)).astype(mx.float32)

    def loss(model: Model) -> mx.array:
        return (model(x)[:, 3:] - x[:, :-3]).square().mean()

    step = mnn.value_and_grad(model, loss)
    losses = []
    for _ in range(60):
        value, gradients = step(model)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state)
        losses.append(value.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.S5(4, 7), r"\[S5\] state_dims is a multiple of 2"),
        (lambda: nn.RGLRU(6, blocks=4), r"\[RGLRU\] blocks divides input_dims; got 4 for 6"),
        (lambda: nn.GatedLinearAttention(8, heads=3), r"heads divides the sizes of keys and values; got 3 for 4 and 8"),
        (lambda: nn.MinGRU(6, 5)(mx.ones((3, 4))), r"\[MinGRU\] expects x of shape \(..., time, 6\); got \(3, 4\)"),
        (
            lambda: nn.SelectiveSSM(4)(mx.ones((3, 4)), mx.ones((7,))),
            r"\[SelectiveSSM\] expects a state of shape \(4, 16\), .* got \(7,\)",
        ),
        (lambda: nn.LRU(4, 6)(mx.ones((3, 4), mx.int32)), r"\[LRU\] expects x of floats; got int32. Cast it"),
        (
            lambda: nn.LRU(4, 6)(mx.ones((2, 0, 4))),
            r"\[LRU\] no steps have no last state .* got x of shape \(2, 0, 4\)",
        ),
        (
            lambda: nn.LRU(4, 6)(mx.ones((2, 3, 4)), lengths=mx.array([1, 2, 3])),
            r"\[LRU\] lengths of shape \(3,\) must align from the left with \(2,\)",
        ),
    ],
)
def test_what_does_not_fit(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ms.ScanError, match=words):
        make()


def test_short_steps_keep_their_digits() -> None:
    """Of ``exp(z) - 1`` with z near 0 a difference of float32 has four digits."""
    layer = nn.S5(2, 8, dt_min=1e-4, dt_max=1e-3)
    layer.B = mx.stack([mx.ones((4, 2)), mx.zeros((4, 2))])
    gate, taken = layer.inputs(mx.array([[1.0, 0.0]]))
    rate = np.array(layer.Lambda[0], np.float64) + 1j * np.array(layer.Lambda[1], np.float64)
    z = rate * np.exp(np.array(layer.log_step, np.float64))
    np.testing.assert_allclose(np.array(gate), np.exp(z), rtol=3e-7)
    np.testing.assert_allclose(np.array(taken)[0], np.expm1(z) / rate, rtol=2e-6)


def test_the_first_eigenvalues_are_those_of_hippo() -> None:
    size = 6
    root = np.sqrt(2 * np.arange(size) + 1)
    hippo = -np.tril(np.outer(root, root), -1) - np.diag(np.arange(size) + 1.0)
    normal = hippo + 0.5 * np.outer(root, root)
    values = np.linalg.eigvals(normal)
    expected = np.sort(values[values.imag > 0].imag)
    layer = nn.S5(2, size)
    np.testing.assert_allclose(np.sort(np.array(layer.Lambda[1])), expected, rtol=1e-5)
    np.testing.assert_allclose(np.array(layer.Lambda[0]), -0.5, rtol=1e-5)
