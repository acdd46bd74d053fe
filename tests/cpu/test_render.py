"""Generated source: goldens, what is refused, and what a spec leaves out.

After a deliberate change run with MONOSCAN_UPDATE_GOLDENS=1 and read the difference.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs
import mlx.core as mx
import operators
import pytest
from loop_driver import compile_source
from selection import thinned

import monoscan as ms
from monoscan.lowering.program.ir import Instr, Leaf, Op, Program
from monoscan.lowering.program.nonfinite import HIGH, LOW
from monoscan.lowering.render import KernelSpec, Loop, render, unsupported

GOLDENS = Path(__file__).parent / "goldens"


def spec_of(program: Program, loop: Loop) -> KernelSpec:
    dtypes = tuple(leaf.dtype for leaf in program.inputs[: program.arity])
    return KernelSpec(combine=program, elements=dtypes, results=dtypes, emit=tuple(range(program.arity)), loop=loop)


CASES = {
    "affine_rows": spec_of(operators.affine(), Loop.ROWS),
    "affine_sweep": spec_of(operators.affine(), Loop.SWEEP),
    "affine_panels": spec_of(operators.affine(), Loop.PANELS),
    "affine_narrow": spec_of(operators.affine(), Loop.NARROW),
    "affine_short": spec_of(operators.affine(), Loop.SHORT),
    "affine_sequential": spec_of(operators.affine(), Loop.SEQUENTIAL),
    "matmul2_rows": spec_of(operators.matmul(2), Loop.ROWS),
    "softmax_rows": spec_of(operators.online_softmax(), Loop.ROWS),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    path = GOLDENS / f"{name}.cpp"
    text = render(CASES[name])
    if os.environ.get("MONOSCAN_UPDATE_GOLDENS"):
        path.write_text(text)
    assert text == path.read_text()


def test_source_depends_on_nothing_but_the_spec() -> None:
    """In a process of another hash seed sets are walked in another order."""
    code = "import test_render; print(test_render.render(test_render.CASES['matmul2_rows']), end='')"
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert found.stdout == render(CASES["matmul2_rows"])


@pytest.mark.long
@pytest.mark.parametrize("vector_bytes", [16, 32, 64])
def test_widths_compile_without_warnings(vector_bytes: int) -> None:
    for name in ("affine_rows", "affine_sweep", "affine_narrow"):
        compile_source(render(attrs.evolve(CASES[name], vector_bytes=vector_bytes)))


MAX_PLUS, MIN_PLUS = ms.SemiringMatMul(ms.MaxPlus()), ms.SemiringMatMul(ms.MinPlus())
KINDS = [
    (ms.MatMul(), (), "WATCHED | HIGH | LOW"),
    (MAX_PLUS, (LOW,), "WATCHED | HIGH"),
    (MIN_PLUS, (HIGH,), "WATCHED | LOW"),
]


@pytest.mark.long
@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", thinned(["float32", "float64"], ["float32"]))
@pytest.mark.parametrize(
    ("operator", "ordinary", "watched"),
    thinned(KINDS, KINDS[1:2]),
    ids=["sums", "largest", "least"],
)
def test_every_kind_of_guard_compiles_without_warnings(
    operator: ms.Semigroup, ordinary: tuple[str, ...], watched: str, dtype: str
) -> None:
    program = operators.traced(operator, Leaf(dtype, (2, 2)))
    for loop in (Loop.ROWS, Loop.NARROW, Loop.PANELS):
        source = render(attrs.evolve(spec_of(program, loop), ordinary=(frozenset(ordinary),)))
        assert watched in source
        compile_source(source)


@pytest.mark.parametrize(("dtype", "width"), [("float32", 8), ("float64", 4), ("int8", 8), ("bool", 8)])
def test_a_vector_is_one_register_of_the_widest_value(dtype: str, width: int) -> None:
    assert spec_of(operators.addition(1, dtype), Loop.ROWS).width == width


FLOAT_OPS = [
    Op.POW, Op.LOG2, Op.LOG10, Op.ERF, Op.SIN, Op.COS, Op.TAN, Op.ARCSIN, Op.ARCCOS, Op.ARCTAN, Op.ARCTAN2, Op.SINH,
    Op.COSH, Op.RSQRT, Op.REM, Op.FLOORDIV, Op.EXP, Op.EXPM1, Op.LOG, Op.LOG1P, Op.TANH, Op.SIGMOID, Op.LOGADDEXP,
]  # fmt: skip
BINARY = {Op.POW, Op.ARCTAN2, Op.REM, Op.FLOORDIV, Op.LOGADDEXP}


@pytest.mark.long
@pytest.mark.parametrize("loop", [Loop.SWEEP, Loop.SEQUENTIAL])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_function_compiles(dtype: str, loop: Loop) -> None:
    leaf = Leaf(dtype, (len(FLOAT_OPS),))
    count = len(FLOAT_OPS)
    code = tuple(Instr(op, (i, count + i) if op in BINARY else (count + i,), dtype) for i, op in enumerate(FLOAT_OPS))
    program = Program((leaf, leaf), (leaf,), code, tuple(range(2 * count, 3 * count)), 1)
    spec = spec_of(program, loop)
    assert unsupported(spec) is None
    compile_source(render(spec))


def test_refusals_name_the_operation() -> None:
    leaf = Leaf("float32")
    program = Program((leaf, leaf), (leaf,), (Instr(Op.ERFINV, (1,), "float32"),), (2,), 1)
    assert unsupported(spec_of(program, Loop.ROWS)) == "no CPU code for erfinv of float32 giving float32"


def test_refusal_of_storage() -> None:
    spec = attrs.evolve(spec_of(operators.affine(), Loop.ROWS), elements=("int32", "float32"))
    assert unsupported(spec) == "no CPU code for int32 stored of float32 computed"


def test_dropped_leaves_are_nowhere_in_the_source() -> None:
    spec = attrs.evolve(spec_of(operators.affine(), Loop.SEQUENTIAL), emit=(1,), results=("float32",))
    assert spec.carried == (1,)
    source = render(spec)
    assert "carry_facts carried[] = {{1, " in source  # leaf 1 alone
    assert " s0;" not in source


def test_many_large_functions_are_called() -> None:
    def text(k: int) -> str:
        matrix = mx.zeros((4, k, k))
        written_out = {"act": True, "state": mx.zeros((k,)), "strategy": "sequential"}
        return ms.explain(ms.SemiringMatMul(ms.Log()), matrix, **written_out).source

    assert text(2).count(" logaddexp(") == 2
    assert "called_logaddexp" not in text(2)
    assert text(4).count("called_logaddexp(") == 12
    assert " logaddexp(" not in text(4)
