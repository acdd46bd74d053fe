"""A short causal convolution of each channel."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.nn.layers.convolution import Conv1d

from monoscan.integrations.mlx_lm.layer import Accelerated, on_metal
from monoscan.scan.api_states import loop


class DepthwiseConvolution(Accelerated):
    """``Conv1d`` of channels that do not mix, which MLX computes on a CPU at a fifteenth of the pace."""

    def __call__(self: Any, x: mx.array) -> mx.array:
        before = self.weight.shape[1] - 1
        if x.shape[1] <= before + 1 or on_metal():
            y: mx.array = self.stock.__call__(self, x)
            return y
        return convolution(self.weight, self.get("bias"), x[:, before:], x[:, :before], {})[0]


def depthwise(layer: Any) -> bool:
    """Whether a layer is a causal convolution of each channel, of inputs that have what comes before them in front."""
    if not isinstance(layer, Conv1d):
        return False
    alone = layer.groups == layer.weight.shape[0] and layer.weight.shape[2] == 1
    return alone and (layer.stride, layer.padding, layer.dilation) == (1, 0, 1)


def silu_of_convolution(
    weight: mx.array, bias: mx.array | None, x: mx.array, before: mx.array, sequences: dict[str, Any]
) -> tuple[mx.array, mx.array]:
    """SiLU of the convolution, and the last inputs that count: what the next chunk has before it.

    Args:
        weight (array): Of shape ``(channels, taps, 1)``.
        bias (array, optional): One a channel.
        x (array): Of shape ``(batch, time, channels)``.
        before (array): The ``taps - 1`` inputs before the first.
        sequences (dict): ``lengths=`` or ``mask=`` of a scan, or neither.
    """
    return _convolution(_silu_step, weight, bias, x, before, sequences)


def convolution(
    weight: mx.array, bias: mx.array | None, x: mx.array, before: mx.array, sequences: dict[str, Any]
) -> tuple[mx.array, mx.array]:
    """The convolution alone; arguments as those of `silu_of_convolution`."""
    return _convolution(_step, weight, bias, x, before, sequences)


def _convolution(
    step: Any, weight: mx.array, bias: mx.array | None, x: mx.array, before: mx.array, sequences: dict[str, Any]
) -> tuple[mx.array, mx.array]:
    _, time, channels = x.shape
    bias = mx.zeros((channels,), x.dtype) if bias is None else bias
    # the same at each step: strides of zero, no memory
    taps = mx.broadcast_to(weight[..., 0], (1, time, channels, weight.shape[1]))
    shift = mx.broadcast_to(bias, (1, time, channels))
    held = before.swapaxes(1, 2)
    y, last = loop(step, (taps, shift, x), held, 1, event=(1, 0, 0), state_event=1, return_carry=True, **sequences)
    return y, last.swapaxes(1, 2).astype(x.dtype)


def _step(before: mx.array, inputs: tuple[mx.array, ...]) -> tuple[mx.array, mx.array]:
    taps, shift, x = inputs
    window = mx.concatenate([before, x[None]])
    return window[1:], (window * taps).sum() + shift


def _silu_step(before: mx.array, inputs: tuple[mx.array, ...]) -> tuple[mx.array, mx.array]:
    last, y = _step(before, inputs)
    return last, y * mx.sigmoid(y)
