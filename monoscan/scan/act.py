"""How ``act`` runs: the states that elements drive, without the products of the elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.held import to_mlx
from monoscan.lowering.execute import execute
from monoscan.lowering.plan.options import Options
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.base import Semigroup
from monoscan.scan import call
from monoscan.scan.fixed_leaves import spread
from monoscan.scan.question import Question, not_an_operator
from monoscan.scan.states import Start, pose
from monoscan.tree import Tree


def run(asked: Options, operator: Semigroup, elems: Tree, state: Tree | None, axis: int) -> tuple[Tree, Tree | None]:
    """The states, and the last one where it is wanted, as trees."""
    plan, leaves, captures, start = prepare(asked, operator, elems, state, axis, exact=False)
    states, last = execute(plan, leaves, captures, start)
    assert plan.problem.acts is not None, "that is what it was made for"
    structure = plan.problem.acts.structure
    return tree.unflatten(structure, states), tree.unflatten(structure, last) if asked.return_carry else None


def prepare(
    asked: Options, operator: Semigroup, elems: Tree, state: Tree | None, axis: int, exact: bool = True
) -> tuple[Plan, list[mx.array], Captures, list[mx.array] | None]:
    """The plan of an act, and the arrays to run it on."""
    if not isinstance(operator, Semigroup):
        raise errors.ScanTypeError(not_an_operator(asked.call, operator))
    captures = capture(operator, asked.call)
    given = spread(asked, captures, elems, axis)
    plan, leaves, start = call.prepare(given.asked, captures, given.elems, given.axis, state, pose, start_of, exact)
    return plan, given.one_step(plan, leaves), captures, start


def start_of(question: Question, state: Tree, elems: Sequence[mx.array]) -> tuple[list[mx.array], Start]:
    """The leaves of a state, numbers as arrays, and their type.

    Raises:
        TreeError: It is no tree of arrays.
    """
    leaves, structure = tree.flatten(state)
    if {*map(type, leaves)} != {mx.array}:
        leaves = _arrays(question, leaves, structure, elems)
    if not leaves:
        raise errors.TreeError(f"{question.where} expects a state of at least one array; got {tree.describe(state)}.")
    start = Start(structure, tuple([x.shape for x in leaves]), tuple([dtypes.name_of(x.dtype) for x in leaves]))
    return leaves, start


def _arrays(
    question: Question, given: Sequence[Any], structure: tree.Structure, elems: Sequence[mx.array]
) -> list[mx.array]:
    leaves = [_array(to_mlx(f"{question.where} state", x), elems) for x in given]
    for path, x in zip(tree.paths(structure), leaves, strict=True):
        if not isinstance(x, mx.array):
            raise errors.TreeError(
                f"{question.where} expects a state of arrays; leaf {path or 'x'} is {tree.shown(x)}. Convert it with "
                "mx.array(...)."
            )
    return leaves


def _array(x: Any, elems: Sequence[mx.array]) -> Any:
    """A number as an array, of the dtype of the first leaf of the elements that holds it."""
    x = dtypes.number(x)
    if not isinstance(x, (bool, int, float, complex)):
        return x
    names = [dtypes.name_of(leaf.dtype) for leaf in elems]
    fitting = [name for name in names if (name == "bool") == isinstance(x, bool) and dtypes.holds(name, x)]
    return dtypes.constant(x, fitting[0]) if fitting else mx.array(x)
