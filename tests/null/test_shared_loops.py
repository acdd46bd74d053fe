"""Which operations of an array program share a loop: folds with what they read and what follows, and what is found again."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import pytest

import monoscan as ms
from monoscan import tree
from monoscan.lowering.program.arrays import ArrayProgram, Form
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.render.groups import Groups, Nest
from monoscan.lowering.trace.combine import trace_combine
from monoscan.lowering.trace.reads.captures import capture


def arrays_of(combine: Callable[..., object], event: int | tuple[int, ...], *shapes: tuple[int, ...]) -> ArrayProgram:
    operator = ms.monoid(combine, event=event)
    leaves = tuple(Leaf("float32", shape) for shape in shapes)
    structure = tree.flatten(leaves if len(leaves) > 1 else leaves[0])[1]
    found = trace_combine(operator, structure, leaves, capture(operator)).arrays
    assert found is not None
    return found


def corrected(x: mx.array, y: mx.array) -> mx.array:
    old = x * 0.5
    return old + (old * y).sum() * y


def forms(groups: Groups, nest: Nest) -> list[str]:
    return [groups.instr(value).form.value for value in nest.values]


def test_a_fold_shares_the_loop_of_what_it_folds_and_of_what_follows() -> None:
    def shifted(x: mx.array, y: mx.array) -> mx.array:
        return x + mx.exp((x * 0.5 * y).sum() + 1.0) * y

    groups = Groups(arrays_of(shifted, 1, (40,)))
    first, second = groups.loops
    assert forms(groups, first) == ["each", "contract", "each", "each"]
    assert (len(first.each), len(first.folds), len(first.after)) == (1, 1, 2)
    assert set(first.values).isdisjoint(second.values)
    assert groups.kept.intersection(first.values + second.values) == {first.after[-1], second.each[-1]}


def test_what_costs_one_operation_is_found_again_and_not_kept() -> None:
    groups = Groups(arrays_of(corrected, 1, (40,)))
    first, second = groups.loops
    (old,) = first.each
    assert old in second.each
    assert old not in groups.kept


def test_what_costs_more_is_kept() -> None:
    def combine(x: mx.array, y: mx.array) -> mx.array:
        old = mx.exp(x)
        return old + (old * y).sum() * y

    groups = Groups(arrays_of(combine, 1, (40,)))
    (old,) = groups.loops[0].each
    assert old in groups.kept
    assert old not in groups.loops[1].values


def test_a_result_takes_the_place_of_what_is_found_again_from() -> None:
    program = arrays_of(corrected, 1, (40,))
    groups = Groups(program)
    assert groups.overwrites(program.results[0].value, 0)


@pytest.mark.parametrize(("axis", "lanes", "shared"), [(0, 16, True), (1, 16, False), (0, 1, True), (1, 1, True)])
def test_vectors_go_along_no_axis_that_is_folded(axis: int, lanes: int, shared: bool) -> None:
    def summed(x: mx.array, y: mx.array) -> mx.array:
        return x + mx.expand_dims((x * y).max(axis=axis), axis)

    groups = Groups(arrays_of(summed, 2, (40, 40)), 0, lanes)
    fold = next(nest for nest in groups.loops if nest.folds)
    assert groups.instr(fold.folds[0]).form is not Form.VIEW
    assert bool(fold.each) is shared
    assert not shared or fold.axis == axis


def test_states_of_more_than_a_vector_are_not_overwritten_while_terms_read_them() -> None:
    Pair = tuple[mx.array, mx.array]

    def best(x: Pair, y: Pair) -> Pair:
        return (x[0][:, None] + y[1]).max(axis=0) + y[0], y[1]

    for states, fits in ((16, True), (40, False)):
        program = arrays_of(best, (1, 2), (states,), (states, states)).select((0,))
        assert Groups(program, 0, 16).overwrites(program.results[0].value, 0) is fits
