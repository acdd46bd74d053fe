"""`SelectiveSSM`: the core of a Mamba block."""

from __future__ import annotations

import math
from typing import Any, final

import mlx.core as mx
from mlx.nn.layers.linear import Linear

from monoscan.arguments import sizes, steps_from
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.inputs import fixed
from monoscan.monoids.linear import Affine
from monoscan.nn.recurrent import Aggregated, Shape


@final
class _Selective(Aggregator):
    """Inputs: what the step size is the softplus of, A, B, C, x and D; outputs ``sum(h C) + D x``."""

    operator = Affine()
    event = (0, 1, 1, 1, 0, 0)

    def prepare(self, step: mx.array, A: mx.array, B: mx.array, C: mx.array, x: mx.array, D: mx.array) -> Any:
        delta = mx.logaddexp(step, 0.0)
        return mx.exp(delta * A), delta * x * B

    def present(
        self, h: mx.array, step: mx.array, A: mx.array, B: mx.array, C: mx.array, x: mx.array, D: mx.array
    ) -> mx.array:
        return (h * C).sum() + D * x


@final
class SelectiveSSM(Aggregated):
    """The selective state space of a Mamba block, between its convolution and its gate.

    ``h[t] = exp(delta A) h[t-1] + delta x[t] B`` and ``y[t] = sum(h[t] C) + D * x[t]``, where ``B``, ``C`` and, by way of
    a low rank, ``delta`` are linear in ``x[t]``. One loop computes it from ``x``, ``delta``, ``B`` and ``C``; neither
    the elements nor the states stand in memory, forward or for the gradient.

    Source: Gu and Dao, *Mamba: Linear-Time Sequence Modeling with Selective State Spaces* (2023), algorithm 2.

    Args:
        input_dims (int): The number of channels.
        state_dims (int, optional): The number of states of a channel. Default: ``16``.
        rank (int, optional): The rank of ``delta``. Default: ``None``, a sixteenth of the channels, rounded up.
        dt_min (float, optional): The least ``delta`` at first. Default: ``0.001``.
        dt_max (float, optional): The greatest. Default: ``0.1``.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import nn
        >>> layer = nn.SelectiveSSM(8, state_dims=4)
        >>> y, state = layer(mx.ones((2, 16, 8)))
        >>> y.shape, state.shape
        ((2, 16, 8), (2, 8, 4))
    """

    def __init__(
        self,
        input_dims: int,
        state_dims: int = 16,
        rank: int | None = None,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
    ) -> None:
        super().__init__()
        self.input_dims, self.state_dims = sizes("SelectiveSSM", input_dims=input_dims, state_dims=state_dims)
        steps_from("SelectiveSSM", dt_min, dt_max)
        (self.rank,) = sizes("SelectiveSSM", rank=math.ceil(input_dims / 16) if rank is None else rank)
        self.x_proj = Linear(input_dims, self.rank + 2 * state_dims, bias=False)
        self.dt_proj = Linear(self.rank, input_dims)
        self.dt_proj.weight = mx.random.uniform(-1, 1, (input_dims, self.rank)) * self.rank**-0.5
        delta = mx.exp(mx.random.uniform(math.log(dt_min), math.log(dt_max), (input_dims,)))
        self.dt_proj.bias = delta + mx.log(-mx.expm1(-delta))  # softplus gives it back
        steps = mx.arange(1, state_dims + 1, dtype=mx.float32)
        self.A_log = mx.broadcast_to(mx.log(steps), (input_dims, state_dims))
        self.D = mx.ones((input_dims,))

    def state_shape(self) -> Shape:
        return (self.input_dims, self.state_dims)

    def _extra_repr(self) -> str:
        return f"input_dims={self.input_dims}, state_dims={self.state_dims}, rank={self.rank}"

    @property
    def rule(self) -> _Selective:
        return _Selective()

    def inputs(self, x: mx.array) -> tuple[Any, ...]:
        """What ``delta`` is the softplus of, A, B and C of all channels, x and D."""
        delta, B, C = mx.split(self.x_proj(x), [self.rank, self.rank + self.state_dims], -1)
        wide = (B[..., None, :], C[..., None, :])
        return self.dt_proj(delta), fixed(-mx.exp(self.A_log)), *wide, x, fixed(self.D)
