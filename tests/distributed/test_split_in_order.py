"""Where products of elements break or cost too much, a split sequence goes from rank to rank; tangents of split calls."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import ranks

import monoscan as ms

LENGTHS = [300, 0, 400]


def joined(answers: list[dict[str, Any]], name: str) -> np.ndarray:
    found = [answer[name][0] if isinstance(answer[name], tuple) else answer[name] for answer in answers]
    return np.concatenate(found)


def test_a_recurrence_stays_finite_where_the_product_of_a_ranks_gates_does_not() -> None:
    answers = ranks.run("overflowing", 2, 1.01, [100_000, 100_000], False, True)
    h = joined(answers, "recurrence")
    assert not h[:-4].any()
    np.testing.assert_allclose(h[-4:], [[0, 1.01**k] for k in range(4)], rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True])
def test_states_stay_finite_where_a_rank_has_gates_whose_product_is_not(reverse: bool) -> None:
    gate, total = 1.5, sum(LENGTHS)
    answers = ranks.run("overflowing", 3, gate, LENGTHS, reverse)
    right = np.zeros((total, 2))
    right[-4:, 1] = gate ** np.arange(4)
    right = right[::-1] if reverse else right
    before = np.roll(right, -1 if reverse else 1, axis=0)
    before[-1 if reverse else 0] = 0
    for name, expected in (
        ("recurrence", right),
        ("act", right),
        ("exclusive", before),
        ("quiet", 0 * right),
        ("tangent", right),
    ):
        np.testing.assert_array_equal(joined(answers, name), expected, err_msg=name)
    first, last = (3, 1) if reverse else (1, 3)  # weights of the first three states in fold order
    weights = [first + 2 * gate + last * gate**2, 2 + last * gate, last]
    slopes = np.concatenate([answer["gradient"][1] for answer in answers])[:: -1 if reverse else 1]
    np.testing.assert_allclose(slopes[:3], np.repeat(weights, 2).reshape(3, 2), rtol=1e-6)
    assert not slopes[3:].any()
    assert not np.concatenate([answer["gradient"][0] for answer in answers]).any()  # all states are zero
    np.testing.assert_allclose(sum(answer["gradient"][2] for answer in answers), [gate * weights[0]] * 2, rtol=1e-6)
    for answer in answers:
        assert answer["recurrence"][1].tolist() == answer["act"][1].tolist() == answer["fold"].tolist() == [0, gate**3]
        assert answer["tangent"][1].tolist() == [0, gate**3]
        assert answer["gathers"] == 3  # the totals, and a state from each of two ranks
        assert answer["tangent gathers"] == 5  # and once more, with tangents
        assert all("in order, from rank to rank" in words for words in answer["refused"])


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True])
def test_tangents_are_those_of_one_machine(reverse: bool) -> None:
    rng, lengths = np.random.default_rng(3), [2, 0, 3]
    xs = [rng.uniform(-0.9, 0.9, (5, 3)).astype(np.float32) for _ in range(4)]
    answers = ranks.run("tangents", 3, xs[:2], xs[2:], lengths, reverse)
    start = [np.ones(3), np.full(3, 0.5)]

    def scan(along: float) -> list[np.ndarray]:
        a, b = (x.astype(np.float64) + along * u for x, u in zip(xs[:2], xs[2:], strict=True))
        p, h, ps, hs = start[0] * (1 + along), start[1] * (1 + along), np.zeros((5, 3)), np.zeros((5, 3))
        for t in range(5)[::-1] if reverse else range(5):
            p, h = a[t] * p, a[t] * h + b[t]
            ps[t], hs[t] = p, h
        return [ps, hs, p, h]

    right = [(x - y) / 2e-5 for x, y in zip(scan(1e-5), scan(-1e-5), strict=True)]
    for leaf in range(2):
        found = np.concatenate([answer[0][leaf] for answer in answers])
        np.testing.assert_allclose(found, right[leaf], rtol=1e-4, atol=1e-4)
        for answer in answers:
            np.testing.assert_allclose(answer[0][2 + leaf], right[2 + leaf], rtol=1e-4, atol=1e-4)
            assert answer[2] == 2  # one of totals, one of totals and their tangents
            assert answer[3] == 3  # and one back

    def loss(a: mx.array, b: mx.array) -> mx.array:
        p, q = (mx.array(x.astype(np.float32)) for x in start)
        return sum(
            y.sum()
            for y in mx.jvp(
                lambda *x: ms.scan(ms.Affine(), (x[0], x[1]), init=(x[2], x[3]), reverse=reverse), [a, b, p, q],
                [*map(mx.array, xs[2:]), p, q],
            )[1]
        )  # fmt: skip

    for leaf, slope in enumerate(mx.grad(loss, (0, 1))(*map(mx.array, xs[:2]))):
        found = np.concatenate([answer[1][leaf] for answer in answers])
        np.testing.assert_allclose(found, np.array(slope), rtol=1e-4, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("reverse", [False, True])
def test_acts_of_matrices_on_few_ranks_send_states_alone(reverse: bool) -> None:
    rng = np.random.default_rng(4)
    turns, state = rng.normal(size=(6, 4, 4)).astype(np.float32) / 2, rng.normal(size=4).astype(np.float32)
    answers = ranks.run("relayed", 3, turns, [3, 0, 3], state, reverse)
    right, s = np.zeros((6, 4)), state.astype(np.float64)
    for t in range(6)[::-1] if reverse else range(6):
        right[t] = s = s @ turns[t].astype(np.float64)
    np.testing.assert_allclose(np.concatenate([answer[0] for answer in answers]), right, rtol=1e-5, atol=1e-6)

    def act(x: mx.array, s: mx.array) -> tuple[mx.array, mx.array]:
        states, last = ms.act(ms.MatMul(), x, s, reverse=reverse, return_carry=True)
        return states, last

    def loss(x: mx.array, s: mx.array) -> mx.array:
        states, last = act(x, s)
        return (states**2).sum() + 3 * (last**3).sum()  # which each of three ranks adds

    given = mx.array(turns), mx.array(state)
    first = mx.grad(loss, (0, 1))(*given)
    second = mx.grad(lambda x, s: mx.grad(loss)(x, s).sum(), (0, 1))(*given)
    for order, expected in ((3, first), (4, second)):
        slopes = np.concatenate([answer[order][0] for answer in answers])
        np.testing.assert_allclose(slopes, np.array(expected[0]), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            sum(answer[order][1] for answer in answers), np.array(expected[1]), rtol=1e-4, atol=1e-4
        )
    pushed = mx.jvp(lambda x, s: act(x, s)[0], list(given), list(given))[1][0]
    np.testing.assert_allclose(np.concatenate([a[5] for a in answers]), np.array(pushed), rtol=1e-4, atol=1e-5)
    for answer in answers:
        np.testing.assert_allclose(answer[1], right[0 if reverse else -1], rtol=1e-5, atol=1e-6)
        assert answer[2] == [4096] * 3  # how long parts are, and two states
