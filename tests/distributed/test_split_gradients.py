"""Gradients of a split sequence are those of the sum of the ranks' losses, found by differences in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest
import ranks
from split_cases import CASES, Case, in_order

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


@attrs.frozen
class Asked:
    """One gradient to find."""

    name: str
    lengths: list[int]
    reverse: bool
    xs: Whole
    init: Whole
    weights: Whole
    carries: Whole
    along: Whole

    @property
    def given(self) -> tuple[object, ...]:
        """What a rank is told."""
        loss = self.weights, self.carries
        return self.name, tuple(self.xs), self.lengths, self.reverse, self.init or None, loss, self.along


def _asked(name: str, reverse: bool, given: bool) -> Asked:
    case, rng, lengths = CASES[name], np.random.default_rng(7), [2, 1, 3] if given else [2, 0, 3]
    xs, total = case.elements(sum(lengths), 8), sum(lengths)
    init = [x[0] for x in case.elements(1, 9)] if given else []
    batches = [case.batches[0], np.broadcast_shapes(*case.batches)][: len(xs)]
    ends = [batch + event for batch, event in zip(batches, case.events, strict=True)]
    weights = [rng.normal(size=(total, *end)).astype(np.float32) for end in ends]
    carries = [rng.normal(size=(len(lengths), *end)).astype(np.float32) for end in ends]
    along = [rng.normal(size=x.shape).astype(np.float32) for x in xs]
    return Asked(name, lengths, reverse, list(xs), init, weights, carries, along)


ASKED = {
    (name, reverse, given): _asked(name, reverse, given)
    for name in NAMES
    for reverse in (False, True)
    for given in (False, True)
}


@pytest.fixture(scope="module")
def answers() -> list[list[Any]]:
    """What three ranks find of all of them."""
    return ranks.run("gradients", 3, [asked.given for asked in ASKED.values()])


@pytest.mark.long
@pytest.mark.parametrize("which", ASKED)
def test_gradients_of_both_orders(which: tuple[str, bool, bool], answers: list[list[Any]]) -> None:
    asked, found = ASKED[which], [answer[list(ASKED).index(which)] for answer in answers]
    number = len(asked.xs)
    loss = Loss(CASES[asked.name], asked.reverse, number, asked.weights, [w.sum(axis=0) for w in asked.carries])
    point = [x.astype(np.float64) for x in (*asked.xs, *asked.init, np.array(0.5))]
    first = _gradient(loss, point)
    moved = [
        [x + side * u for x, u in zip(point, asked.along, strict=False)] + point[number:] for side in (STEP, -STEP)
    ]
    sides = [_gradient(loss, each) for each in moved]
    second = [(a - b) / (2 * STEP) for a, b in zip(*sides, strict=True)]
    for leaf in range(number):
        for order, right in ((0, first), (1, second)):
            whole = np.concatenate([rank[order][leaf] for rank in found])
            np.testing.assert_allclose(whole, right[leaf], rtol=2e-3, atol=2e-3)
    for leaf in range(number, len(point)):
        shares = sum(rank[0][leaf] for rank in found)
        np.testing.assert_allclose(shares, first[leaf], rtol=2e-3, atol=2e-3)
    assert {rank[2] for rank in found} == {2}  # one collective there, one back


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_states_and_of_halves_are_those_of_one_machine(reverse: bool) -> None:
    for answer in ranks.run("slopes_as_one", 2, reverse):
        for name, here, whole in answer:
            for x, y in zip(here, whole, strict=True):
                assert (x.shape, x.dtype) == (y.shape, y.dtype), name
                limit = 2e-3 if name == "halves" else 2e-5
                np.testing.assert_allclose(x, y, rtol=limit, atol=limit, err_msg=name)
