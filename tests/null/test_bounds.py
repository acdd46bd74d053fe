"""Running error bounds: sound for every operation, and tight enough to catch a wrong formula."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from monoscan.lowering.program.interpret import ARRAYS
from monoscan.lowering.program.ir import COMPARISONS, Instr, Op
from monoscan.testing.arithmetic.bounded import ULPS, Bounded, bounded, slip
from monoscan.testing.arithmetic.bounds import BOUNDED
from monoscan.testing.arithmetic.exact import EXACT, UNDEFINED, is_infinite, rational
from monoscan.testing.arithmetic.high_precision import DECIMAL, precision, to_decimal
from monoscan.testing.arithmetic.machine import MACHINE

ARITHMETIC = [Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MIN, Op.MAX]
RANGES: dict[Op, tuple[float, float]] = {
    Op.LOG: (1e-30, 1e30), Op.LOG2: (1e-30, 1e30), Op.LOG10: (1e-30, 1e30), Op.LOG1P: (-0.99, 1e10), Op.EXP: (-80, 80),
    Op.SQRT: (0, 1e30), Op.RSQRT: (1e-30, 1e30), Op.ARCSIN: (-1, 1), Op.ARCCOS: (-1, 1), Op.SIN: (-100, 100),
    Op.COS: (-100, 100), Op.TAN: (-1.5, 1.5), Op.SINH: (-80, 80), Op.COSH: (-80, 80), Op.EXPM1: (-80, 80),
    Op.ERFINV: (-0.999, 0.999), Op.ERF: (-5, 5), Op.SIGMOID: (-80, 80),
}  # fmt: skip
UNARY = sorted(set(ULPS) - {Op.POW, Op.LOGADDEXP, Op.ARCTAN2}, key=lambda op: op.value)


@pytest.fixture(autouse=True)
def quietly() -> Any:
    with np.errstate(all="ignore"), mx.stream(mx.cpu):
        yield


def lane(value: float, dtype: str = "float32", error: float = 0.0) -> Bounded:
    return Bounded(np.array(value, dtype), np.array(error))


def single(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def draw(rng: random.Random, low: float = -100.0, high: float = 100.0) -> float:
    if high > 1e6 and low >= 0:
        return single(10 ** rng.uniform(-30 if low == 0 else math.log10(low), math.log10(high)))
    return max(
        low, min(high, single(rng.choice([rng.uniform(low, high), rng.uniform(-1, 1), rng.uniform(-1, 1) * 1e-4])))
    )


def off(truth: Any, got: Bounded) -> float:
    """How far a bounded value is from the truth, as a fraction of its bound."""
    distance = abs(float(Decimal(got.value.item()) - to_decimal_any(truth)))
    return distance / got.error.item() if distance else 0.0


def to_decimal_any(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value.numerator) / Decimal(value.denominator)


@pytest.mark.parametrize("op", ARITHMETIC, ids=lambda op: op.value)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arithmetic_stays_within_its_bound(op: Op, dtype: str) -> None:
    """The exact result of arguments moved by their errors lies within the bound."""
    rng = random.Random(1)
    instr = Instr(op, (0, 1), dtype)
    with precision():
        for _ in range(60):
            x, y = draw(rng), draw(rng)
            ex, ey = (rng.choice([0.0, abs(v) * 1e-6, 1e-3]) for v in (x, y))
            got = BOUNDED[op](instr, lane(x, dtype, ex), lane(y, dtype, ey))
            for sx, sy in [(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]:
                truth = EXACT[op](instr, rational(x) + rational(sx * ex), rational(y) + rational(sy * ey))
                assert truth is UNDEFINED or off(truth, got) <= 1


@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.value)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mlx_keeps_within_the_ulp_table(op: Op, dtype: str) -> None:
    """The documented units in the last place are true of MLX's own functions on this machine."""
    rng = random.Random(2)
    instr = Instr(op, (0,), dtype)
    low, high = RANGES.get(op, (-30.0, 30.0))
    points = [draw(rng, low, high) for _ in range(100)]
    values = ARRAYS[op](instr, mx.array(points, getattr(mx, dtype))).tolist()
    with precision():
        for x, value in zip(points, values, strict=True):
            truth = DECIMAL[op](instr, to_decimal(x))
            own = slip(instr, np.array(float(truth)), bounded(np.array(x))).item()
            assert abs(float(Decimal(value) - truth)) <= own, (x, value)


@pytest.mark.parametrize("op", UNARY, ids=lambda op: op.value)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_stay_within_their_bound(op: Op, dtype: str) -> None:
    """The exact value at both ends of the argument's error lies within the bound."""
    rng = random.Random(3)
    instr = Instr(op, (0,), dtype)
    low, high = RANGES.get(op, (-30.0, 30.0))
    with precision():
        for _ in range(25):
            x = draw(rng, low, high)
            error = rng.choice([0.0, abs(x) * 1e-6, 1e-4])
            got = BOUNDED[op](instr, lane(x, dtype, error))
            for end in (x, x - error, x + error):
                truth = DECIMAL[op](instr, to_decimal(end))
                assert truth is UNDEFINED or is_infinite(truth) or off(truth, got) <= 1, (x, error)


