"""Functions of complex numbers on their parts: values and derivatives are those of NumPy's complex128."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest
from gradient_oracle import central, evaluate

from monoscan.lowering.program.derivative import forward, transposed
from monoscan.lowering.program.interpret import ARRAYS
from monoscan.lowering.program.interpret import evaluate as on_arrays
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.trace.combine import trace_function

Array = npt.NDArray[Any]
Numpy = Callable[..., Array]

UNARY: dict[str, Numpy] = {
    "abs": np.abs, "arccos": np.arccos, "arcsin": np.arcsin, "arctan": np.arctan, "conj": np.conj, "cos": np.cos,
    "cosh": np.cosh, "exp": np.exp, "imag": np.imag, "log": np.log, "log10": np.log10,
    "log1p": lambda z: np.log(1 + z), "log2": np.log2, "negative": np.negative, "real": np.real,
    "reciprocal": np.reciprocal, "rsqrt": lambda z: 1 / np.sqrt(z), "sign": lambda z: z / np.abs(z), "sin": np.sin,
    "sinh": np.sinh, "sqrt": np.sqrt, "square": np.square, "tan": np.tan, "tanh": np.tanh,
}  # fmt: skip
BINARY: dict[str, Numpy] = {
    "add": np.add, "divide": np.divide, "logaddexp": lambda x, y: np.log(np.exp(x) + np.exp(y)),
    "multiply": np.multiply, "power": np.power, "subtract": np.subtract,
}  # fmt: skip
CUTS = {"arccos", "arcsin", "arctan", "log", "log10", "log2", "rsqrt", "sqrt"}

RNG = np.random.default_rng(4)
INSIDE = (RNG.uniform(0.2, 1.2, 12) * np.exp(1j * RNG.uniform(-2.8, 2.8, 12))).astype(np.complex64)
OTHERS = (RNG.uniform(0.3, 1.5, 12) * np.exp(1j * RNG.uniform(-1.2, 1.2, 12))).astype(np.complex64)
LARGE = np.array(
    [2 + 3j, -20 + 1j, 30 - 2j, -0.5 - 40j, 1e-3 + 2e-3j, 1e15 - 1e15j, 3e-15 + 4e-15j, 2j, -3j], np.complex64
)
ON_CUTS = np.array([complex(a, b) for a in (-2.0, -1.5, -0.25, 0.0, 0.25, 1.5) for b in (0.0, -0.0)], np.complex64)
ON_CUTS = np.concatenate([ON_CUTS, 1j * ON_CUTS.conj() * -1])
FINITE = {"cosh": 50, "sinh": 50, "exp": 50, "cos": 50, "sin": 50, "arccos": 1e3, "arcsin": 1e3, "arctan": 1e3}
"""Up to where values are compared: beyond it they, or squares on the way, are not finite in float32."""


def program_of(function: Callable[..., Any], number: int) -> Program:
    found = trace_function("f", lambda *xs: [function(*xs)], (Leaf("complex64"),) * number)
    assert found.program is not None, found.reason
    return found.program


def parts(arrays: Sequence[Array]) -> list[Array]:
    return [part for x in arrays for part in (x.real, x.imag)]


def joined(lanes: Sequence[Array]) -> Array:
    return lanes[0] if len(lanes) == 1 else lanes[0] + 1j * lanes[1]


def values(source: Program, arrays: Sequence[Array]) -> Array:
    """What a program yields in float32."""
    lanes = [mx.array(np.ascontiguousarray(part)) for part in parts(arrays)]
    return joined([np.array(y, np.float64) for y in on_arrays(source, lanes, ARRAYS)])


def close(got: Array, want: Array, rtol: float) -> None:
    np.testing.assert_array_less(np.abs(got - want), rtol * np.abs(want) + 1e-36)


@pytest.mark.parametrize("name", UNARY)
def test_values(name: str) -> None:
    source = program_of(getattr(mx, name), 1)
    given = np.concatenate([INSIDE, LARGE[np.abs(LARGE) < FINITE.get(name, np.inf)]])
    if name == "log1p":  # NumPy's own logarithm of 1 + z keeps nothing of a small z
        given = given[np.abs(given) > 1e-4]
    with np.errstate(all="ignore"):
        close(values(source, [given]), UNARY[name](given.astype(np.complex128)), 2e-6)


@pytest.mark.parametrize("name", BINARY)
def test_values_of_two_numbers(name: str) -> None:
    source = program_of(getattr(mx, name), 2)
    want = BINARY[name](INSIDE.astype(np.complex128), OTHERS.astype(np.complex128))
    close(values(source, [INSIDE, OTHERS]), want, 3e-6)


def test_the_logarithm_near_one_keeps_what_is_small() -> None:
    near = np.array([1 + 1e-4j, 0.999 - 0.03j, 1 - 1e-6 + 1e-3j], np.complex64)
    with np.errstate(all="ignore"):
        want = np.log(near.astype(np.complex128))
    got = values(program_of(mx.log, 1), [near])
    np.testing.assert_allclose(got.real, want.real, rtol=1e-5, atol=1e-10)
    small = np.array([1e-8 + 1e-9j, -1e-12 + 1e-10j], np.complex64)
    close(values(program_of(mx.log1p, 1), [small]), small - small.astype(np.complex128) ** 2 / 2, 1e-6)


@pytest.mark.parametrize("name", sorted(CUTS))
def test_branch_cuts_are_those_of_c_whatever_the_sign_of_zero(name: str) -> None:
    given = ON_CUTS if name != "rsqrt" else ON_CUTS[ON_CUTS != 0]
    source = program_of(getattr(mx, name), 1)
    with np.errstate(all="ignore"):
        want = UNARY[name](given.astype(np.complex128))
    finite = np.isfinite(want)
    close(values(source, [given])[finite], want[finite], 3e-6)


def test_quotients_and_sizes_of_extreme_numbers_are_finite() -> None:
    great, small = np.complex64(1e30 + 2e30j), np.complex64(1e-30 - 3e-30j)
    divide, size = program_of(mx.divide, 2), program_of(mx.abs, 1)
    for x, y in ((great, great), (small, small), (small, great), (great, great.conj())):
        close(values(divide, [np.array([x]), np.array([y])]), np.array([np.complex128(x) / np.complex128(y)]), 1e-6)
    for x in (great, small):
        close(values(size, [np.array([x])]), np.array([np.abs(np.complex128(x))]), 1e-6)


@pytest.mark.parametrize("exponent", [-3, -1, 0, 1, 2, 5, 16])
def test_whole_powers_are_products(exponent: int) -> None:
    source = program_of(lambda z: z**exponent, 1)
    assert not {instr.op.value for instr in source.code} & {"log", "exp", "log1p"}
    close(values(source, [INSIDE]), INSIDE.astype(np.complex128) ** exponent, 5e-6)
    if exponent >= 0:
        assert (values(source, [np.zeros(1, np.complex64)]) == (exponent == 0)).all()


def test_powers_of_zero() -> None:
    zero, exponents = np.zeros(3, np.complex64), np.array([0, 2, 1.5 + 1j], np.complex64)
    np.testing.assert_array_equal(values(program_of(mx.power, 2), [zero, exponents]), [1, 0, 0])


def test_numbers_are_equal_in_both_parts_and_have_no_order() -> None:
    x, y = np.array([1 + 2j, 1 + 2j, 1 + 2j], np.complex64), np.array([1 + 2j, 1 - 2j, 2 + 2j], np.complex64)
    for function, want in ((mx.equal, [1, 0, 0]), (mx.not_equal, [0, 1, 1])):
        np.testing.assert_array_equal(values(program_of(function, 2), [x, y]), want)
    for name in ("less", "maximum", "greater_equal"):
        found = trace_function("f", lambda a, b, n=name: [getattr(mx, n)(a, b)], (Leaf("complex64"),) * 2)
        assert "of complex numbers" in found.reason


def test_a_real_factor_costs_what_a_real_number_costs() -> None:
    leaves = (Leaf("float32"), Leaf("complex64"))
    found = trace_function("f", lambda a, z: [a * z + z], leaves)
    assert found.program is not None
    assert [instr.op.value for instr in found.program.code] == ["mul", "mul", "add", "add"]


# -------------------------------------------------------------------------------------- derivatives


def check(source: Program, run: Numpy, arrays: list[Array]) -> None:
    """Both modes against differences of NumPy's function; a gradient is dL/da + i dL/db."""
    given = parts([x.astype(np.complex128) for x in arrays])
    outputs = len(source.results)
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=given[0].shape) for _ in range(outputs)]
    tangents = [rng.normal(size=given[0].shape) for _ in given]

    def loss(moved: list[Array]) -> Array:
        y = np.asarray(run(*(a + 1j * b for a, b in zip(moved[::2], moved[1::2], strict=True))))
        shares = [y] if outputs == 1 else [y.real, y.imag]
        return sum(w * share for w, share in zip(weights, shares, strict=True)).reshape(len(moved[0]), -1).sum(1)

    want = [x for x in central(loss, given, 1e-6) if x is not None]
    for got, expected in zip(evaluate(transposed(source), [*given, *weights]), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=2e-6)
    pushed = evaluate(forward(source), [*given, *tangents])[-outputs:]
    paired = sum(w * t for w, t in zip(want, tangents, strict=True))
    np.testing.assert_allclose(sum(w * y for w, y in zip(weights, pushed, strict=True)), paired, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", UNARY)
def test_derivatives(name: str) -> None:
    check(program_of(getattr(mx, name), 1), UNARY[name], [INSIDE])


@pytest.mark.parametrize("name", BINARY)
def test_derivatives_of_two_numbers(name: str) -> None:
    check(program_of(getattr(mx, name), 2), BINARY[name], [INSIDE, OTHERS])


def test_the_size_of_zero_has_derivative_zero() -> None:
    source, zero, one = program_of(mx.abs, 1), np.zeros(1), np.ones(1)
    assert [x.item() for x in evaluate(transposed(source), [zero, zero, one])] == [0, 0]
    assert evaluate(forward(source), [zero, zero, one, one])[-1] == 0


def test_a_power_at_zero_has_the_derivative_of_the_product() -> None:
    source, zero, one = program_of(lambda z: z**2, 1), np.zeros(1), np.ones(1)
    assert [x.item() for x in evaluate(transposed(source), [zero, zero, one, one])] == [0, 0]


@pytest.mark.parametrize(
    ("function", "number"),
    [
        (lambda x, y: x * y, 2), (lambda x, y: x / y, 2), (mx.exp, 1), (lambda x: mx.conj(x) * x, 1), (mx.log, 1),
        (lambda x, y: mx.abs(x) * y, 2), (lambda x, y: mx.real(x) * y, 2), (lambda x, y: mx.imag(x) * y, 2),
        (lambda x: mx.sin(x) * x, 1), (lambda x, y: mx.tanh(x) - y, 2), (lambda x, y: x * mx.conj(y), 2), (mx.sqrt, 1),
    ],
)  # fmt: skip
def test_cotangents_follow_the_convention_of_mlx(function: Callable[..., mx.array], number: int) -> None:
    source, g = program_of(function, number), INSIDE[::-1].copy()
    given = [INSIDE, OTHERS][:number]
    found = [np.array(x) for x in evaluate(transposed(source), parts([x.astype(np.complex128) for x in (*given, g)]))]
    _, want = mx.vjp(function, [mx.array(x) for x in given], [mx.array(g)])
    for re, im, theirs in zip(found[::2], found[1::2], want, strict=True):
        np.testing.assert_allclose(re + 1j * im, np.array(theirs), rtol=1e-4, atol=1e-5)
