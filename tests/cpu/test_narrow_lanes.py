"""Columns of items of one and two bytes, held as narrow as they are stored: bit for bit what a fold in order gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from loop_driver import Call
from operators import traced
from selection import thinned

import monoscan as ms
from monoscan.lowering.plan.loops import candidates
from monoscan.lowering.plan.options import Options
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.render.spec import KernelSpec

Elements = tuple[np.ndarray, ...]


def affine(l: Any, r: Any) -> Any:
    return r[0] * l[0], r[0] * l[1] + r[1]


def extremes(l: Any, r: Any) -> Any:
    return mx.minimum(l[0], r[0]), mx.maximum(l[1], r[1])


def latest(l: Any, r: Any) -> Any:
    """The second leaf where the first one last told to take it."""
    return mx.logical_or(l[0], r[0]), mx.where(r[0], r[1], l[1])


def ordered(step: Callable[[Any, Any], Any], elements: Elements, reverse: bool, inclusive: bool, identity: int) -> Any:
    """The fold in order by NumPy, in the dtypes of the elements."""
    state = tuple(np.full_like(x[:, 0], identity) for x in elements)
    results = tuple(np.empty_like(x) for x in elements)
    steps = range(elements[0].shape[1])
    for number, t in enumerate(reversed(steps) if reverse else steps):
        after = tuple(x[:, t] for x in elements)
        after = step(state, after) if number else after
        for result, before, now in zip(results, state, after, strict=True):
            result[:, t] = now if inclusive else before
        state = after
    return results, state


def by_numpy(step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The same step on NumPy's arrays."""
    return {
        affine: affine,
        extremes: lambda l, r: (np.minimum(l[0], r[0]), np.maximum(l[1], r[1])),
        latest: lambda l, r: (l[0] | r[0], np.where(r[0] != 0, r[1], l[1])),
    }[step]


CASES = [
    (step, dtypes)
    for step, all_dtypes in (
        (affine, [("int8",) * 2, ("uint8",) * 2, ("int16",) * 2, ("uint16",) * 2]),
        (extremes, [("int8",) * 2, ("uint8",) * 2, ("int16",) * 2, ("uint16",) * 2, ("bool",) * 2]),
        (latest, [("bool", "int8"), ("bool", "bool"), ("bool", "uint8")]),
    )
    for dtypes in all_dtypes
]


@pytest.mark.sampled(32)
@pytest.mark.parametrize("vector_bytes", thinned([16, 32, 64], [64]))
@pytest.mark.parametrize(("reverse", "inclusive"), thinned([(False, True), (True, False)], [(True, False)]))
@pytest.mark.parametrize(
    ("step", "dtypes"),
    thinned(CASES, [(affine, ("uint16",) * 2), (latest, ("bool", "int8"))]),
    ids=lambda case: case if isinstance(case, str) else None,
)
@pytest.mark.parametrize("loop", thinned([Loop.PANELS, Loop.SWEEP], [Loop.SWEEP]))
def test_bits_of_a_fold_in_order(
    loop: Loop, step: Any, dtypes: tuple[str, str], reverse: bool, inclusive: bool, vector_bytes: int
) -> None:
    kernel = KernelSpec(
        combine=traced(ms.monoid(step), tuple(map(Leaf, dtypes))), elements=dtypes, results=dtypes, emit=(0, 1),
        loop=loop, reverse=reverse, inclusive=inclusive, identity=(0, 0), vector_bytes=vector_bytes, narrow=True,
    )  # fmt: skip
    lanes = vector_bytes // np.dtype(dtypes[1]).itemsize
    assert kernel.width == lanes
    rng = np.random.default_rng(lanes)
    for inner in (lanes - 1, lanes, 2 * lanes + 3, 5 * lanes - 1):
        for n in (1, 2, 70):
            elements = [rng.integers(0, 2 if name == "bool" else 256, (2, n, inner)) for name in dtypes]
            stored = [x.astype("uint8" if name == "bool" else name) for x, name in zip(elements, dtypes, strict=True)]
            answer = Call(kernel, stored, carry=True).run()
            results, last = ordered(by_numpy(step), tuple(stored), reverse, inclusive, 0)
            for got, want in zip([*answer.results, *answer.carries], [*results, *last], strict=True):
                np.testing.assert_array_equal(got, want)


