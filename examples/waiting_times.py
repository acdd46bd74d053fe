"""Waiting times in a queue: Lindley's recurrence w_n = max(w_(n-1) + service - gap, 0).

It looks sequential, but maps w -> max(w + a, b) compose to maps of the same kind: that is
`MaxPlusAffine`. A thousand days are simulated side by side.
"""

import mlx.core as mx
import numpy as np

import monoscan as ms

DAYS, CUSTOMERS, LOAD = 1_000, 2_000, 0.8


def main() -> None:
    rng = np.random.default_rng(0)
    gaps = rng.exponential(1.0, (DAYS, CUSTOMERS)).astype(np.float32)
    services = rng.exponential(LOAD, (DAYS, CUSTOMERS)).astype(np.float32)

    slack = np.zeros_like(gaps)  # of the customer before: the service, less the time until this one comes
    slack[:, 1:] = services[:, :-1] - gaps[:, 1:]
    elements = mx.array(slack), mx.zeros((DAYS, CUSTOMERS))
    waits = np.array(ms.scan(ms.MaxPlusAffine(), elements, axis=1)[1])

    np.testing.assert_allclose(waits[:3], plain(gaps[:3], services[:3]), atol=2e-3)
    print("the first 3 days are those of a simulation of arrivals and departures")

    theory = LOAD * LOAD / (1 - LOAD)
    late = waits[:, CUSTOMERS // 2 :].mean()
    assert abs(late - theory) < 0.2, "far from the theory of the queue M/M/1"
    print(f"mean wait in the steady state {late:.1f}; the theory of the queue M/M/1 says {theory:.1f}")
    longest = waits.max(axis=1)
    print(f"longest wait of a day: {np.median(longest):.0f} on half of the days, {longest.max():.0f} on the worst")


def plain(gaps: np.ndarray, services: np.ndarray) -> np.ndarray:
    """Each customer is served when the one before has left, in float64."""
    waits = []
    for day_gaps, day_services in zip(gaps.astype(np.float64), services.astype(np.float64), strict=True):
        arrival = departure = 0.0
        row = []
        for gap, service in zip(day_gaps, day_services, strict=True):
            arrival += gap
            begin = max(arrival, departure)
            row.append(begin - arrival)
            departure = begin + service
        waits.append(row)
    return np.array(waits)


if __name__ == "__main__":
    main()
