"""Array programs: unrolled they are the scalar programs that tracing gives where an element has few lanes."""

from __future__ import annotations

import attrs
import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import tree
from monoscan.lowering.program.arrays import ArrayProgram, Form
from monoscan.lowering.program.ir import Leaf, Op, Program
from monoscan.lowering.program.unroll import unroll
from monoscan.lowering.trace.combine import Traced, trace_combine
from monoscan.lowering.trace.reads.captures import capture
from monoscan.monoids.base import Semigroup


def traced(operator: Semigroup, *leaves: Leaf) -> Traced:
    structure = tree.flatten(leaves if len(leaves) > 1 else leaves[0])[1]
    return trace_combine(operator, structure, leaves, capture(operator))


def arrays_of(operator: Semigroup, *leaves: Leaf) -> ArrayProgram:
    found = traced(operator, *leaves)
    assert found.arrays is not None, found.reason
    return found.arrays


def expressions(program: Program) -> list[int]:
    """The output lanes, equal numbers for equal expressions whatever the order of the code."""
    numbers: dict[object, int] = {}
    values = [numbers.setdefault(("input", i), len(numbers)) for i in range(program.num_lanes)]
    for instr in program.code:
        key = (instr.op, tuple(values[a] for a in instr.args), instr.dtype, repr(instr.param))
        values.append(numbers.setdefault(key, len(numbers)))
    return [values[i] for i in program.results]


def same(one: Program, other: Program) -> bool:
    """Whether two programs compute the same, operation by operation."""
    first, shift = one.num_lanes, len(one.code)

    def moved(value: int) -> int:
        return value if value < first else value + shift

    code = [attrs.evolve(instr, args=tuple(map(moved, instr.args))) for instr in other.code]
    results = one.results + tuple(map(moved, other.results))
    found = expressions(Program(one.inputs, one.outputs * 2, (*one.code, *code), results, one.arity))
    return one.outputs == other.outputs and found[: len(one.results)] == found[len(one.results) :]


def square(n: int, dtype: str = "float32") -> Leaf:
    return Leaf(dtype, (n, n))


def kalman(n: int) -> tuple[Leaf, ...]:
    return (square(n), Leaf("float32", (n,)), square(n), Leaf("float32", (n,)), square(n))


def mine(combine: object, event: int, name: str) -> Semigroup:
    return ms.monoid(combine, event=event, name=name)  # type: ignore[arg-type]


def softmax_rows(x: mx.array, y: mx.array) -> mx.array:
    return mx.softmax(x + y.T, axis=-1)


def moved(x: mx.array, y: mx.array) -> mx.array:
    joined = mx.concatenate([x[::-1, 1:], y[:, :1] * 2.0], axis=1)
    return mx.where(mx.eye(5) > 0, joined, mx.pad(x[1:, :], [(0, 1), (0, 0)]))


def reductions(x: mx.array, y: mx.array) -> mx.array:
    return x.sum(axis=0) + y.max(axis=1, keepdims=True) - mx.cumsum(x * y, axis=1) / x.min()


CASES = [
    (ms.MatMul(), (square(5),)),
    (ms.MatMul(), (square(6, "int32"),)),
    (ms.SemiringMatMul(ms.Log()), (square(5),)),
    (ms.SemiringMatMul(ms.MaxPlus()), (square(5),)),
    (ms.SemiringMatMul(ms.MinPlus()), (square(5),)),
    (ms.SemiringMatMul(ms.Boolean()), (square(5, "bool"),)),
    (ms.MatrixAffine(), (square(5), Leaf("float32", (5,)))),
    (ms.KalmanFilter(), kalman(3)),
    (ms.KalmanFilter(), kalman(4)),
    (ms.KalmanSmoother(), (square(4), Leaf("float32", (4,)), square(4))),
    (ms.FiniteMap(20), (Leaf("int32", (20,)),)),
    (mine(softmax_rows, 2, "softmax"), (square(5),)),
    (mine(moved, 2, "moved"), (square(5),)),
    (mine(reductions, 2, "reductions"), (square(5),)),
    (ms.Segmented(ms.MatMul()), (Leaf("bool"), square(5))),
    (ms.Tuple(ms.MatMul(), ms.MatrixAffine()), (square(5), square(3), Leaf("float32", (3,)))),
]


