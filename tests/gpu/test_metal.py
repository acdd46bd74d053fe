"""The final text for Metal, as MLX would compile it: recorded without a Mac, checked by Clang with its address spaces.

After a deliberate change run with MONOSCAN_UPDATE_GOLDENS=1 and read the difference.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from cases import CASES, launches

import monoscan as ms
from monoscan.lowering.plan.gpu import launches as planned_launches
from monoscan.lowering.plan.plan import GpuKernels
from monoscan.lowering.render import metal
from monoscan.lowering.targets.gpu import target
from monoscan.lowering.targets.gpu.launch import forward
from monoscan.lowering.targets.metal.run import start
from monoscan.lowering.trace.reads.captures import capture

HERE = Path(__file__).parent
CLANG = next(filter(None, map(shutil.which, ("clang", "clang-19", "clang-18", "clang-17", "clang-16"))), None)
FLAGS = [
    "-x", "cl", "-cl-std=clc++2021", "--target=spir64", "-fsyntax-only", "-Werror", "-Wno-unknown-pragmas",
    "-Wno-unknown-attributes", "-Wno-unused", "-include", str(HERE / "metal_prelude.h"), "-",
]  # fmt: skip


def recorded(function: Any, *arrays: mx.array) -> list[Any]:
    """What MLX would launch: the arguments of each custom kernel in a trace."""
    found: list[Any] = []
    mx.export_function(found.append, function, *arrays)
    return [each["arguments"] for each in found if each["type"] == "primitive" and each["name"] == "CustomKernel"]


def texts(name: str) -> list[Any]:
    """The launches of a case."""
    planned = CASES[name]
    layout, kernel = planned.problem.layout, planned.kernels[0]
    scan, spec = kernel.scan, kernel.spec
    lead = layout.with_length(layout.batch[0], layout.length)
    one = layout.with_length(layout.batch[0], 1)
    state = [mx.zeros((*lead, *leaf.shape), getattr(mx, {"bool": "bool_"}.get(dtype, dtype)))
             for dtype, leaf in zip(spec.elements, spec.state, strict=True)]  # fmt: skip
    inits = [mx.zeros((*one, *leaf.shape), mx.float32) for leaf in spec.state] if layout.init is not None else []
    rank = layout.rank + 1
    return recorded(lambda *xs: forward(start, planned_launches, spec, scan, xs, layout.axis, rank), *state, *inits)


def check(text: str) -> str:
    """What Clang has against a text."""
    assert CLANG is not None
    source = text.replace("[[kernel]]", "__kernel")
    done = subprocess.run([CLANG, *FLAGS], input=source, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("name", CASES)
def test_the_final_text_is_right_in_types_and_address_spaces(name: str) -> None:
    found = texts(name)
    assert len(found) == len(launches(CASES[name], "metal"))
    for _, text, *numbers in found:
        assert text.isascii()
        assert numbers[0] % numbers[3] == 0, "whole groups"
        if CLANG is not None:
            assert not check(text)


@pytest.mark.skipif(CLANG is None, reason="no clang")
def test_a_wrong_address_space_is_found() -> None:
    text = texts("affine rows")[0][1]
    assert check(text.replace("SHARED_POINTER(T) threadgroup T*", "SHARED_POINTER(T) device T*"))


@pytest.mark.parametrize("name", ["affine rows", "affine short rows", "affine columns"])
def test_golden(name: str) -> None:
    path = HERE / "goldens" / f"{name.replace(' ', '_')}.metal"
    spec = launches(CASES[name], "metal")[0].spec
    header = metal.header(spec)
    generated = header[header.index("enum { run") : header.index("// The state of a scan")] + metal.body(spec)
    if os.environ.get("MONOSCAN_UPDATE_GOLDENS"):
        path.write_text(generated)
    assert generated == path.read_text()


def in_graphs() -> Any:
    """Affine over rows, launched by MLX."""
    planned = ms.explain(ms.Affine(), (mx.ones((3, 200)),) * 2, 1, stream=mx.gpu)
    assert isinstance(planned.way, GpuKernels)
    run = target.executable(planned.problem, planned.way.fused, start).run
    return lambda a, b: run([a, b], capture(ms.Affine()), None)[0][1]


def test_a_compiled_function_launches_the_same() -> None:
    x, kernel = mx.ones((3, 200)), CASES["affine rows"].kernels[0]

    def run(*arrays: mx.array) -> list[mx.array]:
        return forward(start, planned_launches, kernel.spec, kernel.scan, arrays, 1, 2)

    plain, compiled = (recorded(each, x, x) for each in (run, mx.compile(run)))
    assert plain[0][1:] == compiled[0][1:]


def test_vmap_is_refused_by_mlx() -> None:
    """It maps what a custom function holds, too, whose own rule would do without; once it does not, say so in the docs."""
    with pytest.raises(ValueError, match="vmap"):
        recorded(mx.vmap(in_graphs()), mx.ones((5, 3, 200)), mx.ones((5, 3, 200)))
