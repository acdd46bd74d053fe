"""Derivatives of programs, and what they are compared with: difference quotients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from gradient_oracle import central, evaluate

import monoscan as ms
from monoscan.lowering.program.derivative import forward, reverse
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program

Array = npt.NDArray[Any]


REAL = Leaf("float64")


POINTS = 9


UNARY: dict[Op, tuple[float, float]] = {
    Op.NEG: (-2, 2), Op.ABS: (-2, 2), Op.SQRT: (0.1, 3), Op.RSQRT: (0.1, 3), Op.EXP: (-2, 2), Op.EXPM1: (-2, 2),
    Op.LOG: (0.1, 3), Op.LOG2: (0.1, 3), Op.LOG10: (0.1, 3), Op.LOG1P: (-0.8, 3), Op.SIGMOID: (-3, 3), Op.ERF: (-2, 2),
    Op.ERFINV: (-0.8, 0.8), Op.SIN: (-3, 3), Op.COS: (-3, 3), Op.TAN: (-1.2, 1.2), Op.ARCSIN: (-0.9, 0.9),
    Op.ARCCOS: (-0.9, 0.9), Op.ARCTAN: (-3, 3), Op.SINH: (-2, 2), Op.COSH: (-2, 2), Op.TANH: (-2, 2),
}  # fmt: skip


"""Where each function is smooth."""


BINARY: dict[Op, tuple[float, float]] = {
    Op.ADD: (-2, 2), Op.SUB: (-2, 2), Op.MUL: (-2, 2), Op.DIV: (0.3, 2), Op.REM: (0.3, 2), Op.POW: (0.2, 2), Op.MIN: (-2, 2),
    Op.MAX: (-2, 2), Op.LOGADDEXP: (-3, 3), Op.ARCTAN2: (-2, 2),
}  # fmt: skip


CONSTANT = (Op.SIGN, Op.FLOOR, Op.CEIL, Op.ROUND)


def program(code: list[Instr], leaf: Leaf = REAL, result: int | None = None) -> Program:
    """A ``combine`` of single arrays: value 0 is the left operand, value 1 the right one."""
    return Program((leaf, leaf), (leaf,), tuple(code), (1 + len(code) if result is None else result,), 1)


def points(op: Op, count: int = 1) -> list[Array]:
    """Random numbers where the operation is smooth."""
    rng = np.random.default_rng(list(Op).index(op))
    low, high = (UNARY | BINARY).get(op, (-2.0, 2.0))
    return [rng.uniform(low, high, POINTS) for _ in range(count)]


def slopes(run: Callable[..., Array], args: list[Array], cotangent: Array) -> list[Array]:
    """The gradient of ``cotangent * run(*args)`` by differences."""
    found = central(lambda given: (cotangent * run(*given)).reshape(given[0].shape[0], -1).sum(1), args, 1e-6)
    return [x for x in found if x is not None]


def backwards(source: Program, args: list[Array], cotangent: Array) -> list[Array]:
    """The cotangents of both operands by the program of cotangents."""
    return [np.broadcast_to(x, cotangent.shape) for x in evaluate(reverse(source), [*args, cotangent])]


def forwards(source: Program, args: list[Array], tangents: list[Array]) -> Array:
    """The tangent of the result by the program of tangents."""
    return np.broadcast_to(evaluate(forward(source), [*args, *tangents])[-1], args[0].shape)


def check_rule(source: Program, run: Callable[..., Array], args: list[Array], rtol: float = 1e-7) -> None:
    """Both modes against differences: reverse for random cotangents, forward because it is the transpose."""
    rng = np.random.default_rng(5)

    g, *tangents = (rng.normal(size=args[0].shape) for _ in range(1 + len(args)))
    want = slopes(run, args, g)
    for got, expected in zip(backwards(source, args, g), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol)
    paired = sum(w * t for w, t in zip(want, tangents, strict=True))
    np.testing.assert_allclose(g * forwards(source, args, tangents), paired, rtol=rtol, atol=10 * rtol)


def traced(operator: ms.Semigroup, events: tuple[tuple[int, ...], ...]) -> tuple[Program, list[Array]]:
    """The program of an operator, and random operands lane by lane."""
    rng = np.random.default_rng(3)
    leaves = [mx.array(rng.uniform(0.2, 1, (2, *event)), mx.float64) for event in events]
    with mx.stream(mx.cpu):
        found = ms.explain(operator, leaves[0] if len(leaves) == 1 else tuple(leaves)).problem.program
    assert found is not None
    return found, [rng.uniform(0.2, 1, POINTS) for _ in range(found.num_lanes)]
