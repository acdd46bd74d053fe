"""Values: bits where the order is that of the fold, a running error bound elsewhere, and special values."""

from __future__ import annotations

from itertools import product
from typing import Any

import mlx.core as mx
import numpy as np
import operators
import pytest
from ir_oracle import fold_in_order
from loop_driver import Call, store_dtype
from selection import thinned

import monoscan as ms
from monoscan.lowering.program.ir import Program
from monoscan.lowering.render import KernelSpec, Loop, render, unsupported

SHAPES = {
    Loop.ROWS: [(2, 1, 1), (2, 77, 1), (1, 900, 1)], Loop.SEQUENTIAL: [(2, 77, 1), (2, 40, 5)],
    Loop.SWEEP: [(2, 40, 19), (1, 33, 64)], Loop.NARROW: [(2, 77, 3), (1, 130, 2)],
    Loop.PANELS: [(2, 70, 19), (1, 33, 64)], Loop.SHORT: [(5, 1, 1), (37, 21, 1)],
}  # fmt: skip
IN_ORDER = [Loop.SEQUENTIAL, Loop.SWEEP, Loop.PANELS, Loop.SHORT]
CASES = [(loop, shape) for loop, shapes in SHAPES.items() for shape in shapes]
EACH_LOOP = [(loop, shapes[-1]) for loop, shapes in SHAPES.items()]


def spec_of(program: Program, loop: Loop, **options: Any) -> KernelSpec:
    dtypes = tuple(leaf.dtype for leaf in program.inputs[: program.arity])
    emit = options.pop("emit", tuple(range(program.arity)))
    options = {"elements": dtypes, "results": tuple(dtypes[leaf] for leaf in emit), **options}
    kernel = KernelSpec(combine=program, emit=emit, loop=loop, **options)
    assert unsupported(kernel) is None
    return kernel


