"""Mean, variance, skewness and kurtosis so far, at every sample, in one pass.

The naive way, sums of x and of x squared, loses all its digits when the mean is far from
zero. `Moments` combines counts, means and sums of powers of deviations, and loses none.
"""

import mlx.core as mx
import numpy as np

import monoscan as ms

SENSORS, SAMPLES = 3, 5_000


def main() -> None:
    rng = np.random.default_rng(0)
    readings = (10_000 + rng.gamma(2.0, size=(SENSORS, SAMPLES))).astype(np.float32)

    moments = ms.Moments(4)
    so_far = ms.scan(moments, moments.embed(mx.array(readings)), axis=1)
    mean, variance, skewness, kurtosis = (np.array(answer) for answer in moments.project(so_far))

    for t in (9, 99, 999, SAMPLES - 1):
        expected = plain(readings[:, : t + 1].astype(np.float64))
        for got, want in zip((mean, variance, skewness, kurtosis), expected, strict=True):
            np.testing.assert_allclose(got[:, t], want, rtol=2e-3, atol=2e-3)
    print("agrees with NumPy in float64, from the samples so far: 4 moments, 3 sensors, at 4 times")

    print(f"{'samples':>8}{'mean':>10}{'variance':>10}{'skewness':>10}{'kurtosis':>10}   (sensor 0)")
    for t in (9, 99, 999, SAMPLES - 1):
        print(f"{t + 1:8}{mean[0, t]:10.1f}{variance[0, t]:10.2f}{skewness[0, t]:10.2f}{kurtosis[0, t]:10.2f}")

    x = mx.array(readings[0])
    naive = ms.fold(ms.Sum(), x * x) / SAMPLES - (ms.fold(ms.Sum(), x) / SAMPLES) ** 2
    exact = readings[0].astype(np.float64).var()
    print(
        f"variance of all: {exact:.2f}; from sums of squares in float32 off by more than 1: {abs(naive.item() - exact) > 1}"
    )


def plain(x: np.ndarray) -> list[np.ndarray]:
    """The moments of all samples, by their definitions."""
    mean, deviation = x.mean(axis=1), x - x.mean(axis=1, keepdims=True)
    variance = (deviation**2).mean(axis=1)
    skewness = (deviation**3).mean(axis=1) / variance**1.5
    return [mean, variance, skewness, (deviation**4).mean(axis=1) / variance**2 - 3]


if __name__ == "__main__":
    main()
