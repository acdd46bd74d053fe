"""Gradients of a split sequence are those of the sum of the ranks' losses, found by differences in float64."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import pytest
import ranks
from cases import CASES, Case, in_order

STEP = 1e-4
NAMES = ["Sum", "Max", "Affine", "MatMul", "no identity", "captures"]
Whole = list[np.ndarray]


@attrs.frozen
class Loss:
    """The sum of the ranks' losses, in NumPy."""

    case: Case
    reverse: bool
    number: int
    weights: Whole
    carries: Whole

    def __call__(self, given: Whole) -> float:
        case = self.case
        if case is CASES["captures"]:
            case = attrs.evolve(case, combine=lambda l, r: (l[0] + r[0] + given[-1] * l[0] * r[0],))
        init = tuple(given[self.number : -1]) or None
        found, carry = in_order(case, tuple(given[: self.number]), self.reverse, True, init)
        total = sum((y[i] ** 2 * w[t]).sum() for t, y in enumerate(found) for i, w in enumerate(self.weights))
        return float(total + sum((c**2 * w).sum() for c, w in zip(carry, self.carries, strict=True)))


def _gradient(loss: Callable[[Whole], float], given: Whole) -> Whole:
    found = [np.zeros(x.shape) for x in given]
    for which, x in enumerate(given):
        for at in np.ndindex(x.shape):
            sides = []
            for step in (STEP, -STEP):
                moved = [y.copy() for y in given]
                moved[which][at] += step
                sides.append(loss(moved))
            found[which][at] = (sides[0] - sides[1]) / (2 * STEP)
    return found


def _check(name: str, lengths: list[int], reverse: bool, given: bool) -> None:
    case, rng = CASES[name], np.random.default_rng(7)
    xs, total = case.elements(sum(lengths), 8), sum(lengths)
    init = tuple(x[0] for x in case.elements(1, 9)) if given else None
    broadcast = [
        tuple(np.broadcast_shapes(*case.batches)) if name == "Affine" and i else b for i, b in enumerate(case.batches)
    ]
    ends = [batch + event for batch, event in zip(broadcast, case.events, strict=True)]
    weights = [rng.normal(size=(total, *end)).astype(np.float32) for end in ends]
    carries = [rng.normal(size=(len(lengths), *end)).astype(np.float32) for end in ends]
    along = [rng.normal(size=x.shape).astype(np.float32) for x in xs]
    answers = ranks.run("gradients", len(lengths), name, xs, lengths, reverse, init, (weights, carries), along)

    loss = Loss(case, reverse, len(xs), weights, [w.sum(axis=0) for w in carries])
    point = [x.astype(np.float64) for x in (*xs, *(init or ()), np.array(0.5))]
    first = _gradient(loss, point)
    moved = [[x + side * u for x, u in zip(point, along, strict=False)] + point[len(xs) :] for side in (STEP, -STEP)]
    sides = [_gradient(loss, each) for each in moved]
    second = [(a - b) / (2 * STEP) for a, b in zip(*sides, strict=True)]
    for leaf in range(len(xs)):
        for order, right in ((0, first), (1, second)):
            found = np.concatenate([answer[order][leaf] for answer in answers])
            np.testing.assert_allclose(found, right[leaf], rtol=2e-3, atol=2e-3)
    for leaf in range(len(xs), len(point)):
        shares = sum(answer[0][leaf] for answer in answers)
        np.testing.assert_allclose(shares, first[leaf], rtol=2e-3, atol=2e-3)
    assert {answer[2] for answer in answers} == {2}  # one collective there, one back


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_both_orders(name: str, given: bool, reverse: bool) -> None:
    _check(name, [2, 3] if given else [2, 0, 3], reverse, given)