def draw(program: Program, shape: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    arrays = []
    for leaf in program.inputs[: program.arity]:
        size = (*shape, *leaf.shape)
        if leaf.dtype == "bool":
            arrays.append((rng.random(size) < 0.1).astype(np.uint8))
        elif leaf.dtype.startswith("f"):
            arrays.append(rng.uniform(-1.1, 1.1, size).astype(leaf.dtype))
        else:
            arrays.append(rng.integers(0, 4, size).astype(leaf.dtype))
    return arrays


PLAIN = {
    "affine": operators.affine(), "affine64": operators.affine("float64"), "matmul2": operators.matmul(2),
    "matmul3": operators.matmul(3), "matmul4": operators.matmul(4), "matmul2-64": operators.matmul(2, "float64"),
    "max-subarray": operators.max_subarray(), "moments": operators.moments(),
}  # fmt: skip
EXACT = {
    "arg-max": operators.arg_max(), "map4": operators.finite_map(4), "segmented": operators.segmented_sum("int32"),
    "segmented64": operators.segmented_sum("int64"), "int8": operators.affine("int8"),
    "uint16": operators.affine("uint16"), "pair": operators.addition(2, "uint32"),
    "int64": operators.affine("int64"), "five64": operators.addition(5, "int64"),
    "pair8": operators.addition(2, "int8"), "three": operators.addition(3, "int32"),
}  # fmt: skip


@pytest.mark.sampled(16)
@pytest.mark.long
@pytest.mark.parametrize("name", thinned(PLAIN, ("matmul3",)))
@pytest.mark.parametrize("loop", IN_ORDER)
@pytest.mark.parametrize("reverse", thinned([False, True], [True]), ids=["forward", "reverse"])
def test_order_of_the_fold_gives_its_bits(name: str, loop: Loop, reverse: bool) -> None:
    program = PLAIN[name]
    for shape in SHAPES[loop]:
        elements = draw(program, shape)
        after, _ = fold_in_order(program, elements, [], None, reverse)
        answer = Call(spec_of(program, loop, reverse=reverse), elements).run()
        for got, want in zip(answer.results, after, strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.sampled(16)
@pytest.mark.parametrize("name", thinned(EXACT, ("segmented",)))
@pytest.mark.parametrize(("loop", "shape"), thinned(CASES, EACH_LOOP[:1]), ids=str)
def test_exact_operators_in_every_loop(name: str, loop: Loop, shape: tuple[int, ...]) -> None:
    program = EXACT[name]
    kernel = spec_of(program, loop)
    if loop is Loop.NARROW and shape[2] >= kernel.width:
        pytest.skip("not narrow at this width")
    elements = draw(program, shape)
    typed = [e.astype(leaf.dtype) for e, leaf in zip(elements, program.inputs, strict=False)]
    after, _ = fold_in_order(program, typed, [], None, False)
    for got, want in zip(Call(kernel, elements).run().results, after, strict=True):
        np.testing.assert_array_equal(got, want.astype(got.dtype))


@pytest.mark.sampled(2)
@pytest.mark.long
@pytest.mark.parametrize("name", thinned(["affine", "matmul2", "matmul3", "matmul4"], ["matmul3"]))
@pytest.mark.parametrize(("loop", "shape"), thinned(CASES, EACH_LOOP[::2]), ids=str)
def test_running_error(name: str, loop: Loop, shape: tuple[int, ...]) -> None:
    program = PLAIN[name]
    elements = [0.9 * e for e in draw(program, shape)]
    exact, _ = fold_in_order(program, [e.astype(np.float64) for e in elements], [], None, False)
    size, _ = fold_in_order(program, [np.abs(e).astype(np.float64) for e in elements], [], None, False)
    roundings = 8 * (np.arange(shape[1]) + 1)  # additions and multiplications on any path of a combine tree
    for got, want, most in zip(Call(spec_of(program, loop), elements).run().results, exact, size, strict=True):
        bound = roundings.reshape(1, -1, *[1] * (got.ndim - 2)) * 2.0**-24 * most + 1e-37
        assert (np.abs(got - want) <= bound).all()


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("loop", "shape"), thinned(CASES, EACH_LOOP[1:2]), ids=str)
@pytest.mark.parametrize("stored", thinned(["float16", "bfloat16"], ["float16"]))
def test_halves_are_rounded_once(stored: str, loop: Loop, shape: tuple[int, ...]) -> None:
    program = operators.affine()
    floats = draw(program, shape)
    halves = [to_half(e, stored) for e in floats]
    kernel = spec_of(program, loop, elements=(stored,) * 2, results=(stored,) * 2)
    answer = Call(kernel, halves, carry=True).run()
    plain = Call(spec_of(program, loop), [from_half(h, stored) for h in halves], carry=True).run()
    for got, want in zip(answer.results, plain.results, strict=True):
        np.testing.assert_array_equal(got, to_half(want, stored))
    for got, want in zip(answer.carries, plain.carries, strict=True):
        np.testing.assert_array_equal(got, want)


def to_half(x: np.ndarray, stored: str) -> np.ndarray:
    if stored == "float16":
        return x.astype(np.float16)
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_half(h: np.ndarray, stored: str) -> np.ndarray:
    return h.astype(np.float32) if stored == "float16" else (h.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.sampled(3)
@pytest.mark.long
@pytest.mark.parametrize("vector_bytes", thinned([16, 32, 64], [32]))
@pytest.mark.parametrize("loop", [Loop.SEQUENTIAL, Loop.SWEEP])
def test_every_half(loop: Loop, vector_bytes: int) -> None:
    """The identity through memory: each float16 comes back, and float32 rounds to it as NumPy rounds."""
    program = operators.addition(1, "float32")
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    numbers = every[~np.isnan(every)]
    finite = numbers[np.isfinite(numbers)]
    with np.errstate(over="ignore", invalid="ignore"):
        ties = finite.astype(np.float32) + np.spacing(finite).astype(np.float32) / 2
    ties = ties[np.isfinite(ties)]
    for stored, values in (("float16", numbers), ("float32", ties)):
        elements = [values.reshape(1, 1, -1, 1)]
        kernel = spec_of(program, loop, elements=(stored,), results=("float16",), vector_bytes=vector_bytes)
        with np.errstate(over="ignore"):
            want = elements[0].astype(np.float16)
        np.testing.assert_array_equal(Call(kernel, elements).run().results[0].view(np.uint16), want.view(np.uint16))


@pytest.mark.sampled(5)
@pytest.mark.long
@pytest.mark.parametrize(
    ("dtype", "vector_bytes"),
    thinned(list(product(("int8", "uint8", "int16", "uint16"), (16, 32, 64))), [("int8", 32), ("int8", 64)]),
)
def test_every_narrow_integer(dtype: str, vector_bytes: int) -> None:
    """Each comes through memory, and their sums wrap."""
    every = np.arange(1 << 16).astype(dtype)[: 1 << 8 * np.dtype(dtype).itemsize]
    elements = [np.stack([every, every]).reshape(1, 2, -1, 1)]
    kernel = spec_of(operators.addition(1, dtype), Loop.SWEEP, vector_bytes=vector_bytes)
    with np.errstate(over="ignore"):
        want = np.stack([every, every + every])
    np.testing.assert_array_equal(Call(kernel, elements).run().results[0].reshape(2, -1), want)


@pytest.mark.sampled(2)
@pytest.mark.long
@pytest.mark.parametrize("loop", list(SHAPES))
def test_linear_recurrence_drops_the_gates_product(loop: Loop) -> None:
    program = operators.affine()
    kernel = spec_of(program, loop, emit=(1,))
    assert kernel.carried == (1,)
    assert kernel.read == (0, 1)
    shape = SHAPES[loop][-1]
    elements = draw(program, shape)
    init = [np.full((shape[0], shape[2]), np.nan, np.float32), draw(program, (shape[0], shape[2]), 1)[1]]
    answer = Call(kernel, elements, init=init, carry=True).run()
    full = [np.ones_like(init[1]), init[1]]
    after, _ = fold_in_order(program, elements, [], full, False)
    np.testing.assert_allclose(answer.results[0], after[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(answer.carries[1], answer.results[0][:, -1])
    assert not answer.carries[0].any()
    if loop is Loop.SEQUENTIAL:
        assert len(program.code) - len(kernel.program(kernel.carried).code) == 1


@pytest.mark.sampled(2)
@pytest.mark.long
@pytest.mark.parametrize(("loop", "shape"), thinned(CASES, EACH_LOOP[::2]), ids=str)
def test_captured_arrays(loop: Loop, shape: tuple[int, ...]) -> None:
    program = operators.scaled_affine()
    elements = draw(program, shape)
    captured = np.random.default_rng(1).uniform(0.5, 1, (shape[0], shape[2], 2)).astype(np.float32)
    after, _ = fold_in_order(program, elements, [captured], None, False)
    answer = Call(spec_of(program, Loop(loop)), elements, [captured]).run()
    if loop in IN_ORDER:
        np.testing.assert_array_equal(answer.results[1], after[1])
    first = answer.results[1][:, 0]
    np.testing.assert_array_equal(first, elements[1][:, 0])


@pytest.mark.sampled(2)
@pytest.mark.long
@pytest.mark.parametrize(("loop", "shape"), thinned(CASES, EACH_LOOP), ids=str)
def test_what_follows_from_captured_arrays_alone_is_found_once(loop: Loop, shape: tuple[int, ...]) -> None:
    program = operators.steady_affine()
    elements, kernel = draw(program, shape), spec_of(program, loop)
    captured = np.random.default_rng(1).uniform(0.5, 1, (shape[0], shape[2], 2)).astype(np.float32)
    text = render(kernel)
    once, step = (text[text.index(name) :].split("return" if name != "void once" else "k.nh")[0] for name in ("void once", "state combine"))  # fmt: skip
    assert "exp(" in once
    assert "exp(" not in step
    after, _ = fold_in_order(program, elements, [captured], None, False)
    answer = Call(kernel, elements, [captured]).run()
    np.testing.assert_allclose(answer.results[1], after[1], rtol=1e-4, atol=1e-5)
    if loop in (Loop.SWEEP, Loop.PANELS):
        alone = Call(spec_of(program, Loop.SEQUENTIAL), elements, [captured]).run()
        np.testing.assert_allclose(answer.results[1], alone.results[1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("loop", "shape"), thinned(CASES, EACH_LOOP[::2]), ids=str)
@pytest.mark.parametrize("value", thinned([np.nan, np.inf], [np.inf]))
@pytest.mark.parametrize("reverse", thinned([False, True], [True]), ids=["forward", "reverse"])
def test_what_comes_before_a_non_finite_element_keeps_its_bits(
    loop: Loop, shape: tuple[int, ...], value: float, reverse: bool
) -> None:
    program = operators.affine()
    elements = draw(program, shape)
    kernel = spec_of(program, loop, reverse=reverse)
    clean = Call(kernel, elements).run()
    for at in {0, shape[1] // 2, shape[1] - 1}:
        spoilt = [e.copy() for e in elements]
        spoilt[1][:, at] = value
        answer = Call(kernel, spoilt).run()
        before = slice(at + 1, None) if reverse else slice(None, at)
        for got, want in zip(answer.results, clean.results, strict=True):
            np.testing.assert_array_equal(got[:, before], want[:, before])


@pytest.mark.long
@pytest.mark.parametrize(("loop", "shape"), CASES, ids=str)
def test_a_reset_clears_what_came_before(loop: Loop, shape: tuple[int, ...]) -> None:
    program = operators.segmented_sum()
    flags, values = draw(program, shape)
    reset = shape[1] // 2
    flags[:, reset] = 1
    values[:, :reset] = np.nan
    answer = Call(spec_of(program, loop), [flags, values]).run()
    assert np.isfinite(answer.results[1][:, reset:]).all()


@pytest.mark.long
def test_scalars_and_vectors_share_their_functions() -> None:
    program = operators.online_softmax()
    shape = (1, 300, 24)
    elements = [10 * draw(program, shape)[0], np.abs(draw(program, shape)[1])]
    elements[0][:, ::7] = -np.inf
    sweep = Call(spec_of(program, Loop.SWEEP), elements).run()
    scalar = Call(spec_of(program, Loop.SEQUENTIAL), elements).run()
    for got, want in zip(sweep.results, scalar.results, strict=True):
        np.testing.assert_array_equal(got.view(np.uint32), want.view(np.uint32))


@pytest.mark.long
@pytest.mark.parametrize(("loop", "shape"), CASES, ids=str)
def test_online_softmax(loop: Loop, shape: tuple[int, ...]) -> None:
    program = operators.online_softmax()
    scores = 20 * draw(program, shape)[0]
    scores[:, 0] = -np.inf
    elements = [scores, np.where(np.isinf(scores), 0, 1).astype(np.float32)]
    answer = Call(spec_of(program, loop), elements).run()
    high = np.maximum.accumulate(scores.astype(np.float64), axis=1)
    base = np.where(np.isinf(high), 0, high)
    with np.errstate(over="ignore"):
        total = np.stack([
            (elements[1][:, : t + 1] * np.exp(scores[:, : t + 1] - base[:, t : t + 1])).sum(1) for t in range(shape[1])
        ], axis=1)  # fmt: skip
    np.testing.assert_array_equal(answer.results[0], high.astype(np.float32))
    np.testing.assert_allclose(answer.results[1], total, rtol=2e-5)


def test_storage_of_a_fold_needs_no_outputs() -> None:
    program = operators.affine()
    elements = draw(program, (1, 5000, 1))
    kernel = spec_of(program, Loop.ROWS, want_results=False, results=())
    answer = Call(kernel, elements, carry=True).run()
    scan = Call(spec_of(program, Loop.SEQUENTIAL), elements, carry=True).run()
    for got, want in zip(answer.carries, scan.carries, strict=True):
        assert got.dtype == np.dtype(store_dtype("float32"))
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-6)


def test_long_sums_in_rows_err_less_than_sums_in_order() -> None:
    """Blocks are added up: 2^24 + 1 is no float32, and in order ones add up to no more than 2^24."""
    x = np.random.default_rng(3).uniform(size=1 << 18).astype(np.float32)
    want = np.cumsum(x, dtype=np.float64)
    in_order = np.abs(np.cumsum(x) - want).max()
    assert np.abs(np.array(ms.scan(ms.Sum(), mx.array(x))) - want).max() < in_order / 2
    assert np.abs(np.array(ms.fold(ms.Sum(), mx.array(x))) - want[-1]) < in_order / 8
    large = np.ones(1 << 16, np.float32)
    large[0] = 1 << 24
    assert ms.fold(ms.Sum(), mx.array(large)).item() > (1 << 24) + len(large) - 200
