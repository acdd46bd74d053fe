"""Which numbers of a program stand in the table that kernels read, and which in their text."""

from __future__ import annotations

import math
from collections.abc import Callable

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import tree
from monoscan.lowering.program.ir import Leaf, Op, Program
from monoscan.lowering.program.numbers import numbers, table
from monoscan.lowering.trace.combine import trace_combine
from monoscan.lowering.trace.reads.captures import capture


def traced(combine: Callable[..., mx.array], dtype: str = "float32") -> Program:
    operator = ms.monoid(combine)
    leaves, structure = tree.flatten(Leaf(dtype))
    with mx.stream(mx.cpu):
        program = trace_combine(operator, structure, tuple(leaves), capture(operator)).program
    assert program is not None
    return program


def held(combine: Callable[..., mx.array], dtype: str = "float32") -> list[float]:
    """The numbers in the table."""
    program = traced(combine, dtype)
    return [program.code[value - program.num_lanes].param for value in numbers(program)]


@pytest.mark.parametrize("number", [0.3, -0.3, 0.5, 2.0, 1e-30, 3.0])
def test_a_finite_factor_is_read_from_the_table(number: float) -> None:
    assert held(lambda l, r: l * number + r) == [np.float32(number)]


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan])
def test_what_compilers_make_something_of_is_text(number: float) -> None:
    assert held(lambda l, r: mx.maximum(l * number, r)) == []


def test_integers_are_text() -> None:
    assert held(lambda l, r: l * 5 + r, "int32") == []


def test_an_exponent_is_text_and_a_base_is_not() -> None:
    assert held(lambda l, r: l**3.5 + r) == []
    assert held(lambda l, r: mx.array(3.5) ** l + r) == [3.5]


def test_a_divisor_that_is_a_power_of_two_is_text() -> None:
    assert held(lambda l, r: l / 4 + r) == []
    assert held(lambda l, r: l / 3 + r) == [3]


def test_an_entry_has_eight_bytes_and_begins_with_the_number() -> None:
    entries = np.frombuffer(table(traced(lambda l, r: l * 0.3 + r * 0.7)), "float32")
    assert entries.tolist() == [np.float32(0.3), 0, np.float32(0.7), 0]
    double = table(traced(lambda l, r: l * mx.array(0.3, mx.float64) + r, "float64"))
    assert np.frombuffer(double, "float64").tolist() == [0.3]


def test_equal_numbers_have_one_entry() -> None:
    assert held(lambda l, r: l * 0.3 + r * 0.3) == [np.float32(0.3)]


def test_a_program_keeps_its_numbers_as_constants() -> None:
    program = traced(lambda l, r: l * 0.3 + r)
    assert [instr.op for instr in program.code] == [Op.CONST, Op.MUL, Op.ADD]
