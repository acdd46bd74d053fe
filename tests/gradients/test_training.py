"""Scans inside scans and inside modules that are trained."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest
from test_gradients_transforms import RUNS, close, loop_loss, loss, normal

import monoscan as ms
from monoscan import tree

# -------------------------------------------------------------------------------------- scans in scans


@pytest.mark.parametrize("strategy", RUNS)
@pytest.mark.parametrize("axes", [(0, 0), (0, 1), (1, 0)])
def test_the_scan_of_a_scan(axes: tuple[int, int], strategy: str) -> None:
    x = normal(5, 4)

    def twice(x: mx.array) -> mx.array:
        y = ms.scan(ms.Product(), mx.sin(x), axes[0], strategy=strategy)
        return (ms.scan(ms.LogSumExp(), y, axes[1], strategy=strategy) ** 2).sum()

    def by_hand(x: mx.array) -> mx.array:
        y = mx.cumprod(mx.sin(x), axes[0])
        return (mx.logcumsumexp(y, axis=axes[1]) ** 2).sum()

    close(mx.grad(twice)(x), mx.grad(by_hand)(x), 1e-3)


@pytest.mark.parametrize("strategy", ["auto", "hillis_steele", "brent_kung"])
def test_a_scan_inside_combine(strategy: str) -> None:
    """Polynomials under shuffles of their running sums: a commuting linear action."""
    x = normal(5, 3)

    def combine(l: mx.array, r: mx.array) -> mx.array:
        return l + ms.scan(ms.Sum(), r, strategy="native") - ms.scan(ms.Sum(), r, inclusive=False, strategy="native")

    operator = ms.monoid(combine, event=1)
    close(ms.scan(operator, x, strategy=strategy), mx.cumsum(x, 0))
    got = mx.grad(lambda x: (ms.scan(operator, x, strategy=strategy) ** 2).sum())(x)
    close(got, mx.grad(lambda x: (mx.cumsum(x, 0) ** 2).sum())(x), 1e-3)


@pytest.mark.parametrize("strategy", ["auto", "hillis_steele", "sequential"])
def test_a_scan_that_makes_what_combine_captures(strategy: str) -> None:
    x, rates = normal(6), mx.array([0.5, 0.8, 1.5])

    def run(x: mx.array, rates: mx.array) -> mx.array:
        rate = ms.fold(ms.Product(), rates)
        return (ms.scan(ms.monoid(lambda l, r: l + r + rate * l * r), x, strategy=strategy) ** 2).sum()

    def by_hand(x: mx.array, rates: mx.array) -> mx.array:
        rate, total = rates[0] * rates[1] * rates[2], x[0]
        found = total**2
        for t in range(1, 6):
            total = total + x[t] + rate * total * x[t]
            found = found + total**2
        return found

    for got, want in zip(mx.grad(run, (0, 1))(x, rates), mx.grad(by_hand, (0, 1))(x, rates), strict=True):
        close(got, want, 1e-3)


# ------------------------------------------------------------------------------------------ training


class Recurrent(nn.Module):
    """A gated recurrence with a learned first state and a learned decay inside ``combine``."""

    def __init__(self, strategy: str | None) -> None:
        super().__init__()
        self.gate, self.value, self.out = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 1)
        self.h0, self.decay = mx.zeros((4,)), mx.array(0.9)
        self._strategy = strategy

    def __call__(self, x: mx.array) -> mx.array:
        a, b = mx.sigmoid(self.gate(x)), self.value(x)
        if self._strategy is None:
            h, found = self.h0, []
            for t in range(x.shape[0]):
                h = self.decay * a[t] * h + b[t]
                found.append(h)
            return self.out(mx.stack(found))
        operator = ms.monoid(lambda l, r: (l[0] * r[0], l[1] * r[0] * self.decay / self.decay + r[1]), identity=(1, 0))
        return self.out(
            ms.scan(operator, (self.decay * a, b), init=(mx.ones((4,)), self.h0), strategy=self._strategy)[1]
        )


def trained(strategy: str | None, checkpoint: bool = False) -> tuple[list[float], dict[str, mx.array]]:
    mx.random.seed(0)
    x, y = mx.random.normal((9, 2, 3)), mx.random.normal((9, 2, 1))
    model = Recurrent(strategy)
    optimiser = optim.Adam(learning_rate=0.05)

    def distance() -> mx.array:
        run = nn.utils.checkpoint(model) if checkpoint else model
        return ((run(x) - y) ** 2).mean()

    step, losses = nn.value_and_grad(model, distance), []
    for _ in range(6):
        value, grads = step()
        optimiser.update(model, grads)
        mx.eval(model.parameters(), optimiser.state)
        losses.append(value.item())
    return losses, dict(nn.utils.tree_flatten(model.parameters()))


@pytest.mark.long
@pytest.mark.parametrize("checkpoint", [False, True], ids=["plain", "checkpoint"])
@pytest.mark.parametrize("strategy", RUNS)
def test_a_module_trains_as_with_a_loop(strategy: str, checkpoint: bool) -> None:
    want, parameters = trained(None)
    got, ours = trained(strategy, checkpoint)
    np.testing.assert_allclose(got, want, rtol=1e-4)
    assert got[-1] < got[0]
    for name, value in parameters.items():
        close(ours[name], value, 1e-3)


@pytest.mark.parametrize("strategy", [*RUNS, "kernel"])
def test_checkpoints_of_a_scan(strategy: str) -> None:
    a, b = normal(7, 2), normal(7, 2)
    got = mx.grad(lambda a, b: mx.checkpoint(loss(strategy))(a, b), argnums=(0, 1))(a, b)
    for ours, want in zip(got, mx.grad(loop_loss, argnums=(0, 1))(a, b), strict=True):
        close(ours, want, 1e-3)


def test_gradients_by_tree_have_the_tree_of_the_elements() -> None:
    elems = {"low": normal(5), "high": normal(5)}
    operator = ms.Struct(low=ms.Product(), high=ms.Sum())
    got = mx.grad(lambda e: sum((y.sum() for y in tree.flatten(ms.scan(operator, e))[0]), mx.array(0.0)))(elems)
    assert set(got) == {"low", "high"}
    close(got["high"], mx.array([5.0, 4, 3, 2, 1]))
