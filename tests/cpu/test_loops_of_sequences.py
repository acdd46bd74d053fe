"""Every loop on rows that hold several sequences, of which some steps do not count."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import attrs
import numpy as np
import pytest
from loop_driver import Call
from operators import traced
from selection import thinned

import monoscan as ms
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.render import KernelSpec, Loop

LAYOUTS = {
    Loop.ROWS: [1], Loop.SEQUENTIAL: [1, 3], Loop.SWEEP: [8, 41], Loop.NARROW: [2, 5], Loop.PANELS: [8, 19],
    Loop.SHORT: [1],
}  # fmt: skip
SWITCHES = [(False, True), (False, False), (True, True), (True, False)]
"""Reverse and inclusive."""
FILLS = (np.array([1], np.int32), np.array([-7], np.int32))


def spec(loop: Loop, reverse: bool, inclusive: bool, results: bool = True) -> KernelSpec:
    return KernelSpec(
        combine=traced(ms.Affine(), (Leaf("int32"),) * 2), elements=("int32",) * 2,
        results=("int32",) * 2 if results else (), emit=(0, 1), loop=loop, want_results=results, reverse=reverse,
        inclusive=inclusive, identity=(1, -7), vector_bytes=32,
    )  # fmt: skip


@attrs.frozen
class Rows:
    """Rows of sequences, and what they are scanned to."""

    elements: list[np.ndarray]
    init: list[np.ndarray] | None
    bounds: np.ndarray | None
    lengths: np.ndarray | None

    def call(self, kernel: KernelSpec, **others: object) -> Call:
        return Call(
            kernel, self.elements, init=self.init, bounds=self.bounds, lengths=self.lengths, fills=list(FILLS),
            carry=True, **others,
        )  # fmt: skip

    def sequences(self, row: int) -> Iterator[tuple[int, int, np.ndarray, int]]:
        """The number of each, where it begins, where what counts of each column ends, where it ends."""
        n, inner = self.elements[0].shape[1:]
        cuts = [0, n] if self.bounds is None else self.bounds[row].tolist()
        for k, (begin, end) in enumerate(pairwise(cuts)):
            lengths = np.array(end - begin) if self.lengths is None else np.clip(self.lengths[row, k], 0, end - begin)
            yield k, begin, begin + np.broadcast_to(lengths, inner), end


def rows(
    shape: tuple[int, int, int],
    number: int | None,
    with_lengths: bool,
    with_init: bool,
    seed: int = 0,
    apart: bool = False,
) -> Rows:
    """Random rows; `number` sequences in each, or whole ones. `apart`: each column has lengths of its own."""
    outer, n, inner = shape
    random = np.random.default_rng(seed)
    draw = lambda *shape: random.integers(-9, 9, shape, dtype=np.int32)  # noqa: E731
    bounds = None if number is None else np.sort(random.integers(0, n + 1, (outer, number + 1)))
    sequences = () if number is None else (number,)
    columns = inner if apart else 1
    lengths = random.integers(-3, n, (outer, 1 if number is None else number, columns), dtype=np.int32)
    init = [draw(outer, *sequences, inner) for _ in range(2)] if with_init else None
    return Rows([draw(*shape), draw(*shape)], init, bounds, lengths if with_lengths else None)


def expected(given: Rows, kernel: KernelSpec) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """One step after another."""
    (a, b), neutral = given.elements, [int(x[0]) for x in FILLS]
    results = [np.full(a.shape, value, np.int32) for value in neutral]
    number = () if given.bounds is None else (given.bounds.shape[1] - 1,)
    carries = [np.zeros((a.shape[0], *number, a.shape[2]), np.int32) for _ in range(2)]
    for row in range(a.shape[0]):
        for k, begin, valid, end in given.sequences(row):
            slot = (row, k) if number else (row,)
            started = np.full(a.shape[2], given.init is not None)
            state = [np.full(a.shape[2], x) for x in neutral] if given.init is None else [x[slot] for x in given.init]
            steps = range(begin, end)
            for t in reversed(steps) if kernel.reverse else steps:
                x, before, counts = (a[row, t], b[row, t]), state, t < valid
                moved = [np.where(started, x[0] * state[0], x[0]), np.where(started, x[0] * state[1] + x[1], x[1])]
                state = [np.where(counts, new, old) for new, old in zip(moved, state, strict=True)]
                started = started | counts
                for result, value in zip(results, state if kernel.inclusive else before, strict=True):
                    result[row, t] = value
            for carry, value in zip(carries, state, strict=True):
                carry[slot] = value
    return results, carries


def check(given: Rows, kernel: KernelSpec) -> None:
    results, carries = expected(given, kernel)
    answer = given.call(kernel).run()
    for got, want in zip(answer.results, results if kernel.want_results else [], strict=True):
        np.testing.assert_array_equal(got, want)
    for got, want in zip(answer.carries, carries, strict=True):
        np.testing.assert_array_equal(got, want)


QUICK = {Loop.ROWS: (True, False), Loop.PANELS: (True, True)}
"""One choice of reverse and inclusive by default, of some loops."""
CHOICES = [(loop, *switches) for loop in LAYOUTS for switches in SWITCHES]


@pytest.mark.sampled(8)
@pytest.mark.parametrize("with_init", thinned([False, True], [True]), ids=["bare", "init"])
@pytest.mark.parametrize(
    ("loop", "reverse", "inclusive"), thinned(CHOICES, [(loop, *switches) for loop, switches in QUICK.items()])
)
def test_sequences(loop: Loop, reverse: bool, inclusive: bool, with_init: bool) -> None:
    kernel = spec(loop, reverse, inclusive)
    for inner in LAYOUTS[loop]:
        for number in (None, 0, 1, 7, 90):
            for with_lengths in (False, True):
                if number is not None or with_lengths:
                    check(rows((3, 75, inner), number, with_lengths, with_init, seed=inner), kernel)


APART = [each for each in CHOICES if each[0] in (Loop.SEQUENTIAL, Loop.SWEEP, Loop.PANELS, Loop.SHORT)]


@pytest.mark.sampled(8)
@pytest.mark.parametrize("with_init", [False, True], ids=["bare", "init"])
@pytest.mark.parametrize(
    ("loop", "reverse", "inclusive"), thinned(APART, [(Loop.PANELS, True, True), (Loop.SHORT, False, False)])
)
def test_columns_that_end_apart(loop: Loop, reverse: bool, inclusive: bool, with_init: bool) -> None:
    kernel = spec(loop, reverse, inclusive)
    for shape in [(40, 9, 1), (40, 35, 1)] if loop is Loop.SHORT else [(2, 75, 19), (1, 30, 150)]:
        for number in (None, 4):
            given = rows(shape, number, True, with_init, seed=shape[1], apart=loop is not Loop.SHORT)
            check(given, kernel)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("reverse", thinned([False, True], [True]), ids=["forward", "reverse"])
@pytest.mark.parametrize("loop", thinned(LAYOUTS, [Loop.PANELS]))
def test_folds(loop: Loop, reverse: bool) -> None:
    kernel = spec(loop, reverse, True, results=False)
    for number in (None, 5):
        for apart in (False, loop in (Loop.SEQUENTIAL, Loop.SWEEP, Loop.PANELS)):
            check(rows((3, 75, LAYOUTS[loop][-1]), number, True, reverse, apart=apart), kernel)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("loop", thinned(LAYOUTS, [Loop.ROWS]))
@pytest.mark.parametrize("reverse", thinned([False, True], [True]), ids=["forward", "reverse"])
def test_in_place(loop: Loop, reverse: bool) -> None:
    kernel = spec(loop, reverse, False)
    given = rows((3, 75, LAYOUTS[loop][-1]), 6, True, False)
    results, _ = expected(given, kernel)
    for got, want in zip(given.call(kernel, results=given.elements).run().results, results, strict=True):
        np.testing.assert_array_equal(got, want)


TASKS = [
    (Loop.ROWS, (1, 60_000, 1), 900), (Loop.ROWS, (5, 20_000, 1), 3), (Loop.PANELS, (1, 9_000, 19), 2000),
    (Loop.PANELS, (1, 9_000, 40), 1), (Loop.SWEEP, (2, 3_000, 70), None), (Loop.NARROW, (1, 40_000, 5), 300),
]  # fmt: skip


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("loop", "shape", "number"), thinned(TASKS, [TASKS[3]]), ids=str)
def test_tasks(loop: Loop, shape: tuple[int, int, int], number: int | None) -> None:
    kernel, given = spec(loop, True, True), rows(shape, number, True, True)
    assert given.call(kernel).schedule.tasks[0] > 1
    results, carries = expected(given, kernel)
    answer = given.call(kernel).run()
    for got, want in zip([*answer.results, *answer.carries], [*results, *carries], strict=True):
        np.testing.assert_array_equal(got, want)
