"""The final text for Metal, as MLX would compile it: recorded without a Mac, checked by Clang with its address spaces.

`test_metal_runs` runs it.

After a deliberate change run with MONOSCAN_UPDATE_GOLDENS=1 and read the difference.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
import pytest
from cases import CASES, DERIVED, adjoints, launches
from metal_driver import Recorded, check, needs_clang, recorded
from selection import thinned

import monoscan as ms
from monoscan import dtypes
from monoscan.lowering.plan.gpu_launches import launches as planned_launches
from monoscan.lowering.plan.plan import GpuKernels
from monoscan.lowering.targets.gpu import target
from monoscan.lowering.targets.gpu.launch import forward
from monoscan.lowering.targets.metal.run import start
from monoscan.lowering.trace.reads.captures import capture

HERE = Path(__file__).parent


def texts(name: str) -> list[Recorded]:
    """The launches of a case."""
    planned = CASES[name]
    layout, kernel = planned.problem.layout, planned.kernels[0]
    scan, spec = kernel.scan, kernel.spec
    lead = layout.with_length(layout.batch[0], layout.length)
    one = layout.with_length(layout.batch[0], 1)
    state = [mx.zeros((*lead, *leaf.shape), getattr(mx, {"bool": "bool_"}.get(dtype, dtype)))
             for dtype, leaf in zip(spec.elements, spec.element, strict=True)]  # fmt: skip
    given = [spec.state[leaf] for leaf in spec.given] if planned.problem.joint.init is not None else []
    inits = [mx.zeros((*one, *leaf.shape), dtypes.by_name(leaf.dtype)) for leaf in given]
    rank = layout.rank + 1
    return recorded(lambda *xs: forward(start, planned_launches, spec, scan, xs, layout.axis, rank), *state, *inits)


@needs_clang
@pytest.mark.parametrize("name", CASES)
def test_the_final_text_is_right_in_types_and_address_spaces(name: str) -> None:
    found = texts(name)
    assert len(found) == len(launches(CASES[name], "metal"))
    for kernel in found:
        assert kernel.text.isascii()
        assert kernel.grid[0] % kernel.threads == 0, "whole groups"
        assert not check(kernel.text)


@needs_clang
@pytest.mark.parametrize("name", thinned(DERIVED, ["affine rows"]))
def test_the_text_of_derivatives_is_right_likewise(name: str) -> None:
    for spec, arrays, outputs, groups in adjoints(CASES[name], "metal"):
        (kernel,) = recorded(partial(started, spec, outputs, groups), *arrays)
        assert kernel.text.isascii()
        assert not check(kernel.text)


def started(spec: Any, outputs: Any, groups: int, *arrays: mx.array) -> list[mx.array]:
    return start(spec, arrays, outputs, groups)


@needs_clang
def test_a_wrong_address_space_is_found() -> None:
    text = texts("affine rows")[0].text
    assert check(text.replace("SHARED_POINTER(T) threadgroup T*", "SHARED_POINTER(T) device T*"))


@pytest.mark.parametrize("name", ["affine rows", "affine short rows", "affine columns"])
def test_golden(name: str) -> None:
    path = HERE / "goldens" / f"{name.replace(' ', '_')}.metal"
    text = texts(name)[0].text
    generated = text[text.index("enum { run") : text.index("// The state of a scan")] + text[text.index("[[kernel]]") :]
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
    assert attrs.evolve(plain[0], name="") == attrs.evolve(compiled[0], name="")


def test_vmap_passes_kernels_of_mlx() -> None:
    shapes: list[Any] = []

    def run(a: mx.array, b: mx.array) -> mx.array:
        shapes.append(mx.vmap(in_graphs(), in_axes=(0, 1), out_axes=2)(a, b).shape)
        return a

    mx.export_function(lambda record: None, run, mx.ones((5, 3, 200)), mx.ones((3, 5, 200)))
    assert shapes == [(3, 200, 5)]
