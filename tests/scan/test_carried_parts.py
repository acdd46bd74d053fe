"""Parts of states: what `present` and outputs do not follow from is neither carried nor differentiated."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from selection import thinned

import monoscan as ms

T = 7


def product(x: mx.array, y: mx.array) -> mx.array:
    return x @ y


class Row(ms.Aggregator):
    """A row of products of matrices."""

    operator, event = ms.monoid(product, event=2), (2,)

    def prepare(self, m: mx.array) -> mx.array:
        return m

    def present(self, state: mx.array, m: mx.array) -> mx.array:
        return state[1]


class Lanes(Row):
    """Two entries of different rows."""

    def present(self, state: mx.array, m: mx.array) -> mx.array:
        return state[0, 1] + state[2, 0]


def drawn(n: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return tuple((rng.normal(size=s) / n**0.5).astype(np.float32) for s in ((T, rows, n, n), (rows, n, n)))  # type: ignore[return-value]


def states(m: np.ndarray, start: np.ndarray | None) -> np.ndarray:
    found = []
    for t in range(T):
        x = m[t].astype(np.float64)
        found.append(x if t == 0 and start is None else (start.astype(np.float64) if t == 0 else found[-1]) @ x)
    return np.stack(found)


CASES = [(a, n, rows, given) for a in ("Row", "Lanes") for n in (3, 12) for rows in (1, 18) for given in (True, False)]


@pytest.mark.parametrize(
    ("name", "n", "rows", "given"), thinned(CASES, [("Lanes", 3, 18, False), ("Row", 3, 1, True), ("Row", 12, 1, True)])
)
def test_outputs_are_those_of_whole_states(name: str, n: int, rows: int, given: bool) -> None:
    m, start = drawn(n, rows)
    aggregator, more = {"Row": Row, "Lanes": Lanes}[name](), {"state": mx.array(start)} if given else {}
    found = states(m, start if given else None)
    want = found[..., 1, :] if name == "Row" else found[..., 0, 1] + found[..., 2, 0]
    np.testing.assert_allclose(np.array(ms.scan(aggregator, mx.array(m), **more)), want, rtol=2e-5, atol=1e-6)
    carried = n if name == "Row" else 2 * n if n == 3 else 3 * n
    assert f"{carried} of {n * n} numbers carried" in str(ms.explain(aggregator, mx.array(m), **more))
    if given:
        whole, last = ms.scan(aggregator, mx.array(m), **more, return_carry=True)
        np.testing.assert_allclose(np.array(last), found[-1], rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(np.array(whole), want, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("n", thinned([3, 12], [3]))
def test_gradients_of_a_row_are_zero_in_other_rows(n: int) -> None:
    m, start = drawn(n, 1)
    of_m, of_start = mx.grad(lambda m, s: ms.scan(Row(), m, state=s).sum(), (0, 1))(mx.array(m), mx.array(start))
    exact, gradient = m[:, 0].astype(np.float64), np.zeros((T, n, n))
    row, behind = states(m, start)[:, 0, 1], np.zeros(n)
    for t in reversed(range(T)):
        behind = behind + 1  # the sum of what follows from the state behind step t
        gradient[t] = np.outer(row[t - 1] if t else start[0, 1], behind)
        behind = exact[t] @ behind
    np.testing.assert_allclose(np.array(of_m)[:, 0], gradient, rtol=1e-4, atol=1e-5)
    expected = np.zeros((n, n))
    expected[1] = behind
    np.testing.assert_allclose(np.array(of_start)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_loop_carries_what_its_outputs_follow_from() -> None:
    def step(state: tuple[mx.array, mx.array], x: mx.array) -> tuple[Any, mx.array]:
        s, unread = state
        return (s @ x, unread + s), (s @ x)[2]

    m, start = drawn(3, 1)
    given = mx.array(m[:, 0]), (mx.array(start[0]), mx.zeros((3, 3)))
    found = ms.loop(step, *given, event=2, state_event=2)
    np.testing.assert_allclose(np.array(found), states(m, start)[:, 0, 2], rtol=2e-5, atol=1e-6)
    told = str(ms.explain(step, given[0], state=given[1], event=2, state_event=2, loop=True))
    assert "2 leaves, 3 of 18 numbers carried" in told
    mapped = mx.vmap(lambda s: ms.loop(step, given[0], (s, given[1][1]), event=2, state_event=2))
    both = mapped(mx.stack([given[1][0], -given[1][0]]))
    np.testing.assert_allclose(np.array(both[1]), -np.array(found), rtol=1e-6)
    compiled = mx.compile(lambda x, s: ms.loop(step, x, (s, given[1][1]), event=2, state_event=2), shapeless=True)
    np.testing.assert_allclose(np.array(compiled(given[0], given[1][0])), np.array(found), rtol=1e-6)
