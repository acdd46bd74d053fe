"""Exponential moving averages: a linear recurrence, forward, both ways, and streamed.

``y_t = d y_(t-1) + (1 - d) x_t`` is ``linear_recurrence(d, (1 - d) x)``. The decay may
differ from step to step, as it does here where the samples are not evenly spaced.
"""

import mlx.core as mx
import numpy as np

import monoscan as ms

SAMPLES, LIFE = 10_000, 20.0


def main() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.exponential(1.0, SAMPLES))
    clean = np.sin(times / 200)
    signal = (clean + rng.normal(0, 0.5, SAMPLES)).astype(np.float32)
    gaps = np.diff(times, prepend=times[0] - LIFE)
    decay = np.exp(-gaps / LIFE).astype(np.float32)

    d, x = mx.array(decay), mx.array(signal)
    average = ms.linear_recurrence(d, (1 - d) * x, x[0])
    np.testing.assert_allclose(np.array(average), plain(decay, signal), atol=1e-5)
    print(f"{SAMPLES:,} unevenly spaced samples, averaged as by a loop in float64")

    half = SAMPLES // 2
    first, state = ms.linear_recurrence(d[:half], (1 - d[:half]) * x[:half], x[0], return_carry=True)
    second = ms.linear_recurrence(d[half:], (1 - d[half:]) * x[half:], state)
    np.testing.assert_allclose(np.array(mx.concatenate([first, second])), np.array(average), atol=1e-6)
    print("in two chunks, with the carry of the first, the same")

    later = mx.concatenate([d[1:], d[:1]])  # the gap after each sample
    back = ms.linear_recurrence(later, (1 - later) * average, average[-1], reverse=True)
    for name, values in (("signal", x), ("average", average), ("and back", back)):
        error = np.sqrt(np.mean((np.array(values) - clean) ** 2))
        print(f"  {name:10} off by {error:.3f} on average")


def plain(decay: np.ndarray, signal: np.ndarray) -> list[float]:
    y, averages = float(signal[0]), []
    for d, x in zip(decay.tolist(), signal.tolist(), strict=True):
        y = d * y + (1 - d) * x
        averages.append(y)
    return averages


if __name__ == "__main__":
    main()
