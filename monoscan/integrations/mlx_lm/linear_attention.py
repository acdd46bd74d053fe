"""Linear attention with one constant gate a head: `LinearAttention` of Bailing (Ling, Ring)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

import mlx.core as mx

from monoscan.integrations.mlx_lm.layer import Accelerated
from monoscan.integrations.mlx_lm.rebound import rebound
from monoscan.monoids.linear import Affine
from monoscan.scan.api import scan

CHUNK: Final = 64

_COUNT: Final[ContextVar[mx.array | None]] = ContextVar("_COUNT", default=None)
"""The mask of a layer's call, for the recurrence that is not told."""


def chunked_attention(
    q: mx.array,
    k: mx.array,
    v: mx.array,
    log_gate: mx.array,
    state: mx.array | None,
    mask: mx.array | None,
) -> tuple[mx.array, mx.array]:
    """``h[t] = gate h[t-1] + k[t] v[t]^T``, ``y[t] = q[t] h[t]``, by matrix products within chunks and a scan over them.

    Source: Yang et al., *Gated Linear Attention Transformers with Hardware-Efficient Training* (ICML 2024), section 4.2.

    Args:
        q (array): Queries, of shape ``(batch, heads, time, key size)``.
        k (array): Keys, of that shape.
        v (array): Values, of shape ``(batch, heads, time, value size)``.
        log_gate (array): One a head, less than zero.
        state (array, optional): Of shape ``(batch, heads, key size, value size)``.
        mask (array, optional): Truth values ``(batch, time)``: the others neither gate nor add.
    """
    batch, heads, time, _ = q.shape
    chunk = min(CHUNK, time)
    chunks = -(-time // chunk)
    valid = mx.ones((1, time), mx.bool_) if mask is None else mask
    q, k, v = (_apart(each.astype(mx.float32), chunks, chunk) for each in (q, k, v))
    valid = mx.pad(valid, [(0, 0), (0, chunks * chunk - time)]).reshape(-1, 1, chunks, chunk)
    k = mx.where(valid[..., None], k, 0)
    count = mx.cumsum(valid.astype(mx.float32), axis=-1)
    rate = log_gate.astype(mx.float32)[:, None, None]
    between = rate[..., None] * (count[..., :, None] - count[..., None, :])  # from s to t, both in one chunk
    within = mx.where(mx.tri(chunk, dtype=mx.bool_), mx.exp(mx.minimum(between, 0)), 0)
    left = count[..., -1:] - count
    added = (k * mx.exp(rate * left)[..., None]).swapaxes(-1, -2) @ v
    gate = mx.exp(rate[..., 0] * count[..., -1])[..., None, None]
    before, last = _states(gate, added, state)
    y = ((q @ k.swapaxes(-1, -2)) * within) @ v + (q * mx.exp(rate * count)[..., None]) @ before
    return y.reshape(batch, heads, chunks * chunk, -1)[:, :, :time], last


def _states(gate: mx.array, added: mx.array, state: mx.array | None) -> tuple[mx.array, mx.array]:
    """The state before each chunk, and after the last."""
    start = mx.zeros_like(added[:, :, 0]) if state is None else state.astype(mx.float32)
    init = (mx.ones_like(start), start)
    gates = mx.broadcast_to(gate, added.shape)
    (_, before), (_, last) = scan(Affine(), (gates, added), 2, inclusive=False, init=init, return_carry=True)
    return before, last


def _apart(x: mx.array, chunks: int, chunk: int) -> mx.array:
    batch, heads, time, size = x.shape
    whole = mx.pad(x, [(0, 0), (0, 0), (0, chunks * chunk - time), (0, 0)])
    return whole.reshape(batch, heads, chunks, chunk, size)


def _recurrent_gla(
    q: mx.array, k: mx.array, v: mx.array, g: mx.array, scale: float, h: mx.array | None = None
) -> tuple[mx.array, mx.array]:
    """As ``recurrent_gla`` of mlx-lm, whose dtypes it keeps."""
    y, last = chunked_attention(q * scale, k, v, g, h, _COUNT.get())
    return y.astype(q.dtype), last.astype(q.dtype)


class LinearAttention(Accelerated):
    """The layer of mlx-lm, whose loop is matrix products."""

    def __call__(self: Any, x: mx.array, mask: mx.array | None = None, cache: Any = None, offset: int = 0) -> mx.array:
        sequences = self.sequences(cache, x.shape[1])
        if x.shape[1] == 1 and not sequences:
            y: mx.array = self.stock.__call__(self, x, mask, cache, offset)
            return y
        token = _COUNT.set(cache.make_mask(x.shape[1]) if sequences else None)
        try:
            y = rebound(self.stock.__call__, "recurrent_gla", _recurrent_gla)(self, x, mask, cache, offset)
        finally:
            _COUNT.reset(token)
        if sequences:
            cache.advance(x.shape[1])
        return y
