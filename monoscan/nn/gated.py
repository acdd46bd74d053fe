"""`MinGRU`, `MinLSTM` and `RGLRU`: gates that do not look at the state, so that states are a linear recurrence."""

from __future__ import annotations

from typing import Any, final

import mlx.core as mx
from mlx.nn.layers.activations import softplus
from mlx.nn.layers.linear import Linear

from monoscan import errors
from monoscan.arguments import sizes
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.inputs import fixed
from monoscan.monoids.linear import Affine
from monoscan.nn.recurrent import Aggregated, Shape

LEAST_TAKEN = 1e-12
"""The least share of a step that has a square root: at 0 its slope is infinite, and the gradient NaN."""


class _States(Aggregator):
    """Outputs are the states."""

    operator = Affine()

    def present(self, h: mx.array, *inputs: mx.array) -> mx.array:
        return h


@final
class _MinGRU(_States):
    """Inputs: what goes into the update gate, and the candidate."""

    def prepare(self, update: mx.array, candidate: mx.array) -> Any:
        gate = mx.sigmoid(update)
        return 1 - gate, gate * candidate


@final
class _MinLSTM(_States):
    """Inputs: what goes into the forget and the input gate, and the candidate."""

    def prepare(self, forget: mx.array, update: mx.array, candidate: mx.array) -> Any:
        # shares of sigmoid(forget) and sigmoid(update), as (1 + exp(-update)) and (1 + exp(-forget)) of their sum: both
        # scaled by exp(least), so that neither overflows and one is 1 at least; it cancels, and so do its gradients
        least = mx.stop_gradient(mx.minimum(mx.minimum(forget, update), 0))
        kept, taken = mx.exp(least) + mx.exp(least - update), mx.exp(least) + mx.exp(least - forget)
        share = 1 / (kept + taken)
        return kept * share, taken * share * candidate


@final
class _RGLRU(_States):
    """Inputs: the logarithm of the gate at full recurrence, what goes into the recurrence and input gate, and x."""

    def prepare(self, log_gate: mx.array, recurrence: mx.array, update: mx.array, x: mx.array) -> Any:
        log_kept = log_gate * mx.sigmoid(recurrence)
        taken = -mx.expm1(2 * log_kept)  # 1 - gate^2, where the gate rounds to 1 too
        some = taken > LEAST_TAKEN
        share = mx.where(some, mx.sqrt(mx.where(some, taken, 1)), 0)
        return mx.exp(log_kept), share * mx.sigmoid(update) * x


class _Projected(Aggregated):
    """A layer whose rule takes parts of one linear map of the inputs."""

    parts: int

    def __init__(self, input_dims: int, hidden_dims: int, bias: bool = True) -> None:
        super().__init__()
        call = type(self).__name__
        self.input_dims, self.hidden_dims = sizes(call, input_dims=input_dims, hidden_dims=hidden_dims)
        self.projection = Linear(input_dims, self.parts * hidden_dims, bias)

    def state_shape(self) -> Shape:
        return (self.hidden_dims,)

    def _extra_repr(self) -> str:
        return f"input_dims={self.input_dims}, hidden_dims={self.hidden_dims}, bias={'bias' in self.projection}"

    def inputs(self, x: mx.array) -> tuple[Any, ...]:
        """The parts of the projection."""
        return tuple(mx.split(self.projection(x), self.parts, -1))


@final
class MinGRU(_Projected):
    """The minimal gated recurrent unit: ``h[t] = (1 - z[t]) * h[t-1] + z[t] * c[t]`` with ``z = sigmoid(W x)``, ``c = V x``.

    Source: Feng et al., *Were RNNs All We Needed?* (2024), section 3.1.

    Args:
        input_dims (int): The number of inputs.
        hidden_dims (int): The number of states, which are the outputs.
        bias (bool, optional): Whether the maps have biases. Default: ``True``.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import nn
        >>> layer = nn.MinGRU(4, 8)
        >>> y, state = layer(mx.ones((2, 16, 4)))
        >>> y.shape, state.shape
        ((2, 16, 8), (2, 8))
    """

    parts = 2

    @property
    def rule(self) -> _States:
        return _MinGRU()


@final
class MinLSTM(_Projected):
    """The minimal long short-term memory: ``h[t] = f' * h[t-1] + i' * c[t]`` with gates ``f``, ``i`` scaled to add up to 1.

    Source: Feng et al., *Were RNNs All We Needed?* (2024), section 3.2.

    Args:
        input_dims (int): The number of inputs.
        hidden_dims (int): The number of states, which are the outputs.
        bias (bool, optional): Whether the maps have biases. Default: ``True``.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import nn
        >>> layer = nn.MinLSTM(4, 8)
        >>> y, state = layer(mx.ones((2, 16, 4)))
        >>> y.shape, state.shape
        ((2, 16, 8), (2, 8))
    """

    parts = 3

    @property
    def rule(self) -> _States:
        return _MinLSTM()


@final
class RGLRU(Aggregated):
    """The real-gated linear recurrent unit of Griffin: ``h[t] = a[t] * h[t-1] + sqrt(1 - a[t]^2) * (i[t] * x[t])``.

    ``log a[t] = -8 softplus(param) * r[t]``, with gates ``r`` and ``i`` that are sigmoids of block-diagonal maps of x.

    Source: De et al., *Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language Models*
    (2024), section 2.4.

    Args:
        input_dims (int): The number of inputs, states and outputs.
        blocks (int, optional): How many blocks the maps of the gates have; they divide ``input_dims``. Default: ``1``.

    Raises:
        ScanError: ``blocks`` does not divide ``input_dims``.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import nn
        >>> layer = nn.RGLRU(8, blocks=2)
        >>> y, state = layer(mx.ones((2, 16, 8)))
        >>> y.shape, state.shape
        ((2, 16, 8), (2, 8))
    """

    SHARPNESS = 8.0

    def __init__(self, input_dims: int, blocks: int = 1) -> None:
        super().__init__()
        self.input_dims, self.blocks = sizes("RGLRU", input_dims=input_dims, blocks=blocks)
        if input_dims % blocks:
            raise errors.ScanError(f"[RGLRU] blocks divides input_dims; got {blocks} for {input_dims}.")
        width = input_dims // blocks
        self.weight = mx.random.normal((2, blocks, width, width), scale=width**-0.5)
        self.bias = mx.zeros((2, input_dims))
        squares = mx.random.uniform(0.9**2, 0.999**2, (input_dims,))
        self.param = mx.log(mx.expm1(-0.5 * mx.log(squares) / self.SHARPNESS))

    def state_shape(self) -> Shape:
        return (self.input_dims,)

    def _extra_repr(self) -> str:
        return f"input_dims={self.input_dims}, blocks={self.blocks}"

    @property
    def rule(self) -> _States:
        return _RGLRU()

    def inputs(self, x: mx.array) -> tuple[Any, ...]:
        """The logarithm of the gate, the maps of both gates, and x."""
        apart = x.reshape(*x.shape[:-1], self.blocks, 1, self.input_dims // self.blocks)
        both = [(apart @ weight).reshape(x.shape) + bias for weight, bias in zip(self.weight, self.bias, strict=True)]
        return fixed(-self.SHARPNESS * softplus(self.param)), *both, x
