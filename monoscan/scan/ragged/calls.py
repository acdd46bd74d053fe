"""The public calls on sequences as they come, each by what it is given."""

from __future__ import annotations

from typing import Any

from monoscan.lowering.plan.options import Options
from monoscan.monoids.aggregator import Aggregator
from monoscan.scan.ragged import acts, aggregates, loops, scans
from monoscan.scan.ragged.axes import Raw
from monoscan.tree import Tree

act, loop = acts.run, loops.run


def scan(
    asked: Options, operator: Any, elems: Tree, axis: int, init: Tree | None, state: Tree | None, raw: Raw
) -> tuple[Tree, Tree]:
    """The results of a scan, and the carry where it is wanted."""
    if isinstance(operator, Aggregator):
        return aggregates.scan(operator, elems, axis, state, asked, raw)
    return scans.run(asked, operator, elems, axis, init, raw)


def fold(
    asked: Options, operator: Any, elems: Tree, axis: int, init: Tree | None, state: Tree | None, raw: Raw
) -> Tree:
    """The folds of rows, or of sequences."""
    if isinstance(operator, Aggregator):
        return aggregates.fold(operator, elems, axis, state, asked, raw)
    return scans.run(asked, operator, elems, axis, init, raw)[1]


def plan(asked: Options, operator: Any, elems: Tree, axis: int, init: Tree | None, state: Tree | None, raw: Raw) -> Any:
    """What a call would run."""
    if isinstance(operator, Aggregator):
        return aggregates.explain(operator, elems, axis, state, asked, raw)
    if asked.call == "act":
        return acts.opened_act(asked, operator, elems, state, axis, raw).plan()
    if asked.call == "loop":
        return loops.opened_loop(asked, operator, elems, state, axis, raw).plan()
    return scans.opened(asked, operator, elems, axis, init, raw).plan()
