"""The laws of an aggregator: its operator's on the elements that ``prepare`` makes, and that a scan is repeated steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from hypothesis import strategies as st

from monoscan import errors, tree
from monoscan.monoids.aggregator import Aggregator, element
from monoscan.scan.api import scan
from monoscan.testing.laws.report import LawError, Row
from monoscan.testing.search.counterexamples import draw_once
from monoscan.testing.search.elements import Elements

STEPS = "a scan is repeated steps"
LENGTH, SEQUENCES = 7, 4
TOLERANCE = 1e-4


def prepared(aggregator: Aggregator, inputs: Elements) -> Elements:
    """The elements of drawn inputs; of copies the first one."""
    operator = aggregator.operator

    def one(drawn: Any) -> Any:
        leaves, structure = tree.flatten(element(aggregator, _listed(drawn), f"[laws] {aggregator.name}"))
        rows = zip(leaves, operator.events(structure), strict=True)
        return tree.unflatten(structure, [x[(0,) * (x.ndim - event)] if x.ndim > event else x for x, event in rows])

    return inputs.map(one)


def check_steps(aggregator: Aggregator, inputs: Elements, seed: int) -> Row:
    """Compares scans with steps, position by position.

    Raises:
        LawError: They differ.
    """
    if aggregator.operator.right.begin is None:
        return Row(STEPS, "given", "machine", 0, SEQUENCES, "not tested: no element begins a state")
    for number in range(SEQUENCES):
        drawn = draw_once(st.lists(inputs.map(_listed), min_size=LENGTH, max_size=LENGTH), seed + number)
        outputs = scan(aggregator, tuple(mx.stack(list(each)) for each in zip(*drawn, strict=True)))
        _compare(aggregator, tree.flatten(outputs)[0], drawn)
    return Row(STEPS, "given", "machine", SEQUENCES, 0, "holds")


def _compare(aggregator: Aggregator, found: Sequence[mx.array], drawn: Sequence[Sequence[mx.array]]) -> None:
    state = None
    for t, inputs in enumerate(drawn):
        state, output = aggregator.step(state, *inputs)
        for y, expected in zip(found, tree.flatten(output)[0], strict=True):
            left, right = (np.array(each.astype(mx.float32)) for each in (y[t], expected))
            if y.dtype != expected.dtype or not np.allclose(left, right, TOLERANCE, TOLERANCE, equal_nan=True):
                raise LawError(
                    f"{aggregator.name}: {STEPS} does not hold at position {t} of "
                    f"{[tuple(x.tolist() for x in each) for each in drawn]}: scan presents {y[t].tolist()}, step {expected.tolist()}."
                )


def _listed(drawn: Any) -> list[mx.array]:
    inputs = list(drawn) if isinstance(drawn, (tuple, list)) else [drawn]
    if not all(isinstance(x, mx.array) for x in inputs):
        raise errors.TreeError(
            f"[laws] elements must draw the inputs of one position, arrays; got {tree.describe(drawn)}."
        )
    return inputs
