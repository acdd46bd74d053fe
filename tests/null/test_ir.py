"""Programs: numbering, dead code, dependence, digests, and what the builder folds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from monoscan.lowering.program.builder import Builder
from monoscan.lowering.program.interpret import evaluate
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program, eliminate_dead_code

F32 = Leaf("float32")
AFFINE = Program(
    (F32,) * 4,
    (F32, F32),
    (Instr(Op.MUL, (2, 0), "float32"), Instr(Op.MUL, (2, 1), "float32"), Instr(Op.ADD, (5, 3), "float32")),
    (4, 6),
    2,
)

ON_FLOATS = {Op.MUL: lambda _, x, y: x * y, Op.ADD: lambda _, x, y: x + y}


def test_lanes_are_numbered_before_instructions() -> None:
    program = Program((Leaf("int32", (2, 2)), F32), (F32,), (Instr(Op.NEG, (4,), "float32"),), (5,), 0)
    assert program.num_lanes == 5
    assert program.input_lanes == (range(0, 4), range(4, 5))
    assert program.output_lanes == ((5,),)
    assert program.dtypes == ("int32",) * 4 + ("float32",) * 2


def test_each_output_knows_the_inputs_that_it_reads() -> None:
    assert AFFINE.depends == (frozenset({0, 2}), frozenset({1, 2, 3}))


def test_dead_code_goes_and_the_rest_is_renumbered() -> None:
    dead = Program((F32,), (F32,), (Instr(Op.EXP, (0,), "float32"), Instr(Op.NEG, (0,), "float32")), (2,), 0)
    live = eliminate_dead_code(dead)
    assert live.code == (Instr(Op.NEG, (0,), "float32"),)
    assert live.results == (1,)


def test_some_outputs_take_only_the_code_that_they_need() -> None:
    gate = AFFINE.select([0])
    assert (gate.code, gate.outputs, gate.results) == (AFFINE.code[:1], (F32,), (4,))
    assert gate.inputs == AFFINE.inputs
    assert AFFINE.select([1, 0]).output_lanes == ((5 + 1,), (4,))


def test_inputs_in_another_order_mean_the_same() -> None:
    moved = AFFINE.reorder([3, 0, 2, 1], 2)
    lanes = {"la": 2.0, "lb": 3.0, "ra": 5.0, "rb": 7.0}
    assert evaluate(AFFINE, [*lanes.values()], ON_FLOATS) == [10.0, 22.0]
    assert evaluate(moved, [lanes["rb"], lanes["la"], lanes["ra"], lanes["lb"]], ON_FLOATS) == [10.0, 22.0]
    gate = AFFINE.select([0]).reorder([0, 2], 1)
    assert (gate.inputs, gate.arity) == ((F32, F32), 1)
    assert evaluate(gate, [2.0, 5.0], ON_FLOATS) == [10.0]


def test_what_is_carried_is_what_later_steps_read() -> None:
    assert (AFFINE.carried([0]), AFFINE.carried([1])) == ((0,), (1,))
    assert AFFINE.carried([1], parts=True) == (0, 1)
    assert AFFINE.reads == ((frozenset({0}), frozenset({0})), (frozenset({1}), frozenset({0, 1})))


def test_captured_arrays_come_after_both_elements() -> None:
    program = Program((F32, F32, Leaf("int32", (3,))), (F32,), (), (0,), 1)
    assert program.captures == (Leaf("int32", (3,)),)


def test_the_digest_knows_every_part() -> None:
    digests = {AFFINE.digest}
    changed = [
        Program(AFFINE.inputs, AFFINE.outputs, AFFINE.code, (6, 4), 2),
        Program(AFFINE.inputs, AFFINE.outputs, (*AFFINE.code[:2], Instr(Op.SUB, (5, 3), "float32")), (4, 6), 2),
        Program(AFFINE.inputs, AFFINE.outputs, (*AFFINE.code[:2], Instr(Op.ADD, (3, 5), "float32")), (4, 6), 2),
        Program((Leaf("float64"),) * 4, AFFINE.outputs, AFFINE.code, (4, 6), 2),
    ]
    digests.update(program.digest for program in changed)
    assert len(digests) == 5
    assert Program(AFFINE.inputs, AFFINE.outputs, AFFINE.code, AFFINE.results, 2).digest == AFFINE.digest


def test_a_program_prints_one_line_an_instruction() -> None:
    text = str(AFFINE)
    assert text.splitlines()[0] == "inputs  left float32, left float32, right float32, right float32"
    assert "%6 = add %5 %3 : float32" in text
    assert text.splitlines()[-1] == "outputs float32, float32 = %4 %6"


def test_equal_values_are_shared() -> None:
    builder = Builder((F32, F32))
    assert builder.emit(Op.ADD, (0, 1), "float32") == builder.emit(Op.ADD, (0, 1), "float32")
    assert builder.emit(Op.ADD, (1, 0), "float32") != builder.emit(Op.ADD, (0, 1), "float32")


def test_zeros_of_either_sign_and_nan_are_constants_of_their_own() -> None:
    builder = Builder(())
    assert builder.const(0.0, "float32") != builder.const(-0.0, "float32")
    assert builder.const(math.nan, "float32") == builder.const(math.nan, "float32")
    assert builder.const(1, "int32") != builder.const(True, "bool")


def test_constants_are_rounded_to_their_dtype() -> None:
    builder = Builder(())
    assert builder.value_of(builder.const(0.1, "float32")) == float(np.float32(0.1))
    assert builder.value_of(builder.const(2**40, "float32")) == 2.0**40


@pytest.mark.parametrize(
    ("op", "x", "y", "dtype", "want"),
    [
        (Op.ADD, 100, 100, "int8", -56),
        (Op.MUL, 16, 16, "uint8", 0),
        (Op.ADD, 0.1, 0.2, "float32", float(np.float32(0.1) + np.float32(0.2))),
        (Op.MAX, math.nan, 1.0, "float32", math.nan),
        (Op.MIN, -0.5, math.inf, "float32", -0.5),
        (Op.FLOORDIV, -7, 2, "int32", -4),
        (Op.REM, -7, 2, "int32", 1),
    ],
)  # fmt: skip
def test_constants_fold_as_the_machine_computes(op: Op, x: float, y: float, dtype: str, want: float) -> None:
    builder = Builder(())
    value = builder.value_of(builder.emit(op, (builder.const(x, dtype), builder.const(y, dtype)), dtype))
    assert value == want or (math.isnan(value) and math.isnan(want))


def test_a_select_by_a_constant_is_the_branch() -> None:
    builder = Builder((F32, F32))
    assert builder.emit(Op.SELECT, (builder.const(True, "bool"), 0, 1), "float32") == 0
    assert builder.emit(Op.SELECT, (builder.const(False, "bool"), 0, 1), "float32") == 1


def test_a_cast_to_its_own_dtype_is_nothing() -> None:
    assert Builder((F32,)).emit(Op.CAST, (0,), "float32") == 0