@pytest.mark.parametrize(("operator", "leaves"), CASES, ids=[f"{op.name}-{leaves[0].lanes}" for op, leaves in CASES])
def test_an_array_program_unrolls_to_the_scalar_trace(operator: Semigroup, leaves: tuple[Leaf, ...]) -> None:
    if operator.parts:  # the leaves of a product stand in a tree of trees
        structure = tree.flatten((leaves[0], leaves[1:]))[1]
        found = trace_combine(operator, structure, leaves, capture(operator))
    else:
        found = traced(operator, *leaves)
    assert found.arrays is not None
    assert found.program is not None
    assert same(unroll(found.arrays), found.program)
    assert found.arrays.reads == found.program.reads


@pytest.mark.parametrize(
    ("semiring", "dtype", "pair"),
    [
        (ms.Log(), "float32", (Op.LOGADDEXP, Op.ADD)),
        (ms.MaxPlus(), "float32", (Op.MAX, Op.ADD)),
        (ms.MinPlus(), "float32", (Op.MIN, Op.ADD)),
        (ms.Boolean(), "bool", (Op.OR, Op.AND)),
    ],
    ids=["log", "max.plus", "min.plus", "or.and"],
)
def test_a_product_over_a_semiring_is_one_contraction(semiring: ms.Semiring, dtype: str, pair: tuple[Op, Op]) -> None:
    program = arrays_of(ms.SemiringMatMul(semiring), square(9, dtype))
    (instr,) = program.code
    assert (instr.form, instr.op, instr.multiply, instr.count) == (Form.CONTRACT, *pair, 9)


def test_a_matrix_product_is_one_contraction() -> None:
    (instr,) = arrays_of(ms.MatMul(), square(16)).code
    assert (instr.form, instr.op, instr.multiply, instr.shape, instr.count) == (
        Form.CONTRACT, Op.ADD, Op.MUL, (16, 16), 16,
    )  # fmt: skip


def test_wide_elements_have_an_array_program_alone() -> None:
    found = traced(ms.MatMul(), square(64))
    assert found.program is None
    assert found.arrays is not None
    assert "4096 lanes, more than 64" in found.reason


def test_elements_beyond_what_caches_hold_have_none() -> None:
    assert traced(ms.MatMul(), square(65)).arrays is None


def test_few_lanes_have_no_array_program() -> None:
    assert traced(ms.MatMul(), square(2)).arrays is None


def test_an_operation_that_the_ir_lacks_is_named() -> None:
    found = traced(mine(lambda x, y: mx.sort(x + y), 2, "sorted"), square(9))
    assert found.arrays is None
    assert found.program is None


def test_programs_print_their_instructions_and_views() -> None:
    text = str(arrays_of(ms.MatMul(), square(5)))
    assert "%2 = contract add.mul %0[5,0,1] %1[0,1,5] : float32[5, 5]" in text


def test_unselected_outputs_take_their_code_along() -> None:
    program = arrays_of(ms.MatrixAffine(), square(9), Leaf("float32", (9,)))
    assert len(program.select((0,)).code) == 1
    assert program.select((1,)).reads == ((frozenset({1}), frozenset({0, 1})),)


def test_views_read_the_lanes_that_numpy_would() -> None:
    def combine(a: mx.array, b: mx.array) -> mx.array:
        return mx.exp(a[::-1, ::2]).sum() * mx.exp(b[:, 3:]).sum() * a

    (leaf, x) = (Leaf("float32", (4, 6)), np.arange(24).reshape(4, 6))
    program = arrays_of(mine(combine, 2, "views"), leaf)
    lanes = [view.lanes(instr.operand_shape(i)) for instr in program.code for i, view in enumerate(instr.args)]
    assert any(np.array_equal(each, x[::-1, ::2]) for each in lanes)
    assert any(np.array_equal(each, x[:, 3:]) for each in lanes)
