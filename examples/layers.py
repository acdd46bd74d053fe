"""Recurrent layers of `monoscan.nn`, each trained on what it is known to be able to learn.

Training is one scan over time; after it the layer runs position by position, as for decoding.
"""

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

from monoscan.nn import LRU, RGLRU, S5, GatedLinearAttention, MinGRU, MinLSTM, SelectiveSSM

WIDTH, BATCH, SYMBOLS, KEYS = 32, 64, 4, 4


class Model(nn.Module):
    """Two layers between linear maps, each added to what it is given."""

    def __init__(self, inputs, outputs, make):
        super().__init__()
        self.before, self.after = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, outputs)
        self.norms, self.layers = [nn.RMSNorm(WIDTH) for _ in range(2)], [make() for _ in range(2)]

    def __call__(self, x, states=(None, None), step=False):
        x, after = self.before(x), []
        for norm, layer, state in zip(self.norms, self.layers, states, strict=True):
            y, state = (layer.step if step else layer)(norm(x), state)
            x, after = x + y, [*after, state]
        return self.after(x), after


def wave():
    """Waves of any frequency and phase go on: after each sample the next one."""
    frequency, phase = mx.random.uniform(0.1, 1, (BATCH, 1)), mx.random.uniform(0, 6.28, (BATCH, 1))
    x = mx.sin(frequency * mx.arange(49) + phase)[..., None]
    return x[:, :-1], x[:, 1:]


def copying():
    """Symbols are kept over fillers: each place shows the last one."""
    symbols, shown = mx.random.randint(0, SYMBOLS, (BATCH, 32)), mx.random.uniform(shape=(BATCH, 32)) < 0.25
    shown[:, 0] = True
    last = mx.cummax(mx.where(shown, mx.arange(32), 0), axis=1)
    x = mx.where(shown, symbols, SYMBOLS)
    return mx.eye(SYMBOLS + 1)[x], mx.take_along_axis(symbols, last, 1)


def recall():
    """Values are recalled by their keys: these come first with, then without them, in another order."""
    keys = mx.argsort(mx.random.uniform(shape=(2, BATCH, KEYS)), axis=-1)
    values = mx.random.randint(0, SYMBOLS, (BATCH, KEYS))  # by key
    said = mx.concatenate([mx.take_along_axis(values, keys[0], 1), mx.full((BATCH, KEYS), SYMBOLS)], 1)
    x = mx.concatenate([mx.eye(KEYS)[mx.concatenate([*keys], 1)], mx.eye(SYMBOLS + 1)[said]], -1)
    return x, mx.concatenate([mx.full((BATCH, KEYS), -1), mx.take_along_axis(values, keys[1], 1)], 1)


def loss_of(model, x, y):
    found = model(x)[0]
    if y.ndim == 3:  # after a few samples, when the wave is known
        return (found - y)[:, 8:].square().mean()
    return (nn.losses.cross_entropy(found, mx.maximum(y, 0)) * (y >= 0)).sum() / (y >= 0).sum()


def learn(name, task, rate, steps, make):
    mx.random.seed(0)
    x, y = task()
    model, optimizer = Model(x.shape[-1], 1 if y.ndim == 3 else SYMBOLS, make), optim.Adam(rate)
    value_and_grad = nn.value_and_grad(model, loss_of)
    losses = []
    for _ in range(steps):
        loss, gradients = value_and_grad(model, *task())
        optimizer.update(model, gradients)
        mx.eval(model.state, optimizer.state)
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < losses[0] / 4, losses
    whole, states = model(x)[0], (None, None)
    for t in range(x.shape[1]):
        y, states = model(x[:, t], states, step=True)
        assert mx.allclose(y, whole[:, t], rtol=1e-3, atol=1e-3)
    print(f"{name:21}{task.__doc__.split(':')[0].lower()}")


if __name__ == "__main__":
    print("after training, the loss is less than a quarter, and decoding agrees with the scan:")
    learn("LRU", wave, 3e-3, 40, lambda: LRU(WIDTH, WIDTH, r_min=0.8, r_max=0.99, max_phase=1.5))
    learn("S5", wave, 3e-3, 30, lambda: S5(WIDTH, WIDTH, dt_min=0.01))
    learn("MinGRU", copying, 1e-2, 20, lambda: MinGRU(WIDTH, WIDTH))
    learn("MinLSTM", copying, 1e-2, 20, lambda: MinLSTM(WIDTH, WIDTH))
    learn("RGLRU", copying, 1e-2, 70, lambda: RGLRU(WIDTH))
    learn("SelectiveSSM", copying, 1e-2, 30, lambda: SelectiveSSM(WIDTH, state_dims=8))
    learn("GatedLinearAttention", recall, 4e-3, 40, lambda: GatedLinearAttention(WIDTH, heads=2))
