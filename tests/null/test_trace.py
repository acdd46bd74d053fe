"""Tracing: the program of a combine is the combine, for every operator of the library and for one's own."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from support import numpy_of, random_array

import monoscan as ms
from monoscan import errors, tree
from monoscan.lowering.program.interpret import ARRAYS, evaluate
from monoscan.lowering.program.ir import MAX_LANES, Leaf, Op
from monoscan.lowering.trace.combine import Traced, trace_combine, trace_function
from monoscan.lowering.trace.reads.captures import capture

RNG = np.random.default_rng(7)


def traced(operator: ms.Semigroup, like: Any) -> Traced:
    leaves, structure = tree.flatten(like)
    return trace_combine(operator, structure, tuple(leaves), capture(operator))


def leaf(dtype: str = "float32", *shape: int) -> Leaf:
    return Leaf(dtype, shape)


B = leaf("bool")
OPERATORS: list[tuple[ms.Semigroup, Any]] = [
    (ms.Sum(), leaf()), (ms.Product(), leaf("int8")), (ms.Max(), leaf("uint64")), (ms.Min(), leaf("float64")), (ms.First(), leaf()),
    (ms.Last(), leaf("int16")), (ms.All(), B), (ms.Any(), B), (ms.LogSumExp(), leaf()), (ms.OnlineSoftmax(), (leaf(), leaf())),
    (ms.ArgMax(), (leaf(), leaf("int32"))), (ms.ArgMin(), (leaf(), leaf("int32"))), (ms.Affine(), (leaf(), leaf())),
    (ms.MatMul(), leaf("float32", 3, 3)), (ms.MatrixAffine(), (leaf("float64", 2, 2), leaf("float64", 2))),
    (ms.MatMul(), leaf("int32", 2, 2)), (ms.MaxSubarray(), (leaf(),) * 4), (ms.Mean(), (leaf("int32"), leaf())),
    (ms.Moments(2), (leaf("int32"), leaf(), leaf())), (ms.Maybe(ms.Last()), (B, leaf())), (ms.Segmented(ms.Affine()), (B, (leaf(), leaf()))),
    (ms.Tuple(ms.Sum(), ms.Affine()), (leaf(), (leaf(), leaf()))), (ms.Dual(ms.Affine()), (leaf(), leaf())),
    (ms.Struct(a=ms.Sum(), b=ms.Max()), {"a": leaf(), "b": leaf("int32")}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "like"), OPERATORS, ids=[f"{m.name} {tree.flatten(e)[0][-1].dtype}" for m, e in OPERATORS]
)
def test_the_program_of_an_operator_is_its_combine(operator: ms.Semigroup, like: Any) -> None:
    leaves, structure = tree.flatten(like)
    found = traced(operator, like)
    assert found.program is not None, found.reason
    assert found.program.arity == len(leaves)
    left, right = ([random_array(RNG, each.shape, each.dtype) for each in leaves] for _ in range(2))
    want = tree.flatten(operator.combine(tree.unflatten(structure, left), tree.unflatten(structure, right)))[0]
    lanes = [lane for x in left + right for lane in x.reshape(-1)]
    got = evaluate(found.program, lanes, ARRAYS)
    for lane, expected in zip(got, [lane for x in want for lane in x.reshape(-1)], strict=True):
        np.testing.assert_allclose(numpy_of(lane), numpy_of(expected), rtol=1e-6, atol=1e-6)


def test_matrices_unroll_into_lanes() -> None:
    program = traced(ms.MatMul(), leaf("float32", 2, 2)).program
    assert program is not None
    assert [i.op for i in program.code].count(Op.MUL) == 8
    assert [i.op for i in program.code].count(Op.ADD) == 4


def test_what_no_output_reads_is_not_in_the_program() -> None:
    program = traced(ms.monoid(lambda l, r: (l + r, mx.exp(l))[0]), leaf()).program
    assert program is not None
    assert [i.op for i in program.code] == [Op.ADD]


def test_captured_arrays_are_inputs() -> None:
    w = mx.array([2.0, 3.0], mx.float16)
    program = traced(ms.monoid(lambda l, r: l + r * w.sum()), leaf()).program
    assert program is not None
    assert program.captures == (Leaf("float32", (2,)),)


def test_scalars_are_constants() -> None:
    program = traced(ms.monoid(lambda l, r: l + r * 0.5), leaf()).program
    assert program is not None
    assert [i.param for i in program.code if i.op is Op.CONST] == [0.5]


def test_an_element_may_have_so_many_lanes_and_no_more() -> None:
    plus = ms.monoid(lambda l, r: l + r, event=1)
    assert traced(plus, leaf("float32", MAX_LANES)).program is not None
    found = traced(plus, leaf("float32", MAX_LANES + 1))
    assert found.program is None
    assert f"{MAX_LANES + 1} lanes, more than {MAX_LANES}" in found.reason


def test_a_large_captured_array_is_not_unrolled() -> None:
    table = mx.zeros((1000,))
    found = traced(ms.monoid(lambda l, r: l + r * table[0]), leaf())
    assert found.program is None
    assert "captures an array of 1,000 items" in found.reason


def test_a_leaf_without_items_is_not_traced() -> None:
    assert "empty" in traced(ms.monoid(lambda l, r: l + r, event=1), leaf("float32", 0)).reason


def test_combine_is_called_on_arrays_of_the_shape_of_one_element() -> None:
    seen = []

    def plus(left: mx.array, right: mx.array) -> mx.array:
        seen.append((left.shape, left.dtype))
        return left + right

    traced(ms.monoid(plus, event=1), leaf("int16", 3))
    assert set(seen) == {((3,), mx.int16)}


def test_random_numbers_within_combine_are_refused() -> None:
    """A combine must be a function of its arguments; the key of MLX's generator is not one of them."""
    with pytest.raises(ms.TraceError, match=r"combine draws random numbers.*pass them as a leaf of the elements"):
        traced(ms.monoid(lambda l, r: l + r + 0 * mx.random.uniform()), leaf())