@pytest.mark.parametrize("op", [Op.LOGADDEXP, Op.POW, Op.ARCTAN2], ids=lambda op: op.value)
def test_functions_of_two_stay_within_their_bound(op: Op) -> None:
    """So do the functions of two arguments."""
    rng = random.Random(4)
    instr = Instr(op, (0, 1), "float32")
    with precision():
        for _ in range(100):
            x, y = (draw(rng, 0.01, 20), draw(rng, -4, 4)) if op is Op.POW else (draw(rng), draw(rng))
            ex, ey = (rng.choice([0.0, abs(v) * 1e-6, 1e-4]) for v in (x, y))
            got = BOUNDED[op](instr, lane(x, error=ex), lane(y, error=ey))
            for sx, sy in [(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]:
                truth = DECIMAL[op](instr, to_decimal(x + sx * ex), to_decimal(y + sy * ey))
                assert truth is UNDEFINED or off(truth, got) <= 1, (x, y)


def test_exact_operations_add_nothing() -> None:
    """Sums and products of small integers carry no error, so choices between them are certain."""
    total = BOUNDED[Op.ADD](Instr(Op.ADD, (0, 1), "float32"), lane(3.0), lane(4.0))
    twice = BOUNDED[Op.MUL](Instr(Op.MUL, (0, 1), "float32"), total, lane(2.0))
    assert (twice.value.item(), twice.error.item()) == (14.0, 0.0)


def test_an_overflow_is_without_bound_and_an_infinity_is_exact() -> None:
    """Inf from finite arguments says nothing; inf from inf is the value."""
    add = Instr(Op.ADD, (0, 1), "float32")
    assert BOUNDED[Op.ADD](add, lane(3e38), lane(3e38)).error.item() == math.inf
    assert BOUNDED[Op.ADD](add, lane(math.inf), lane(1.0)).error.item() == 0.0


def test_an_open_choice_covers_both_outcomes() -> None:
    """A select whose condition the errors leave open is as wide as the distance of its arms."""
    less = BOUNDED[Op.LT](Instr(Op.LT, (0, 1), "bool"), lane(1.0, error=1e-6), lane(1.0))
    assert less.error.item() == 1.0
    chosen = BOUNDED[Op.SELECT](Instr(Op.SELECT, (0, 1, 2), "float32"), less, lane(2.0), lane(5.0))
    assert chosen.error.item() >= 3.0


def test_a_certain_choice_ignores_what_it_does_not_take() -> None:
    """A guarded division by zero leaves no trace."""
    quotient = BOUNDED[Op.DIV](Instr(Op.DIV, (0, 1), "float32"), lane(0.0), lane(0.0))
    guard = BOUNDED[Op.EQ](Instr(Op.EQ, (0, 1), "bool"), lane(0.0), lane(0.0))
    chosen = BOUNDED[Op.SELECT](Instr(Op.SELECT, (0, 1, 2), "float32"), guard, lane(7.0), quotient)
    assert (chosen.value.item(), chosen.error.item()) == (7.0, 0.0)


def test_bounds_broadcast_over_arrays() -> None:
    """The same table serves whole arrays, as the strategies need it."""
    xs = bounded(np.float32([0.1, 0.2, 0.5]))
    total = BOUNDED[Op.ADD](Instr(Op.ADD, (0, 1), "float32"), xs, bounded(np.float32([0.3, 0.3, 0.5])))
    assert total.error.shape == (3,)
    assert total.error.tolist()[2] == 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint32", "int64", "bool"])
def test_numpy_has_the_bits_of_mlx(dtype: str) -> None:
    """Every operation that NumPy computes agrees with MLX to the last bit."""
    rng = np.random.default_rng(5)
    xs, ys = (_numbers(rng, dtype) for _ in range(2))
    for op in sorted(set(Op) - {Op.CONST, Op.CAST, Op.SELECT, Op.LOOKUP} - set(ULPS), key=lambda op: op.value):
        if op not in _ON[dtype]:
            continue
        args = (xs,) if op in _ONE_ARGUMENT else (xs, ys)
        instr = Instr(op, tuple(range(len(args))), "bool" if op in COMPARISONS or op is Op.NOT else dtype)
        ours = MACHINE[op](instr, *args)
        theirs = np.array(
            ARRAYS[op](instr, *(mx.array(a, getattr(mx, "bool_" if dtype == "bool" else dtype)) for a in args))
        )
        assert np.array_equal(ours, theirs, equal_nan=dtype.startswith("float")), op


def _numbers(rng: np.random.Generator, dtype: str) -> Any:
    if dtype == "bool":
        return rng.integers(0, 2, 400).astype(bool)
    if dtype.startswith("float"):
        specials = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 0.5, 2.5])
        return np.concatenate([rng.normal(size=300) * 10, rng.choice(specials, 100)]).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, 400, dtype=dtype, endpoint=True)


_ONE_ARGUMENT = {Op.NEG, Op.ABS, Op.SIGN, Op.SQRT, Op.FLOOR, Op.CEIL, Op.ROUND, Op.NOT}
_WHOLE = {Op.ADD, Op.SUB, Op.MUL, Op.MIN, Op.MAX, Op.ABS, Op.NEG, Op.AND, Op.OR, Op.XOR, *COMPARISONS}
_REAL = {*_WHOLE, Op.DIV, Op.SQRT, Op.FLOOR, Op.CEIL, Op.ROUND, Op.SIGN} - {Op.AND, Op.OR, Op.XOR}
_ON = {
    "float32": _REAL, "float64": _REAL, "int8": _WHOLE, "uint32": _WHOLE, "int64": _WHOLE,
    "bool": {Op.AND, Op.OR, Op.XOR, Op.NOT, Op.ADD, Op.MUL, Op.SUB, Op.MIN, Op.MAX, *COMPARISONS},
}  # fmt: skip


def test_every_operation_has_a_bound() -> None:
    """The table is total."""
    assert set(BOUNDED) == set(Op)
