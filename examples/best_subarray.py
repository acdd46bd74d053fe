"""The best run of consecutive days, so far and of all, of many series at once.

Kadane's loop carries two numbers. As a monoid it takes four, and then it scans in any
order, over batches, and per segment.
"""

import mlx.core as mx
import numpy as np

import monoscan as ms

SERIES, DAYS, MONTH = 4, 360, 30


def main() -> None:
    rng = np.random.default_rng(3)
    returns = rng.integers(-50, 51, (SERIES, DAYS)).astype(np.float32)  # whole numbers: sums are exact

    best = ms.MaxSubarray()
    so_far = np.array(best.project(ms.scan(best, best.embed(mx.array(returns)), axis=1)))
    for t in range(0, DAYS, 17):
        assert so_far[:, t].tolist() == plain(returns[:, : t + 1]).tolist(), "another best run than by trying all"
    print(f"best runs of {SERIES} series after {DAYS} days: {so_far[:, -1].astype(int).tolist()}")
    print("as by trying all runs, after every 17th day")

    monthly = ms.Segmented(best)
    starts = mx.arange(DAYS) % MONTH == 0
    runs = np.array(monthly.project(ms.scan(monthly, monthly.embed(starts, mx.array(returns[0])))))[MONTH - 1 :: MONTH]
    expected = plain(returns[0].reshape(-1, MONTH))
    assert runs.tolist() == expected.tolist(), "another best run within a month"
    print(f"best run within each month of the first: {runs.astype(int).tolist()}")


def plain(x: np.ndarray) -> np.ndarray:
    """The greatest sum over all pairs of a first and a last day, in float64."""
    sums = np.concatenate([np.zeros((len(x), 1)), np.cumsum(x.astype(np.float64), axis=1)], axis=1)
    runs = sums[:, None, :] - sums[:, :, None]
    later = np.triu(np.ones(runs.shape[1:], bool), k=1)
    return np.where(later, runs, -np.inf).max(axis=(1, 2))


if __name__ == "__main__":
    main()
