"""Random functions of slices: the program of an element, run at every position, is the function itself.

One combine is compared and no scan, so the functions need not be associative.
"""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monoscan import tree
from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.trace.reads.captures import capture
from monoscan.lowering.trace.slices import trace_slices
from monoscan.scan.associative import Slices

Step = Callable[[mx.array, mx.array], mx.array]
"""From the value so far and another of the shape of the slices, a value of any shape."""


def axis_of(x: mx.array, number: int) -> int:
    return number % max(x.ndim, 1)


def cut(x: mx.array, axis: int, *bounds: int | None) -> mx.array:
    return x[(slice(None),) * axis + (slice(*bounds),)]


def fitted(x: mx.array, y: mx.array) -> mx.array:
    """The value in the shape of another, by broadcasting, or by repeating its items."""
    if x.size == y.size:
        return x.reshape(y.shape)
    return mx.broadcast_to(x.reshape(-1)[:1], y.shape) if not _broadcasts(x, y) else mx.broadcast_to(x, y.shape)


def _broadcasts(x: mx.array, y: mx.array) -> bool:
    try:
        return tuple(mx.broadcast_shapes(x.shape, y.shape)) == tuple(y.shape)
    except ValueError:
        return False


def halves(x: mx.array, y: mx.array, axis: int) -> mx.array:
    middle = x.shape[axis] // 2
    return mx.concatenate([cut(x, axis, middle, None), cut(x, axis, 0, middle)], axis=axis)


STEPS: dict[str, Callable[[int], Step]] = {
    "add": lambda k: lambda x, y: fitted(x, y) + y,
    "maximum": lambda k: lambda x, y: mx.maximum(fitted(x, y), y),
    "scale": lambda k: lambda x, y: x * (k + 0.5),
    "by a size": lambda k: lambda x, y: x * x.shape[axis_of(x, k)] if x.ndim else x,
    "swap": lambda k: lambda x, y: x.swapaxes(axis_of(x, k), axis_of(x, k + 1)) if x.ndim else x,
    "flip": lambda k: lambda x, y: cut(x, axis_of(x, k), None, None, -1) if x.ndim else x,
    "first": lambda k: lambda x, y: cut(x, axis_of(x, k), 0, 1) if x.ndim else x,
    "squeeze": lambda k: lambda x, y: x.squeeze(),
    "new axis": lambda k: lambda x, y: mx.expand_dims(x, axis_of(x, k)),
    "flatten": lambda k: lambda x, y: x.reshape(-1),
    "flatten two": lambda k: lambda x, y: (
        x.flatten(axis_of(x, k), axis_of(x, k) + 1) if axis_of(x, k) + 1 < x.ndim else x
    ),
    "fit": lambda k: lambda x, y: fitted(x, y),
    "sum": lambda k: lambda x, y: x.sum(axis_of(x, k), keepdims=bool(k % 2)) if x.ndim else x,
    "cumsum": lambda k: lambda x, y: mx.cumsum(x, axis=axis_of(x, k)) if x.ndim else x,
    "halves": lambda k: lambda x, y: halves(x, y, axis_of(x, k)) if x.ndim and x.shape[axis_of(x, k)] > 1 else x,
    "stack": lambda k: lambda x, y: mx.stack([x, x * 2], axis=axis_of(x, k)),
    "joined": lambda k: lambda x, y: mx.concatenate([x, x * 3], axis=axis_of(x, k)) if x.ndim else x,
    "counted": lambda k: lambda x, y: x + mx.arange(x.shape[axis_of(x, k)]).reshape(
        [-1 if i == axis_of(x, k) else 1 for i in range(x.ndim)]) if x.ndim else x,
    "masked": lambda k: lambda x, y: mx.where(mx.arange(x.shape[-1]) < k, x, -x) if x.ndim else x,
    "ones": lambda k: lambda x, y: x + mx.ones_like(x),
    "matrices": lambda k: lambda x, y: x @ mx.broadcast_to(mx.eye(x.shape[-1]) * 2, (*x.shape[:-2], x.shape[-1], x.shape[-1]))
    if x.ndim > 1 else x,
    "squares": lambda k: lambda x, y: x @ x.swapaxes(-1, -2) if x.ndim > 1 else x,
    "one matrix": lambda k: lambda x, y: x @ (mx.ones((x.shape[-1], x.shape[-1])) + mx.eye(x.shape[-1])) if x.ndim > 1 else x,
    "softmax": lambda k: lambda x, y: mx.softmax(x, axis=axis_of(x, k)) if x.ndim else x,
    "along": lambda k: lambda x, y: mx.take_along_axis(
        x, mx.zeros(x.shape, mx.int32) + (x > 0).astype(mx.int32) * (x.shape[axis_of(x, k)] - 1), axis=axis_of(x, k))
    if x.ndim else x,
    "taken": lambda k: lambda x, y: mx.take(x, mx.array([0, x.shape[axis_of(x, k)] - 1]), axis=axis_of(x, k)) if x.ndim else x,
    "written": lambda k: lambda x, y: x.at[..., :1].add(1.0) if x.ndim else x,
    "padded": lambda k: lambda x, y: mx.pad(x, [(int(i == axis_of(x, k)), 0) for i in range(x.ndim)]) if x.ndim else x,
    "mapped": lambda k: lambda x, y: mx.vmap(lambda row: row.sum() + row, in_axes=axis_of(x, k), out_axes=axis_of(x, k))(x)
    if x.ndim else x,
}  # fmt: skip

