"""Gated delta rules: the linear attention of Qwen3-Next, Qwen3.5, Kimi Linear, OLMo Hybrid and Bailing V3."""

from __future__ import annotations

import sys
from typing import Any

import mlx.core as mx

from monoscan.integrations.mlx_lm.convolution import silu_of_convolution
from monoscan.integrations.mlx_lm.layer import Accelerated, on_metal
from monoscan.integrations.mlx_lm.rebound import rebound
from monoscan.scan.api_states import loop


def _step(state: mx.array, inputs: tuple[mx.array, ...]) -> tuple[mx.array, mx.array]:
    """A row of the state, acted on by ``gate (I - beta key key^T)``, and what the query reads off it."""
    query, key, value, gate, beta = inputs
    state = state * gate
    state = state + key * (beta * (value - (state * key).sum()))
    return state, (state * query).sum()


def gated_delta_rule(
    q: mx.array,
    k: mx.array,
    v: mx.array,
    g: mx.array,
    beta: mx.array,
    state: mx.array | None = None,
    mask: mx.array | None = None,
) -> tuple[mx.array, mx.array]:
    """As ``gated_delta_ops`` of mlx-lm: rows of the state go through time apart from one another.

    Args:
        q (array): Queries, of shape ``(batch, time, key heads, key size)``.
        k (array): Keys, of that shape.
        v (array): Values, of shape ``(batch, time, value heads, value size)``.
        g (array): Gates, one a value head, or one a value head and entry of its key.
        beta (array): One a value head.
        state (array, optional): Of shape ``(batch, value heads, value size, key size)``; zeros if there is none.
        mask (array, optional): Truth values ``(batch, time)``: the positions that count.

    Returns:
        tuple: Outputs of the shape of ``v``, and the last state.
    """
    batch, time, heads, size = q.shape
    groups, values = v.shape[2] // heads, v.shape[3]
    held = mx.zeros((batch, heads, groups, values, size), mx.float32) if state is None else state
    wide = [each[:, :, :, None, None] for each in (q, k)]
    of_values = [each.reshape(batch, time, heads, groups, -1) for each in (v, beta)]
    gates = g.reshape(batch, time, heads, groups, 1, *g.shape[3:])
    y, last = loop(
        _step,
        (*wide, of_values[0], gates, of_values[1]),
        held.reshape(batch, heads, groups, values, size),
        1,
        event=(1, 1, 0, g.ndim - 3, 0),
        state_event=1,
        return_carry=True,
        mask=mask,
    )
    return y.reshape(v.shape).astype(q.dtype), last.reshape(batch, heads * groups, values, size)


def _update(q: mx.array, *args: Any, use_kernel: bool = True, **options: Any) -> tuple[mx.array, mx.array]:
    """``gated_delta_update`` of mlx-lm; what it gives to its own loop goes through ours."""
    module = sys.modules["mlx_lm.models.gated_delta"]
    if q.shape[1] == 1 or (use_kernel and on_metal()):
        found: tuple[mx.array, mx.array] = module.gated_delta_update(q, *args, use_kernel=use_kernel, **options)
        return found
    update = rebound(module.gated_delta_update, "gated_delta_ops", gated_delta_rule)
    found = update(q, *args, use_kernel=False, **options)
    return found


class DeltaRule(Accelerated):
    """The layer of mlx-lm, whose loop is one kernel where it has no kernel of its own: off Metal, and in training."""

    def __call__(self, *args: Any, **options: Any) -> mx.array:
        y: mx.array = rebound(self.stock.__call__, "gated_delta_update", _update)(self, *args, **options)
        return y


class OlmoDeltaRule(DeltaRule):
    """The same with its convolutions, which know padding here and do not in mlx-lm."""

    def _apply_conv1d(
        self: Any, x: mx.array, conv: Any, conv_state: mx.array | None, cache_slot: Any, slot_idx: int
    ) -> mx.array:
        sequences = self.sequences(cache_slot, x.shape[1])
        if x.shape[1] == 1 and not sequences:
            y: mx.array = self.stock._apply_conv1d(self, x, conv, conv_state, cache_slot, slot_idx)
            return y
        return _convolved(self, conv, x, cache_slot, slot_idx, sequences)


class BailingDeltaRule(DeltaRule):
    """The same with its convolutions."""

    def _causal_conv(
        self: Any, x: mx.array, conv: Any, cache: Any, cache_index: int, mask: mx.array | None
    ) -> mx.array:
        if x.shape[1] == 1:
            y: mx.array = self.stock._causal_conv(self, x, conv, cache, cache_index, mask)
            return y
        return _convolved(self, conv, x, cache, cache_index, {} if mask is None else {"mask": mask})


def _convolved(layer: Any, conv: Any, x: mx.array, cache: Any, index: int, sequences: dict[str, Any]) -> mx.array:
    before = layer.start(cache, x, index, (layer.conv_kernel_size - 1, x.shape[2]))
    y, last = silu_of_convolution(conv.weight, conv.get("bias"), x, before, sequences)
    if cache is not None:
        cache[index] = last
    return y
