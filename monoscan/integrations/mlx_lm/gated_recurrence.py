"""The real-gated linear recurrence: `RecurrentBlock` of RecurrentGemma."""

from __future__ import annotations

from typing import Any, final

import mlx.core as mx
from mlx.nn.layers.activations import gelu_approx, softplus

from monoscan.integrations.mlx_lm.convolution import convolution
from monoscan.integrations.mlx_lm.layer import Accelerated
from monoscan.monoids.aggregator import Aggregator
from monoscan.monoids.inputs import fixed
from monoscan.monoids.linear import Affine
from monoscan.scan.api import scan


@final
class _GatedRecurrence(Aggregator):
    """Inputs: the logarithm of the gate at full recurrence, what goes into both gates, x, and whether a row begins here."""

    operator = Affine()

    def prepare(self, log_gate: mx.array, update: mx.array, recurrence: mx.array, x: mx.array, first: mx.array) -> Any:
        gate = log_gate * mx.sigmoid(recurrence)
        share = mx.where(first, 1.0, mx.sqrt(1 - mx.exp(2 * gate)))
        return mx.exp(gate), x * mx.sigmoid(update) * share

    def present(self, h: mx.array, *inputs: mx.array) -> mx.array:
        return h


class RecurrentBlock(Accelerated):
    """The convolution in one kernel, and the gates, the norm and the recurrence in another."""

    def __call__(self: Any, x: mx.array, cache: Any = None, mask: mx.array | None = None) -> mx.array:
        time = x.shape[1]
        sequences = self.sequences(cache, time)
        if time == 1 and not sequences:
            out: mx.array = self.stock.__call__(self, x, cache=cache, mask=mask)
            return out
        gate = gelu_approx(self.linear_y(x))
        before = self.start(cache, x, 0, (self.conv1d_temporal_width - 1, self.lru_width))
        x, before = convolution(self.conv_1d.weight, self.conv_1d.bias, self.linear_x(x), before, sequences)
        state = self.start(cache, x, 1, (self.lru_width,))
        x, state = self.recurrence(x, state, self.beginnings(cache, state, time), sequences)
        if cache is not None:
            cache[0], cache[1] = before, state
            if sequences:
                cache.advance(time)
        out = self.linear_out(x * gate)
        return out

    def beginnings(self: Any, cache: Any, state: mx.array, time: int) -> mx.array:
        """Where rows begin, whose first input is taken whole: a row whose state is zero has not begun."""
        left = getattr(cache, "left_padding", None) if self.exact else None
        begun = cache is not None and cache[1] is not None
        if left is None and not (begun and self.exact):
            return (mx.arange(time) == (-1 if begun else 0))[None, :, None]
        start = mx.zeros((state.shape[0],), mx.int32) if left is None else left
        first = (mx.arange(time) == start[:, None]) & (state == 0).all(axis=-1, keepdims=True)
        return first[..., None]

    def recurrence(
        self: Any, x: mx.array, state: mx.array, first: mx.array, sequences: dict[str, Any]
    ) -> tuple[mx.array, mx.array]:
        """States, and the last."""
        unit = self.rg_lru
        apart = x.reshape(*x.shape[:-1], unit.num_heads, unit.head_dim).swapaxes(1, 2)

        def gate(weight: mx.array, bias: mx.array) -> mx.array:
            return ((apart @ weight).swapaxes(1, 2) + bias).flatten(2, 3)

        gates = (
            gate(unit.input_gate_weight, unit.input_gate_bias),
            gate(unit.recurrent_gate_weight, unit.recurrent_gate_bias),
        )
        log_gate = fixed(-8.0 * softplus(unit.recurrent_param))
        y, last = scan(_GatedRecurrence(), (log_gate, *gates, x, first), 1, state=state, return_carry=True, **sequences)
        return y, last.astype(x.dtype)
