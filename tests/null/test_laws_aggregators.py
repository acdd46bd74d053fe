"""Laws of aggregators: their operator's on prepared elements, and scans against steps."""

from __future__ import annotations

import attrs
import mlx.core as mx
import pytest
from hypothesis import strategies as st

import monoscan as ms
from monoscan import errors
from monoscan.testing import LawError, check_laws

NUMBERS = st.integers(-8, 8).map(lambda i: mx.array(i / 4))


def test_an_aggregator_is_checked_on_what_it_prepares_and_step_by_step() -> None:
    report = check_laws(ms.aggregators.EMA(0.5), NUMBERS, examples=20)
    assert report.name == "EMA"
    assert report.rows[-1].law == "a scan is repeated steps"
    assert report.rows[-1].verdict == "holds"
    assert len(report.rows) > 3


def test_an_operator_that_is_not_associative_on_prepared_elements_is_caught() -> None:
    halves = ms.aggregator(lambda x: x, ms.monoid(lambda a, b: (a + b) / 2), lambda s, x: s)
    with pytest.raises(LawError, match="associativity fails"):
        check_laws(halves, NUMBERS, examples=20)


def test_a_scan_that_is_not_its_steps_is_caught() -> None:
    @attrs.frozen
    class Slow(ms.Aggregator):
        operator = ms.Sum()

        def prepare(self, x: mx.array) -> mx.array:
            return x

        def present(self, state: mx.array, x: mx.array) -> mx.array:
            return state

        def step(self, state: object, *inputs: object) -> tuple[mx.array, mx.array]:
            return mx.array(0.0), mx.array(1000.0)

    with pytest.raises(LawError, match="repeated steps does not hold at position 0"):
        check_laws(Slow(), NUMBERS, examples=20)


def test_inputs_are_drawn_by_the_caller() -> None:
    with pytest.raises(errors.ScanError, match="give elements="):
        check_laws(ms.aggregators.Mean())
