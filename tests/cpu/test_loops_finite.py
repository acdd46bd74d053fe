"""Where the fold in order is finite a kernel is too, however it cuts time: oracles are folds in order in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import operators
import pytest
from broken_headers import break_header
from ir_oracle import fold_in_order
from loop_driver import Call
from selection import thinned

import monoscan as ms
from monoscan.lowering.program.ir import Leaf, Program
from monoscan.lowering.program.nonfinite import Kinds, infinities
from monoscan.lowering.render import KernelSpec, Loop, unsupported

Arrays = list[np.ndarray]

LENGTHS = [1, 2, 7, 8, 9, 31, 33, 63, 64, 65, 127, 128, 129, 257, 600]
INNER = {Loop.ROWS: 1, Loop.NARROW: 3, Loop.PANELS: 9, Loop.SWEEP: 33}
LONG = {Loop.ROWS: 400_001, Loop.NARROW: 150_003, Loop.PANELS: 80_011}
LOW, NONE = infinities([-np.inf]), infinities([])


def ratio() -> Program:
    """(n, s): sums of both, and the second divided by the first: infinity there is 0, seen in the first alone."""

    def combine(l: Any, r: Any) -> Any:
        n = l[0] + r[0]
        return n, (l[1] * l[0] + r[1] * r[0]) / n

    return operators.traced(ms.monoid(combine), (Leaf("float32"), Leaf("float32")))


PROGRAMS: dict[str, tuple[Program, tuple[Kinds, ...]]] = {
    "affine": (operators.affine(), ()),
    "affine64": (operators.affine("float64"), ()),
    "product": (operators.traced(ms.Product(), Leaf("float32")), ()),
    "sum": (operators.traced(ms.Sum(), Leaf("float32")), ()),
    "matmul2": (operators.matmul(2), ()),
    "softmax": (operators.online_softmax(), (LOW, NONE)),
    "max-subarray": (operators.max_subarray(), (NONE, LOW, LOW, LOW)),
    "segmented": (operators.segmented_sum(), ()),
    "moments": (operators.moments(), ()),
    "ratio": (ratio(), ()),
}


def spec_of(name: str, loop: Loop, **options: Any) -> KernelSpec:
    program, ordinary = PROGRAMS[name]
    emit = options.pop("emit", tuple(range(program.arity)))
    dtypes = tuple(leaf.dtype for leaf in program.inputs[: program.arity])
    results = () if options.get("want_results") is False else tuple(dtypes[leaf] for leaf in emit)
    spec = KernelSpec(
        combine=program, elements=dtypes, results=results, emit=emit, loop=loop, ordinary=ordinary, **options
    )
    assert unsupported(spec) is None
    assert spec.watch is not None
    return spec


def pieces(name: str, n: int, rng: np.random.Generator) -> Arrays:
    """One row of elements whose partial products or sums overflow where the fold in order does not."""
    big = 1e300 if name == "affine64" else 1e30
    if name in ("affine", "affine64"):
        return [np.full(n, big), np.zeros(n)]
    if name == "product":
        return [np.r_[0.0, np.full(n - 1, 1e30)]]
    if name == "matmul2":
        return [np.r_[np.zeros((1, 2, 2)), np.full((n - 1, 2, 2), 1e30)]]
    up_and_down = 3e38 * np.resize([-1.0, 1, 1, -1], n)
    if name == "softmax":
        return [np.r_[80.0, np.zeros(n - 1)], np.r_[1.0, np.full(n - 1, 3e38)]]
    if name == "max-subarray":
        return [up_and_down, *[np.minimum(up_and_down, -1)] * 3]
    if name == "segmented":
        return [(rng.random(n) < 0.02).astype(np.uint8), up_and_down]
    if name == "moments":
        return [np.ones(n), rng.normal(size=n), np.zeros(n)]
    return [up_and_down] if name == "sum" else [np.ones(n), rng.normal(size=n)]


def row(name: str, n: int, seed: int = 0) -> Arrays:
    leaves = PROGRAMS[name][0].inputs
    given = pieces(name, n, np.random.default_rng(seed))
    return [x.astype("uint8" if leaf.dtype == "bool" else leaf.dtype) for x, leaf in zip(given, leaves, strict=False)]


def shaped(name: str, n: int, inner: int, reverse: bool, outer: int = 1) -> Arrays:
    """Rows of shape (outer, n, inner): every other column ordinary, so that columns differ."""
    made = []
    for bad, leaf in zip(row(name, n), PROGRAMS[name][0].inputs, strict=False):
        x = bad[::-1] if reverse else bad
        x = np.repeat(np.repeat(x[None, :, None], inner, 2), outer, 0)
        if leaf.dtype != "bool":
            x[:, :, 1::2] = np.sign(x[:, :, 1::2]) / 2
        made.append(np.ascontiguousarray(x))
    return made


def typed(name: str, elements: Arrays) -> Arrays:
    return [e.astype(leaf.dtype) for e, leaf in zip(elements, PROGRAMS[name][0].inputs, strict=False)]


def in_order(name: str, elements: Arrays, init: Arrays | None, reverse: bool) -> tuple[Arrays, Arrays]:
    with np.errstate(all="ignore"):
        return fold_in_order(PROGRAMS[name][0], typed(name, elements), [], init, reverse)


def check_values(got: np.ndarray, want: np.ndarray) -> None:
    """Finite where the fold in order is, and of the same value as far as its largest value so far allows."""
    finite = np.isfinite(want)
    assert np.isfinite(got[finite]).all(), f"first at {np.argwhere(finite & ~np.isfinite(got))[:3].tolist()}"
    largest = np.max(np.abs(want), where=finite, initial=0)
    np.testing.assert_allclose(got[finite], want[finite], rtol=1e-4, atol=1e-5 * largest + 2.0**-126)


PLAIN, REVERSE, EXCLUSIVE, BOTH = (False, True, False), (True, True, True), (False, False, True), (True, False, False)
CASES = [(name, *PLAIN) for name in PROGRAMS]  # each other case is a compilation, so few have them
CASES += [(name, *options) for name in ("affine", "segmented", "softmax") for options in (REVERSE, EXCLUSIVE, BOTH)]
SOME_CASES = [(name, *PLAIN) for name in ("segmented",)] + [("softmax", *BOTH)]


@pytest.mark.sampled(12)
@pytest.mark.parametrize(("name", "reverse", "inclusive", "with_init"), thinned(CASES, SOME_CASES), ids=str)
@pytest.mark.parametrize("loop", thinned([Loop.ROWS, Loop.NARROW], [Loop.ROWS]))
def test_blocks_are_finite_where_the_fold_in_order_is(
    name: str, loop: Loop, reverse: bool, inclusive: bool, with_init: bool
) -> None:
    lanes = sum(leaf.lanes for leaf in PROGRAMS[name][0].outputs)
    kernel = spec_of(name, loop, reverse=reverse, inclusive=inclusive, identity=(0,) * lanes)
    for n in LENGTHS:
        elements = shaped(name, n, INNER[loop], reverse)
        init = [x[:, -1 if reverse else 0].copy() for x in elements] if with_init else None
        after, before = in_order(name, elements, None if init is None else typed(name, init), reverse)
        answer = Call(kernel, elements, init=init, carry=True).run()
        wanted = after if inclusive else before
        skipped = slice(None) if inclusive or with_init else slice(None, -1) if reverse else slice(1, None)
        for got, want in zip(answer.results, wanted, strict=True):
            check_values(got[:, skipped], want[:, skipped])
        for got, want in zip(answer.carries, after, strict=True):
            check_values(got, want[:, 0 if reverse else -1])


@pytest.mark.long
@pytest.mark.parametrize("loop", LONG)
@pytest.mark.parametrize("name", thinned(["affine", "product", "sum", "segmented"], ["affine"]))
def test_parts_are_finite_where_the_fold_in_order_is(name: str, loop: Loop) -> None:
    elements = shaped(name, LONG[loop], INNER[loop], False)
    if name == "affine":  # no block overflows, only parts do
        elements[0][:] = np.where(elements[0] > 1, 1.01, 0.5)
    call = Call(spec_of(name, loop), elements, carry=True)
    assert call.schedule.phases == 3
    answer = call.run()
    if name in ("affine", "product"):
        assert not answer.results[-1][:, :, ::2].any()
        assert np.isfinite(answer.results[-1]).all()
    if name == "sum":
        check_values(answer.results[0], np.add.accumulate(elements[0], axis=1))
    if name == "segmented":
        heads = np.flatnonzero(elements[0][0, :, 0])
        segments = np.split(elements[1], heads, axis=1)
        with np.errstate(all="ignore"):
            want = np.concatenate([np.add.accumulate(each, axis=1) for each in segments], axis=1)
        check_values(answer.results[1], want)
    np.testing.assert_array_equal(answer.carries[-1], answer.results[-1][:, -1])


@pytest.mark.long
@pytest.mark.parametrize("loop", LONG)
def test_folds_in_parts(loop: Loop) -> None:
    elements = shaped("affine", LONG[loop], INNER[loop], False)
    elements[0][:] = np.where(elements[0] > 1, 1.01, 0.5)
    call = Call(spec_of("affine", loop, want_results=False), elements, carry=True)
    assert call.schedule.phases == 2
    assert np.isfinite(call.run().carries[1]).all()
    elements[0][:, ::2], elements[0][:, 1::2] = 1e30, 1e-30  # blocks overflow too
    assert not call.run().carries[1][:, ::2].any()


@pytest.mark.long
@pytest.mark.parametrize("loop", [Loop.ROWS, Loop.NARROW, Loop.PANELS])
def test_parts_in_place(loop: Loop) -> None:
    n = LONG[loop]
    elements = shaped("product", n, INNER[loop], False)
    kernel = spec_of("product", loop)
    fresh = Call(kernel, [elements[0].copy()]).run()
    there = Call(kernel, elements, results=elements).run()
    np.testing.assert_array_equal(there.results[0], fresh.results[0])
    assert not there.results[0][:, :, ::2].any()


@pytest.mark.long
@pytest.mark.parametrize("loop", [Loop.ROWS, Loop.NARROW])
@pytest.mark.parametrize("name", thinned(PROGRAMS, ["matmul2"]))
def test_random_magnitudes(name: str, loop: Loop) -> None:
    """Finiteness alone. Products have one sign: what is left of a cancellation may overflow in one order only."""
    rng = np.random.default_rng(7)
    size = 1e154 if name == "affine64" else 1e19
    kernel = spec_of(name, loop)
    for n in (40, 70, 200):
        for _ in range(6):
            elements = []
            for leaf in PROGRAMS[name][0].inputs[: PROGRAMS[name][0].arity]:
                shape = (2, n, INNER[loop], *leaf.shape)
                if leaf.dtype == "bool":
                    elements.append((rng.random(shape) < 0.1).astype(np.uint8))
                    continue
                values = rng.choice([0, 1, 0.5, size, 1 / size, size * size], shape)
                signs = rng.choice([-1, 1], shape) if name in ("sum", "segmented", "max-subarray") else 1
                elements.append((signs * values).astype(leaf.dtype))
            after, _ = in_order(name, elements, None, False)
            alive = np.full(after[0].shape[:3], True)
            if kernel.watch is not None and kernel.watch.whole:  # an infinity of the fold in order decides the rest
                alive = np.logical_and.accumulate(np.all([np.isfinite(x) for x in after], axis=0), axis=1)
            for got, want in zip(Call(kernel, elements).run().results, after, strict=True):
                lost = np.isfinite(want) & ~np.isfinite(got)
                assert not lost[alive].any(), np.argwhere(lost)[:3].tolist()


@pytest.mark.long
@pytest.mark.parametrize("loop", [Loop.ROWS, Loop.NARROW])
@pytest.mark.parametrize("name", thinned(["affine", "segmented", "moments"], ["affine", "moments"]))
@pytest.mark.parametrize("reverse", thinned([False, True], [True]), ids=["forward", "reverse"])
def test_what_comes_before_a_non_finite_element_keeps_its_bits(name: str, loop: Loop, reverse: bool) -> None:
    n, kernel = 200, spec_of(name, loop, reverse=reverse)
    elements = shaped(name, n, INNER[loop], reverse)
    rng = np.random.default_rng(1)
    mild = [e if e.dtype == np.uint8 else rng.uniform(0.5, 1.5, e.shape).astype(e.dtype) for e in elements]
    for given in (elements, mild):
        clean = Call(kernel, given).run()
        for at in (0, 5, 33, 70, 199):
            spoilt = [e.copy() for e in given]
            spoilt[-1][:, at] = np.nan
            before = slice(at + 1, None) if reverse else slice(None, at)
            for got, want in zip(Call(kernel, spoilt).run().results, clean.results, strict=True):
                np.testing.assert_array_equal(got[:, before], want[:, before])


@pytest.mark.parametrize("loop", [Loop.NARROW, Loop.PANELS])
def test_a_column_does_not_depend_on_its_neighbours(loop: Loop) -> None:
    kernel = spec_of("affine", loop)
    for n in (50, LONG[loop]):
        rng = np.random.default_rng(0)
        elements = [rng.uniform(0.2, 1, (1, n, INNER[loop])).astype(np.float32) for _ in range(2)]
        clean = Call(kernel, elements).run()
        elements[0][:, :, 1], elements[1][:, :, 1] = 1e30, 0
        spoilt = Call(kernel, elements).run()
        for got, want in zip(spoilt.results, clean.results, strict=True):
            np.testing.assert_array_equal(got[:, :, ::2], want[:, :, ::2])
        assert not spoilt.results[1][:, :, 1].any()


@pytest.mark.parametrize("loop", [Loop.ROWS, Loop.NARROW])
def test_the_state_alone_is_finite_whatever_the_gates_multiply_to(loop: Loop) -> None:
    kernel = spec_of("affine", loop, emit=(1,))
    for n in LENGTHS:
        elements = shaped("affine", n, INNER[loop], False)
        assert not Call(kernel, elements).run().results[0].any()


@pytest.mark.long
@pytest.mark.parametrize("stored", ["float16", "bfloat16"])
def test_halves(stored: str) -> None:
    program = operators.affine()
    kernel = KernelSpec(combine=program, elements=(stored,) * 2, results=(stored,) * 2, emit=(0, 1), loop=Loop.ROWS)
    gate = 60000.0 if stored == "float16" else 1e30
    bits = np.float16(gate).view(np.uint16) if stored == "float16" else np.float32(gate).view(np.uint32) >> 16
    gates = np.full((1, 300, 1), bits, np.uint16)
    elements = [gates.view(np.float16) if stored == "float16" else gates, np.zeros_like(gates)]
    elements = [elements[0], elements[1].view(elements[0].dtype)]
    assert not Call(kernel, elements).run().results[1].any()


# ------------------------------------------------------------------------------- deliberately broken

BROKEN = [
    (Loop.ROWS, 200, "guard.h", "return __builtin_expect(found, 0);", "return false;"),
    (Loop.NARROW, 200, "guard.h", "return __builtin_expect(found, 0);", "return false;"),
    (Loop.ROWS, LONG[Loop.ROWS], "parts.h", "wrong |= any(", "any("),
    (Loop.NARROW, LONG[Loop.NARROW], "parts.h", "wrong |= any(", "any("),
    (Loop.PANELS, LONG[Loop.PANELS], "parts.h", "wrong |= any(", "any("),
    (Loop.PANELS, LONG[Loop.PANELS], "parts.h", "y = registers::choose(wrong, z, y);", "(void)z;"),
]


@pytest.mark.long
@pytest.mark.parametrize(("loop", "n", "header", "text", "instead"), BROKEN, ids=str)
def test_a_loop_that_does_not_look_is_caught(
    loop: Loop, n: int, header: str, text: str, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = spec_of("affine", loop)
    elements = shaped("affine", n, INNER[loop], False)
    assert not Call(kernel, elements).run().results[1].any()
    break_header(header, text, instead, monkeypatch)
    assert np.isnan(Call(kernel, elements).run().results[1]).any()
