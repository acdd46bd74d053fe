"""RWKV-7: `Rwkv7TimeMixing` and `Rwkv7ChannelMixing`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

import mlx.core as mx

from monoscan.integrations.mlx_lm.layer import Accelerated, on_metal
from monoscan.scan.api_states import loop

_COUNT: Final[ContextVar[dict[str, Any] | None]] = ContextVar("_COUNT", default=None)
"""Which positions count, from a layer's call to its recurrence, which is not told."""


def _step(state: mx.array, inputs: tuple[mx.array, ...]) -> tuple[mx.array, mx.array]:
    """A row of the state, acted on by ``diag(w) + a b^T``, and what the receptance reads off it."""
    r, w, k, v, a, b = inputs
    state = state * w + v * k + (state * a).sum() * b
    return state, (state * r).sum()


class _Shifted(Accelerated):
    """A layer that mixes each token with the one before it."""

    def count(self, x: mx.array, cache: Any) -> tuple[mx.array, dict[str, Any]]:
        """The inputs, zero where they do not count, and the option of a scan for that."""
        sequences = self.sequences(cache, x.shape[1])
        if sequences:
            x = mx.where(cache.make_mask(x.shape[1])[..., None], x, 0)
        return x, sequences

    def keep_last(self, x: mx.array, before: mx.array | None, cache: Any, index: int) -> None:
        """The last token that counts, for the next chunk."""
        if cache.lengths is not None:
            whole = mx.concatenate([mx.zeros_like(x[:, :1]) if before is None else before, x], axis=1)
            ends = mx.clip(cache.lengths, 0, x.shape[1])[:, None, None]
            cache[index] = mx.take_along_axis(whole, ends, axis=1)


class Rwkv7TimeMixing(_Shifted):
    """The layer of mlx-lm with one kernel for its recurrence."""

    def __call__(self: Any, x: mx.array, v_first: mx.array | None, cache: Any) -> tuple[mx.array, mx.array]:
        x, sequences = self.count(x, cache)
        before = None if cache is None else cache[0]
        token = _COUNT.set(sequences)
        try:
            found: tuple[mx.array, mx.array] = self.stock.__call__(self, x, v_first, cache)
        finally:
            _COUNT.reset(token)
        if sequences:
            self.keep_last(x, before, cache, 0)
        return found

    def _wkv7(
        self: Any,
        r: mx.array,
        w: mx.array,
        k: mx.array,
        v: mx.array,
        a: mx.array,
        b: mx.array,
        state: mx.array | None,
    ) -> tuple[mx.array, mx.array]:
        batch, time, heads, size = r.shape
        sequences = _COUNT.get() or {}
        metal = on_metal() and not self.training
        if not sequences and (time == 1 or metal):
            found: tuple[mx.array, mx.array] = self.stock._wkv7(self, r, w, k, v, a, b, state)
            return found
        held = mx.zeros((batch, heads, size, size), r.dtype) if state is None else state
        wide = [each[:, :, :, None] for each in (r, w, k)]
        rest = [each[:, :, :, None] for each in (a, b)]
        event = (1, 1, 1, 0, 1, 1)
        y, last = loop(_step, (*wide, v, *rest), held, 1, event=event, state_event=1, return_carry=True, **sequences)
        return y.astype(r.dtype)[..., None], last.astype(held.dtype)


class Rwkv7ChannelMixing(_Shifted):
    """The layer of mlx-lm, which keeps the last token that counts."""

    def __call__(self: Any, x: mx.array, cache: Any) -> mx.array:
        x, sequences = self.count(x, cache)
        before = None if cache is None else cache[2]
        y: mx.array = self.stock.__call__(self, x, cache)
        if sequences:
            self.keep_last(x, before, cache, 2)
            cache.advance(x.shape[1])  # the last layer that reads this cache
        return y
