"""Functions of float64 on arrays against the C library: MLX's own err by 1e-7, and its exp(100.0) is infinite."""

from __future__ import annotations

import math
from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest

from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program

ANGLES = [0.0, 1e-300, 1e-9, 0.1, 1.0, 1.5, math.pi / 2, 3.0, math.pi, 6.0, 2 * math.pi, 100.7, 1e6]
SIZES = [0.0, 1e-300, 1e-9, 0.1, 1.0, 3.0, 20.0, 40.0, 88.7, 89.5, 300.0, 700.0, 708.0]


def computed(op: Op, *columns: list[float]) -> np.ndarray:
    leaf, count = Leaf("float64"), len(columns)
    program = Program((leaf,) * count, (leaf,), (Instr(op, tuple(range(count)), "float64"),), (count,), 0)
    (result,) = evaluate(program, [mx.array(column, mx.float64) for column in columns], ARRAYS)
    return np.array(result)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


@pytest.mark.parametrize(
    ("op", "oracle", "sizes"),
    [(Op.EXP, math.exp, SIZES), (Op.SIGMOID, sigmoid, SIZES), (Op.SIN, math.sin, ANGLES), (Op.COS, math.cos, ANGLES)],
)  # fmt: skip
def test_functions_of_float64_are_computed_in_float64(
    op: Op, oracle: Callable[[float], float], sizes: list[float]
) -> None:
    x = [sign * size for size in sizes for sign in (1, -1)]
    np.testing.assert_allclose(
        computed(op, x), [oracle(v) for v in x], rtol=2e-15, atol=3e-16 if op is Op.COS else 1e-307
    )


def test_sums_in_the_exponent_keep_their_infinities() -> None:
    inf, nan = math.inf, math.nan
    x, y = [1.0, -inf, -inf, inf, inf, nan, 0.0, 700.0], [1.5, 2.0, -inf, 1.0, -inf, 1.0, -40.0, 700.0]
    want = [1.5 + math.log1p(math.exp(-0.5)), 2.0, -inf, inf, inf, nan, math.exp(-40), 700 + math.log(2)]
    np.testing.assert_allclose(computed(Op.LOGADDEXP, x, y), want, rtol=1e-15)


def test_the_ends_of_the_exponential() -> None:
    got = computed(Op.EXP, [math.inf, -math.inf, math.nan, 710.0, -800.0, -0.0])
    np.testing.assert_array_equal(got, [math.inf, 0.0, math.nan, math.inf, 0.0, 1.0])
