"""A hidden Markov model: likelihood and best path, by matrix products over two semirings.

The step from time t - 1 to t is the matrix M_t[i, j] = log P(i to j) + log P(y_t | j). Products
of them over (log-add-exp, +) sum over all paths; over (max, +) they find the best one. A
state is on the best path if the best way to it and the best way on from it are best together.
"""

import mlx.core as mx
import numpy as np

import monoscan as ms

STATES, STEPS = 3, 400
TRANSITION = np.log([[0.95, 0.04, 0.01], [0.05, 0.90, 0.05], [0.02, 0.08, 0.90]])
START = np.log([0.6, 0.3, 0.1])
MEANS = np.array([-1.0, 0.0, 2.0])


def main() -> None:
    truth, y = simulate(np.random.default_rng(1))
    emission = -0.5 * (y[:, None] - MEANS) ** 2 - 0.5 * np.log(2 * np.pi)
    first = START + emission[0]
    steps = mx.array((TRANSITION + emission[1:, None, :]).astype(np.float32))

    forward = ms.scan(ms.SemiringMatMul(ms.Log()), steps)
    alpha = ms.LogSumExp()
    likelihood = ms.fold(alpha, (mx.array(first.astype(np.float32))[:, None] + forward[-1]).reshape(-1)).item()

    best = ms.SemiringMatMul(ms.MaxPlus())
    into = np.array(ms.scan(best, steps))  # from time 0 to t
    tree = "blelloch"  # parallel over time
    onward = np.array(ms.scan(ms.Dual(best), steps, reverse=True, strategy=tree))  # from time t to the end
    arrive = np.vstack([first, (first[:, None] + into).max(axis=1)])
    leave = np.vstack([onward.max(axis=2), np.zeros(STATES)])
    path = (arrive + leave).argmax(axis=1)

    expected, expected_path = plain(first, emission)
    np.testing.assert_allclose(likelihood, expected, rtol=1e-5)
    assert path.tolist() == expected_path, "another path than Viterbi's loop"
    print(f"log-likelihood {likelihood:.2f}, as by the forward loop")
    print(f"the best path is that of Viterbi's loop, and right at {np.mean(path == truth):.0%} of {STEPS} steps")
    print("".join("._^"[state] for state in path[:72]))


def simulate(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """States and observations."""
    states = [int(rng.choice(STATES, p=np.exp(START)))]
    for _ in range(STEPS - 1):
        states.append(int(rng.choice(STATES, p=np.exp(TRANSITION[states[-1]]))))
    return np.array(states), rng.normal(MEANS[states])


def plain(first: np.ndarray, emission: np.ndarray) -> tuple[float, list[int]]:
    """The forward algorithm and Viterbi's with back pointers, step by step in float64."""
    alpha, delta, back = first, first, []
    for e in emission[1:]:
        alpha = np.logaddexp.reduce(alpha[:, None] + TRANSITION, axis=0) + e
        back.append((delta[:, None] + TRANSITION).argmax(axis=0))
        delta = (delta[:, None] + TRANSITION).max(axis=0) + e
    path = [int(delta.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return float(np.logaddexp.reduce(alpha)), path[::-1]


if __name__ == "__main__":
    main()
