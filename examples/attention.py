"""Softmax attention of one query over a stream of keys, without ever holding all scores.

`OnlineSoftmax` keeps the greatest score and the sum of exponentials relative to it. One
more leaf, the weighted sum of values on the same scale, makes it attention. The keys come
in chunks: the carry of one is the ``init`` of the next.
"""

import mlx.core as mx
import numpy as np

import monoscan as ms

KEYS, CHUNK, WIDTH = 4_096, 512, 16


def combine(left, right):
    """Both sides on the scale of the greater maximum: (greatest score, normaliser, weighted values)."""
    (max_l, total_l, values_l), (max_r, total_r, values_r) = left, right
    high = mx.maximum(max_l, max_r)
    scale_l, scale_r = mx.exp(max_l - high), mx.exp(max_r - high)
    return high, total_l * scale_l + total_r * scale_r, values_l * scale_l + values_r * scale_r


attention = ms.monoid(combine, event=(0, 0, 1), commutative=True, name="attention")


def main() -> None:
    rng = np.random.default_rng(0)
    query = rng.normal(size=WIDTH).astype(np.float32)
    keys, values = rng.normal(size=(2, KEYS, WIDTH)).astype(np.float32)
    scores = keys @ query * 4  # peaked, so that the scale matters

    softmax = ms.OnlineSoftmax()
    normaliser = softmax.project(ms.scan(softmax, softmax.embed(mx.array(scores))))
    expected = np.logaddexp.accumulate(scores.astype(np.float64))
    np.testing.assert_allclose(np.array(normaliser), expected, rtol=1e-5)
    print(f"log-sum-exp of {KEYS:,} scores: {normaliser[-1].item():.3f}; all prefixes agree with NumPy")

    carry = None
    for start in range(0, KEYS, CHUNK):
        chunk = slice(start, start + CHUNK)
        x = mx.array(scores[chunk])
        elements = x, mx.ones_like(x), mx.array(values[chunk])
        carry = ms.fold(attention, elements, init=carry)
    _, total, weighted = carry
    got = np.array(weighted / total)

    weights = np.exp(scores.astype(np.float64) - scores.max())
    np.testing.assert_allclose(got, weights @ values / weights.sum(), atol=1e-5)
    print(f"attention over {KEYS // CHUNK} chunks agrees with the softmax of all scores at once")
    print("its first values:", np.round(got[:4], 3))


if __name__ == "__main__":
    main()
