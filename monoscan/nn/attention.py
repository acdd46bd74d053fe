"""`GatedLinearAttention`: a matrix state for each head, with gates that depend on the data."""

from __future__ import annotations

from typing import Any, final

import mlx.core as mx
from mlx.nn.layers.activations import silu, softplus
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.normalization import RMSNorm

from monoscan import errors
from monoscan.arguments import real, sizes
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.linear import Affine
from monoscan.nn.recurrent import Aggregated, Shape


@final
class _Attention(Aggregator):
    """Inputs: query, key, value, and the logarithm of the gates of a key, of one head."""

    operator, event = Affine(), 1

    def prepare(self, query: mx.array, key: mx.array, value: mx.array, log_gate: mx.array) -> Any:
        return mx.exp(log_gate)[:, None], key[:, None] * value[None, :]

    def present(self, h: mx.array, query: mx.array, *rest: mx.array) -> mx.array:
        return (query[:, None] * h).sum(0)


@final
class GatedLinearAttention(Aggregated):
    """Linear attention whose state, a matrix of each head, is forgotten by gates: ``S[t] = diag(a[t]) S[t-1] + k[t] v[t]'``.

    Outputs of heads, ``q[t] S[t]``, are normed, gated by a swish of the inputs, and mapped back.

    Source: Yang et al., *Gated Linear Attention Transformers with Hardware-Efficient Training* (ICML 2024), section 4.

    Args:
        input_dims (int): The number of inputs and outputs.
        heads (int, optional): The number of heads. Default: ``4``.
        key_dims (int, optional): The size of all keys together. Default: ``None``, half of ``input_dims``.
        value_dims (int, optional): The size of all values together. Default: ``None``, ``input_dims``.
        gate_rank (int, optional): The rank of the map of the gates. Default: ``16``.
        temperature (float, optional): Gates are sigmoids to the power ``1 / temperature``. Default: ``16``.

    Raises:
        ScanError: ``heads`` does not divide the size of keys or values.

    Example:
        >>> import mlx.core as mx
        >>> from monoscan import nn
        >>> layer = nn.GatedLinearAttention(8, heads=2)
        >>> y, state = layer(mx.ones((2, 16, 8)))
        >>> y.shape, state.shape
        ((2, 16, 8), (2, 2, 2, 4))
    """

    def __init__(
        self,
        input_dims: int,
        heads: int = 4,
        key_dims: int | None = None,
        value_dims: int | None = None,
        gate_rank: int = 16,
        temperature: float = 16.0,
    ) -> None:
        super().__init__()
        call = "GatedLinearAttention"
        input_dims, heads, gate_rank = sizes(call, input_dims=input_dims, heads=heads, gate_rank=gate_rank)
        keys, values = sizes(
            call,
            key_dims=input_dims // 2 if key_dims is None else key_dims,
            value_dims=input_dims if value_dims is None else value_dims,
        )
        if keys % heads or values % heads:
            raise errors.ScanError(
                f"[GatedLinearAttention] heads divides the sizes of keys and values; got {heads} for {keys} and {values}."
            )
        if not real(call, "temperature", temperature) > 0:
            raise errors.ScanError(f"[{call}] temperature must be more than 0; got {temperature:g}.")
        self.input_dims, self.heads, self.temperature = input_dims, heads, temperature
        self.key_dims, self.value_dims = keys, values
        self.q_proj, self.k_proj = (Linear(input_dims, keys, bias=False) for _ in range(2))
        self.v_proj, self.g_proj = (Linear(input_dims, values, bias=False) for _ in range(2))
        self.gate_down = Linear(input_dims, gate_rank, bias=False)
        self.gate_up = Linear(gate_rank, keys)
        self.norm = RMSNorm(values // heads)
        self.out_proj = Linear(values, input_dims, bias=False)

    def state_shape(self) -> Shape:
        return (self.heads, self.key_dims // self.heads, self.value_dims // self.heads)

    def _extra_repr(self) -> str:
        return f"input_dims={self.input_dims}, heads={self.heads}"

    @property
    def rule(self) -> _Attention:
        return _Attention()

    def inputs(self, x: mx.array) -> tuple[Any, ...]:
        """Queries, keys, values and the logarithms of gates, by heads."""
        query, key, value = (self._apart(projection(x)) for projection in (self.q_proj, self.k_proj, self.v_proj))
        log_gate = -self._apart(softplus(-self.gate_up(self.gate_down(x)))) / self.temperature
        return query * key.shape[-1] ** -0.5, key, value, log_gate

    def outputs(self, found: mx.array, x: mx.array) -> mx.array:
        """Heads normed, gated, and mapped back."""
        normed = self.norm(found).flatten(-2)
        y: mx.array = self.out_proj(normed * silu(self.g_proj(x)))
        return y

    def _apart(self, x: mx.array) -> mx.array:
        return x.reshape(*x.shape[:-1], self.heads, x.shape[-1] // self.heads)
