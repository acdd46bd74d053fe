"""Linear attention by chunks, against a loop in float64."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from monoscan.integrations.mlx_lm.linear_attention import CHUNK, chunked_attention


def in_order(q, k, v, log_gate, state, mask):  # type: ignore[no-untyped-def]
    q, k, v, log_gate, state = (np.array(each, np.float64) for each in (q, k, v, log_gate, state))
    y = np.zeros_like(v)
    for t in range(q.shape[2]):
        moved = state * np.exp(log_gate)[:, None, None] + k[:, :, t, :, None] * v[:, :, t, None]
        state = np.where(np.array(mask)[:, t, None, None, None], moved, state)
        y[:, :, t] = np.einsum("bhk,bhkv->bhv", q[:, :, t], state)
    return y, state


@pytest.mark.parametrize("time", [1, CHUNK, 2 * CHUNK + 7])
def test_chunks_are_the_loop_where_gates_are_fast_and_slow_and_rows_padded(time: int) -> None:
    mx.random.seed(1)
    q, k, v = (mx.random.normal((2, 3, time, size)) for size in (4, 4, 5))
    log_gate, state = mx.array([-30.0, -0.5, -1e-4]), mx.random.normal((2, 3, 4, 5))
    mask = mx.arange(time) >= mx.array([[time // 3], [0]])
    y, last = chunked_attention(q, k, v, log_gate, state, mask)
    wanted, wanted_last = in_order(q, k, v, log_gate, state, mask)
    np.testing.assert_allclose(np.array(last), wanted_last, rtol=1e-4, atol=1e-5)
    valid = np.array(mask)[:, None, :, None]
    np.testing.assert_allclose(np.array(y) * valid, wanted * valid, rtol=1e-4, atol=1e-4)