def test_random_numbers_that_are_a_leaf_of_the_elements_do_what_the_message_says() -> None:
    gates = mx.random.uniform(shape=(4,))
    walk, _ = ms.scan(ms.monoid(lambda l, r: (l[0] * r[1] + r[0], l[1] * r[1])), (mx.ones((4,)), gates))
    want = [1.0]
    for gate in gates.tolist()[1:]:
        want.append(want[-1] * gate + 1)
    np.testing.assert_allclose(numpy_of(walk), want, rtol=1e-5)


def test_a_combine_that_stops_gradients_is_traced_and_keeps_them_stopped() -> None:
    """MLX leaves it out of what it records, and not out of the graph."""
    held = ms.monoid(lambda l, r: mx.stop_gradient(l) + r)
    assert traced_or_reason(held) == ""
    gradient = mx.grad(lambda x: ms.scan(held, x)[-1])(mx.ones((4,)))
    np.testing.assert_array_equal(numpy_of(gradient), [0, 0, 0, 1])


def traced_or_reason(operator: ms.Semigroup) -> str:
    found = trace_combine(operator, tree.LEAF, (Leaf("float32"),), capture(operator))
    return "" if found.program else found.reason


def operations_of(function: Any, *leaves: Leaf) -> list[Op]:
    program = trace_function("f", lambda *arrays: [function(*arrays)], leaves).program
    assert program is not None
    return [instr.op for instr in program.code]


def test_an_index_is_kept_inside_its_table() -> None:
    table, index = leaf("float32", 3), leaf("int32")
    wrapped = [Op.CONST, Op.LT, Op.CONST, Op.ADD, Op.SELECT]
    assert operations_of(mx.take, table, index) == [*wrapped, Op.MAX, Op.CONST, Op.MIN, Op.LOOKUP]
    assert operations_of(mx.take, table, leaf("uint8")) == [Op.CONST, Op.MIN, Op.LOOKUP]
    assert operations_of(mx.take, leaf("float32", 200), leaf("int8"))[0] is Op.CAST  # int8 cannot say 200


def test_an_index_that_is_clipped_costs_no_more() -> None:
    assert operations_of(lambda x, i: x[mx.clip(i, 0, 2)], leaf("float32", 3), leaf("int32")) == [
        Op.CONST, Op.CONST, Op.MAX, Op.MIN, Op.LOOKUP,
    ]  # fmt: skip


@pytest.mark.parametrize(("index", "place"), [(0, 0), (2, 2), (7, 2), (-1, 2), (-3, 0), (-9, 0)])
def test_a_constant_index_is_a_place(index: int, place: int) -> None:
    program = trace_function("f", lambda x: [mx.take(x, mx.array(index))], (leaf("float32", 3),)).program
    assert program is not None
    assert not program.code
    assert program.results == (place,)


def test_a_constant_of_any_layout_is_no_captured_array() -> None:
    every_other = np.arange(8, dtype=np.int32)[::2]  # MLX keeps its strides
    program = trace_function("f", lambda x: [x + mx.array(every_other)], (leaf("int32", 4),)).program
    assert program is not None
    assert [instr.param for instr in program.code if instr.op is Op.CONST] == [0, 2, 4, 6]


def test_a_captured_array_of_any_layout_is_found() -> None:
    held = mx.array(np.arange(20, dtype=np.int32).reshape(4, 5)).T
    mx.eval(held)
    with pytest.raises(errors.TraceError, match=r"reads an array of shape \(5, 4\)"):
        trace_function("f", lambda x: [x + held], (leaf("int32", 5, 4),))
