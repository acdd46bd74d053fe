"""Lengths, masks and offsets of acts and loops, against a fold of one position after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged_calls import calls
from ragged_oracle import counting, row_shape, scan

import monoscan as ms
from monoscan import tree

Shapes = tuple[tuple[int, ...], ...]


@attrs.frozen
class Case:
    """An operator on small integers, and its action in NumPy on tuples."""

    operator: Any
    step: Callable[[Any, Any], Any]
    begin: Callable[[Any], Any] | None
    elements: Shapes
    states: Shapes
    form: Any = "s"
    structure: Any = ("x", "y")

    def drawn(self, shapes: Shapes, lead: tuple[int, ...], seed: int) -> list[np.ndarray]:
        random = np.random.default_rng(seed)
        return [random.integers(0, 3, lead + shape).astype(np.int32) for shape in shapes]

    def tree(self, structure: Any, leaves: Any) -> Any:
        arrays = [mx.array(x) for x in leaves]
        return arrays[0] if len(arrays) == 1 else tree.unflatten(tree.flatten(structure)[1], arrays)


CASES = {
    "affine": Case(ms.Affine(), lambda s, x: (x[0] * s[0] + x[1],), lambda x: (x[1],), ((), ()), ((),)),
    "rows": Case(ms.MatMul(), lambda s, x: (s[0] @ x[0],), None, ((2, 2),), ((2,),)),
    "maps": Case(ms.FiniteMap(3), lambda s, x: (x[0][s[0]],), lambda x: (x[0][0],), ((3,),), ((),)),
    "both": Case(
        ms.Tuple(ms.Affine(), ms.Sum()),
        lambda s, x: (x[0] * s[0] + x[1], s[1] + x[2]),
        lambda x: (x[1], x[2]),
        ((), (), ()),
        ((), ()),
        ("h", "n"),
        (("x", "y"), "z"),
    ),
}


def arrays_of(options: dict[str, Any]) -> dict[str, Any]:
    named = ("lengths", "mask", "offsets")
    return {k: mx.array(v) if k in named and v is not None else v for k, v in options.items()}


def same(got: Any, expected: list[np.ndarray]) -> None:
    for x, y in zip(tree.flatten(got)[0], expected, strict=True):
        assert x.dtype == mx.int32
        np.testing.assert_array_equal(np.array(x), y)


def check_act(
    case: Case, lead: tuple[int, ...], axis: int, seed: int, started: bool, strategy: str, **options: Any
) -> None:
    if case.begin is None or not options["inclusive"]:
        started = True
    leaves = case.drawn(case.elements, lead, seed)
    starts = case.drawn(case.states, row_shape(lead, axis, options.get("offsets")), seed + 1) if started else None
    zeros = tuple(np.zeros(shape, np.int32) for shape in case.states)
    expected, last = scan(
        case.step, leaves, axis, events=[len(s) for s in case.elements], starts=starts, begin=case.begin, blank=zeros,
        outside=zeros, **options,
    )  # fmt: skip
    state = None if starts is None else case.tree(case.form, starts)
    elems = case.tree(case.structure, leaves)
    states, carry = ms.act(
        case.operator, elems, state, axis, return_carry=True, strategy=strategy, **arrays_of(options)
    )
    same(states, expected)
    same(carry, last)
    same(ms.act(case.operator, elems, state, axis, strategy=strategy, **arrays_of(options)), expected)


@given(call=calls(), name=st.sampled_from(sorted(CASES)), started=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_any_options_of_an_act_mean_the_valid_positions(call: Any, name: str, started: bool, seed: int) -> None:
    check_act(CASES[name], call.pop("lead"), call.pop("axis"), seed, started, "hillis_steele", **call)


@pytest.mark.sampled(4)
@pytest.mark.long
@pytest.mark.parametrize("strategy", ["auto", "hillis_steele", "brent_kung", "sequential"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_any_options_of_an_act_by_every_strategy(strategy: str, name: str) -> None:
    @given(call=calls(), started=st.booleans(), seed=st.integers(0, 99))
    @settings(max_examples=60, deadline=None)
    def each(call: Any, started: bool, seed: int) -> None:
        check_act(CASES[name], call.pop("lead"), call.pop("axis"), seed, started, strategy, **call)

    each()


def check_loop(lead: tuple[int, ...], axis: int, seed: int, bare: bool, **options: Any) -> None:
    """A step that is no monoid's, on two numbers of state."""
    random = np.random.default_rng(seed)
    offsets, batch = options.get("offsets"), lead[:axis] + lead[axis + 1 :]
    if bare:
        lead, axis = (*batch, lead[axis]), len(batch)  # whose batch is that of the state
    x = np.zeros(lead, np.int32) if bare else random.integers(-2, 3, lead).astype(np.int32)
    starts = [random.integers(-2, 3, row_shape(lead, axis, offsets)).astype(np.int32) for _ in range(2)]

    def step(state: Any, x: Any) -> Any:
        n, total = state
        return (n + 1, total - n * (0 if x is None else x)), total + n

    def moved(state: Any, element: Any) -> Any:
        after, output = step(state[:2], element[0])
        return (*after, output)

    zeros = (np.int32(0),) * 3
    found, last = scan(
        moved, [x], axis, events=[0], starts=[*starts, np.zeros_like(starts[0])], blank=zeros, outside=zeros, **options
    )
    output = np.where(counting(lead, axis, **options)[0], found[2], 0)
    length = lead[axis] if bare else None
    y, carry = ms.loop(
        step, None if bare else mx.array(x), tuple(map(mx.array, starts)), axis, length=length, return_carry=True,
        **arrays_of(options),
    )  # fmt: skip
    same(y, [output])
    same(carry, last[:2])


@given(call=calls(), bare=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=6, deadline=None)
def test_any_options_of_a_loop_mean_the_valid_positions(call: Any, bare: bool, seed: int) -> None:
    if bare and len(call["lead"]) > 1:
        return
    call.pop("inclusive")
    check_loop(call.pop("lead"), call.pop("axis"), seed, bare, **call)