def transposed(x: np.ndarray) -> mx.array:
    return mx.swapaxes(mx.array(np.swapaxes(x, -1, -2).copy()), -1, -2)


def every_second(x: np.ndarray) -> mx.array:
    return mx.array(np.repeat(x, 2, -1))[..., ::2]


def from_the_end(x: np.ndarray) -> mx.array:
    return mx.array(x[..., ::-1, ::-1].copy())[..., ::-1, ::-1]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", thinned(["int8", "uint16", "bool"], ["int8"]))
def test_columns_that_stand_apart(dtype: str) -> None:
    operator, accumulate = (ms.Any(), np.logical_or.accumulate) if dtype == "bool" else (ms.Sum(), np.add.accumulate)
    rng = np.random.default_rng(3)
    for rows, steps, columns in ((2, 81, 1030), (3, 15, 70), (1, 16, 65)):
        x = rng.integers(0, 2 if dtype == "bool" else 256, (rows, steps, columns)).astype(dtype)
        right = accumulate(x, axis=1, dtype=x.dtype)
        for lay in (transposed, every_second, from_the_end):
            assert ms.explain(operator, lay(x), axis=1).strategy == "kernel"
            np.testing.assert_array_equal(np.array(ms.scan(operator, lay(x), axis=1)), right, err_msg=lay.__name__)


def wide(combine: Any, dtypes: tuple[str, ...], inner: int, **options: Any) -> KernelSpec:
    program = traced(ms.monoid(combine), tuple(map(Leaf, dtypes)))
    spec = KernelSpec(program, dtypes, dtypes, tuple(range(len(dtypes))), vector_bytes=64)
    return candidates(Options(call="scan", **options), True, spec, spec, inner)[0]


def test_where_lanes_are_narrow() -> None:
    assert wide(affine, ("int8",) * 2, 64).width == 64
    assert wide(affine, ("int8",) * 2, 63).width == 16, "columns fill no vector of bytes"
    assert wide(affine, ("int16",) * 2, 32).width == 32
    assert wide(latest, ("bool", "int16"), 64).width == 16, "bools of one byte and integers of two"
    assert wide(affine, ("int8",) * 2, 64, shapeless=True).width == 16
    assert wide(lambda l, r: (l[0] // mx.abs(r[0]), l[1] + r[1]), ("int8",) * 2, 64).width == 16, "more bits needed"


def test_bits_above_a_small_integer_are_cut_by_stores_where_nothing_else_reads_them() -> None:
    def largest(l: Any, r: Any) -> Any:
        total = l[0] + r[0]
        return total, mx.maximum(l[1], total)

    x = np.random.default_rng(0).integers(-100, 100, (300, 3)).astype(np.int8)
    elems, operator = (mx.array(x), mx.array(x)), ms.monoid(largest)
    assert "as_i8(add" in str(ms.explain(operator, elems, strategy="sequential").source)
    for source in (ms.explain(ms.Affine(), elems).source, ms.explain(ms.Sum(), elems[0], strategy="kernel").source):
        assert "as_i8" not in str(source)
    totals = np.cumsum(x, axis=0, dtype=np.int8)
    got = ms.scan(operator, elems, strategy="sequential", return_carry=True)
    for found, want in zip(got[0], (totals, np.maximum.accumulate(totals, axis=0)), strict=True):
        np.testing.assert_array_equal(np.array(found), want)
    sums, carry = ms.scan(ms.Sum(), elems[0], strategy="kernel", return_carry=True)
    np.testing.assert_array_equal(np.array(sums), totals)
    np.testing.assert_array_equal(np.array(carry), totals[-1])
    np.testing.assert_array_equal(np.array(ms.fold(ms.Sum(), elems[0], strategy="kernel")), totals[-1])
