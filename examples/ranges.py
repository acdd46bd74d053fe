"""Several totals in one pass: range, position of the peak and how far below it, with `Tuple`.

A `Tuple` of operators is an operator. Where each part would be a kernel of its own, all of
them run as one fused loop that reads the data once.
"""

import mlx.core as mx
import numpy as np

import monoscan as ms

STOCKS, DAYS = 5, 2_500


def main() -> None:
    rng = np.random.default_rng(7)
    prices = 100 * np.exp(np.cumsum(rng.normal(0.0003, 0.012, (STOCKS, DAYS)), axis=1)).astype(np.float32)

    low_and_high = ms.Tuple(ms.Min(), ms.Max())
    x = mx.array(prices)
    low, high = ms.scan(low_and_high, low_and_high.embed(x), axis=1)
    below = 1 - x / high
    assert np.array_equal(np.array(low), np.minimum.accumulate(prices, axis=1))
    assert np.array_equal(np.array(high), np.maximum.accumulate(prices, axis=1))
    print("all lows and highs so far are bit for bit those of NumPy's accumulate")

    days = mx.broadcast_to(mx.arange(DAYS), x.shape)
    summary = ms.Tuple(ms.MinMax(), ms.ArgMax(), ms.Mean())
    extremes, peak, mean = summary.project(ms.fold(summary, summary.embed(x, (x, days), x), axis=1))
    assert np.array_equal(np.array(peak), prices.argmax(axis=1))
    np.testing.assert_allclose(np.array(mean), prices.mean(axis=1, dtype=np.float64), rtol=1e-5)
    np.testing.assert_array_equal(np.array(extremes[1]), prices.max(axis=1))
    print("peaks and means of the whole agree with NumPy's argmax and mean\n")

    print("stock     low    high    mean  peak on day  deepest below its peak")
    for i in range(STOCKS):
        values = [float(np.array(leaf)[i]) for leaf in (*extremes, mean)]
        deepest = float(np.array(below)[i].max())
        print(f"{i:5}" + "".join(f"{v:8.1f}" for v in values) + f"{int(peak[i].item()):13}{deepest:22.0%}")


if __name__ == "__main__":
    main()