SHAPES = [(2, 2, 2), (3, 3, 3), (4, 2, 3), (4, 2, 2), (1, 3, 3), (2, 1, 2), (3, 2, 1), (2, 2, 2, 2), (6, 6), (2, 6)]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(SHAPES),
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 3), st.booleans()), min_size=1, max_size=6),
    st.integers(0, 2),
)
def test_the_program_of_an_element_is_the_function_at_every_position(
    shape: tuple[int, ...], steps: list[tuple[str, int, bool]], axis: int
) -> None:
    def function(left: mx.array, right: mx.array) -> mx.array:
        value = left
        for name, number, other in steps:
            value = STEPS[name](number)(value, right if other else left)
            if value.size > 2000:
                value = value.reshape(-1)[: left.size]
        return fitted(value, left) + 0.25 * right

    axis = axis % len(shape)
    operator = Slices(function)
    whole = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
    leading, traced = trace_slices(tree.LEAF, ["float32"], [whole], axis, capture(operator))
    assume(traced.program is not None)
    assert traced.program is not None
    rng = np.random.default_rng(0)
    left, right = (mx.array(rng.normal(size=shape).astype(np.float32)) for _ in range(2))
    flat = [x.reshape(*shape[:leading], -1) for x in (left, right)]
    lanes = [x[..., i] for x in flat for i in range(x.shape[-1])]
    results = [mx.broadcast_to(y, shape[:leading]) for y in evaluate(traced.program, lanes, ARRAYS)]
    got, want = mx.stack(results, axis=-1).reshape(shape), function(left, right)
    np.testing.assert_allclose(np.array(got), np.array(want), rtol=1e-4, atol=1e-4)


def test_random_functions_do_have_programs() -> None:
    """Else the test above would compare nothing."""
    kinds = {("add", 2): 3, ("masked", 2): 2, ("halves", 2): 2, ("ones", 2): 3, ("flatten", 2): 3, ("mapped", 0): 1}
    for (name, number), wanted in kinds.items():
        step = STEPS[name](number)
        operator = Slices(lambda l, r, step=step: fitted(step(l, r), l) + r)  # type: ignore[misc]
        leading, traced = trace_slices(tree.LEAF, ["float32"], [(8, 2, 3)], 0, capture(operator))
        assert traced.program is not None, (name, traced.reason)
        assert leading == wanted, name
