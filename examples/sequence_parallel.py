"""Training a recurrent layer on one long sequence that is split over ranks.

Alone it is one rank; ``mlx.launch -n 4 --starting-port 40000 --python python sequence_parallel.py`` makes it four, which
find the same parameters. The layer is ``h_t = a * h_(t-1) + W x_t`` with learned gates, and is taught to do what
another one does, by the gradient through all of the sequence.
"""

import mlx.core as mx
import numpy as np

import monoscan.distributed as md

LENGTH, WIDTH, STEPS, RATE = 600, 4, 200, 0.05


def layer(parameters: list[mx.array], x: mx.array) -> mx.array:
    gates, weights = parameters
    return md.linear_recurrence(mx.broadcast_to(mx.sigmoid(gates), x.shape), x @ weights)


def taught(x: np.ndarray) -> np.ndarray:
    """What the layer is to learn, by a loop over the whole sequence."""
    gates, weights = np.linspace(0.5, 0.9, WIDTH), np.eye(WIDTH)[::-1]
    h, states = np.zeros(WIDTH), []
    for row in x @ weights:
        h = gates * h + row
        states.append(h)
    return np.array(states)


def summed(arrays: list[mx.array]) -> list[mx.array]:
    """The sums over ranks, by one collective that runs at once: every rank does the same in the same order."""
    flat = mx.distributed.all_sum(mx.concatenate([x.reshape(-1) for x in arrays]))
    mx.eval(flat)
    ends = np.cumsum([x.size for x in arrays])[:-1].tolist()
    return [part.reshape(x.shape) for part, x in zip(mx.split(flat, ends), arrays, strict=True)]


def main() -> None:
    group = mx.distributed.init()
    whole = np.random.default_rng(0).normal(size=(LENGTH, WIDTH))
    mine = slice(LENGTH * group.rank() // group.size(), LENGTH * (group.rank() + 1) // group.size())
    x, target = (mx.array(each[mine].astype(np.float32)) for each in (whole, taught(whole)))

    def loss(parameters: list[mx.array]) -> mx.array:
        return ((layer(parameters, x) - target) ** 2).sum() / LENGTH  # this rank's share: the sum is what is minimised

    parameters = [mx.zeros((WIDTH,)), mx.eye(WIDTH)]
    means = [mx.zeros_like(p) for p in parameters]
    squares = [mx.zeros_like(p) for p in parameters]
    for step in range(1, STEPS + 1):
        value, shares = mx.value_and_grad(loss)(parameters)
        total, *slopes = summed([value, *shares])
        means = [0.9 * m + 0.1 * d for m, d in zip(means, slopes, strict=True)]
        squares = [0.99 * s + 0.01 * d**2 for s, d in zip(squares, slopes, strict=True)]
        moves = [(m / (1 - 0.9**step), s / (1 - 0.99**step)) for m, s in zip(means, squares, strict=True)]
        parameters = [p - RATE * m / (mx.sqrt(s) + 1e-8) for p, (m, s) in zip(parameters, moves, strict=True)]
        if step in (1, STEPS // 4, STEPS) and group.rank() == 0:
            print(f"step {step:3}: loss {total.item():.2g}")

    found = mx.sigmoid(parameters[0])
    np.testing.assert_allclose(np.array(found), np.linspace(0.5, 0.9, WIDTH), atol=0.01)
    if group.rank() == 0:
        print("gates found:", ", ".join(f"{gate:.2f}" for gate in found.tolist()), flush=True)


if __name__ == "__main__":
    main()
