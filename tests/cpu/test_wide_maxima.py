"""Best paths of many states: maxima of terms that are NaN, infinite, or zeros of both signs, wherever they stand."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from tests.selection import thinned

SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0)


def _draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Small whole numbers, some of them special."""
    drawn = rng.integers(-2, 3, shape).astype(np.float32)
    places = rng.random(shape) < 0.5 / shape[-1]
    return np.where(places, rng.choice(np.array(SPECIAL, np.float32), shape), drawn)


def _in_order(terms: np.ndarray, pick: np.ufunc) -> np.ndarray:
    """The extreme of each column; of equal terms, which zeros of both signs are, the last; NaN if there is one."""
    found = pick.reduce(terms)
    last = terms.shape[0] - 1 - np.argmax((terms == found)[::-1], axis=0)
    return np.where(np.isnan(found), found, terms[last, np.arange(terms.shape[1])])


@pytest.mark.parametrize("states", thinned([16, 24, 32, 33, 48, 64, 80], [32]))
@pytest.mark.parametrize(
    ("best", "pick"), thinned([(mx.max, np.maximum), (mx.min, np.minimum)], [(mx.max, np.maximum)])
)
def test_the_best_of_special_terms_is_what_numpy_finds(states: int, best: object, pick: np.ufunc) -> None:
    rng = np.random.default_rng(states)
    starts, moves = _draw(rng, (200, states)), _draw(rng, (states, states))
    moves[rng.integers(states), :] = -0.0
    starts[:100, :] = np.where(starts[:100, :] > 0, -0.0, starts[:100, :])
    for place in range(states):
        starts[place % 200, place] = np.nan

    def step(state: mx.array, start: mx.array) -> tuple[mx.array, mx.array]:
        state = best((state[:, None] + mx.array(moves)), axis=0)  # type: ignore[operator]
        return start, state

    shown = np.array(ms.loop(step, mx.array(starts), mx.array(starts[0]), event=1, state_event=1))
    with np.errstate(invalid="ignore"):
        expected = [_in_order(row[:, None] + moves, pick) for row in [starts[0], *starts[:-1]]]
    np.testing.assert_array_equal(shown, expected)
    ordinary = ~np.isnan(shown)
    np.testing.assert_array_equal(np.signbit(shown)[ordinary], np.signbit(np.array(expected))[ordinary])
