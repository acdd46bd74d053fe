"""The program of every operation on every dtype, on arrays and folded from constants, against MLX's eager operations."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from dtype_table import NAMES, Operation, casts, exact, operations, pairs, same, values

from monoscan import dtypes
from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace.combine import trace_function
from monoscan.testing.arithmetic.machine import MACHINE


def flat_pairs(name: str, limit: int) -> list[mx.array]:
    """About so many of the pairs, from all over."""
    step = max(1, pairs(name)[0].size // limit)
    return [exact(side.ravel()[::step].copy(), name) for side in pairs(name)]


def assert_same(name: str, operation: Operation, sides: list[mx.array], got: mx.array | np.ndarray) -> None:
    x, y = map(np.array, sides)
    want = operation.answer(*sides)
    assert str(np.array(got).dtype) == str(want.dtype), operation.name
    wrong = np.flatnonzero(~same(np.array(got), want))
    shown = [(x[i], y[i], np.array(got)[i], want[i]) for i in wrong[:3]]
    assert not wrong.size, f"{operation.name} of {name}: (x, y, got, want) {shown}"


@pytest.mark.parametrize("name", NAMES)
def test_programs_on_arrays_and_in_the_laws_compute_what_mlx_does(name: str) -> None:
    x, y = flat_pairs(name, 10_000)
    for operation in operations(name) + casts(name):
        program = trace_function("f", lambda x, y, f=operation.function: [f(x, y)], (Leaf(name), Leaf(name))).program
        assert program is not None
        (got,) = evaluate(program, [x, y], ARRAYS)
        assert_same(name, operation, [x, y], mx.broadcast_to(got, x.shape))
        with np.errstate(all="ignore"):
            (law,) = evaluate(program, [np.array(x), np.array(y)], MACHINE)
        assert_same(name, operation, [x, y], np.broadcast_to(law, x.shape))


@pytest.mark.parametrize("name", NAMES)
def test_constants_fold_to_what_mlx_computes(name: str) -> None:
    for operation in operations(name) + casts(name):
        program = trace_function("f", lambda f=operation.function: [f(*flat_pairs(name, 200))], ()).program
        assert program is not None
        got = mx.stack(evaluate(program, [], ARRAYS))
        assert_same(name, operation, flat_pairs(name, 200), got)


@pytest.mark.parametrize("name", [*NAMES, "float16", "bfloat16"])
def test_constants_are_exact(name: str) -> None:
    ends = [dtypes.lowest(name), dtypes.highest(name)]
    for value in [*ends, *([] if name == "bool" else [1, 3])]:
        made = dtypes.constant(value, name)
        assert dtypes.name_of(made.dtype) == name
        assert made.item() == value


REDUCTIONS = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin", "cumsum", "cumprod", "cummax", "cummin")


@pytest.mark.parametrize("name", NAMES)
def test_reductions_of_awkward_values_are_mlx_s(name: str) -> None:
    rng = np.random.default_rng(4)
    for reduction in REDUCTIONS:
        function = getattr(mx, reduction)
        found = trace_function("f", lambda x, f=function: [f(x, axis=-1)], (Leaf(name, (3,)),))
        assert found.program is not None, found.reason
        x = exact(rng.choice(values(name), (60, 3)), name)
        want = function(x, axis=-1)
        got = mx.stack(evaluate(found.program, [x[:, i] for i in range(3)], ARRAYS), axis=-1).reshape(want.shape)
        assert got.dtype == want.dtype
        wrong = np.argwhere(~same(np.array(got), np.array(want)))
        assert not wrong.size, f"{reduction} of {name}: {np.array(x)[wrong[0][0]]} {np.array(got)[wrong[0][0]]}"
