"""The forms in which a scan could be launched on an NVIDIA GPU: runs, steps, waves, parts of rows and anchors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import attrs
import mlx.core as mx

import monoscan as ms
from benchmarks.gpu.cases import Timed
from benchmarks.gpu.record import FOR_CUDA
from monoscan.lowering.plan.geometry import Geometry
from monoscan.lowering.plan.gpu import GpuKernel
from monoscan.lowering.plan.gpu_launches import FILLED, SHARED, GpuLaunch, in_one, in_three, registers
from monoscan.lowering.render.gpu_spec import WIDTH, Body, GpuSpec
from monoscan.lowering.render.spec import KernelSpec

MOST = 64
"""Registers of elements that a thread holds in any form; the planner's are 32 at most."""

RUNS, STEPS, WAVES = (1, 2, 4), (1, 2, 4, 8), (4, 8, 16)
DOWN = (2, 4, 8, 16, 32)
"""Runs of columns."""

ANCHORS, PARTS = (8, 16, 32), (256, 512, 1024)


@attrs.frozen
class Form:
    """One of them.

    Args:
        launches: The launches.
        numbers: What tells it from the others, by name.
    """

    launches: tuple[GpuLaunch, ...]
    numbers: dict[str, int] = attrs.field(eq=False)

    @property
    def body(self) -> str:
        """The body of its last launch, and in how many launches it comes."""
        body = self.launches[-1].spec.body.value.replace("_", " ")
        return body if len(self.launches) == 1 else f"{body} in three launches"


def swept(largest: int = 1 << 24) -> list[Timed]:
    """What is launched in all forms: each body, with states of 1, 2 and 4 registers."""
    found = []
    for formula, most in (("add", largest), ("affine", largest), ("matmul", largest >> 2)):
        shapes = [((1, most), 1), ((1024, most >> 10), 1), ((most >> 6, 64), 1), ((most >> 10, 1024), 0),
                  ((most >> 12, 4096), 0)]  # fmt: skip
        found += [Timed(formula, shape, axis) for shape, axis in shapes]
    return found


def forms(kernel: KernelSpec, shape: Geometry) -> list[Form]:
    """All forms of a scan, that of the planner first, each once."""
    own = tuple(FOR_CUDA(kernel, shape, initial=False, carry=False))
    others = [form for form in _forms(kernel, shape) if form.launches != own]
    last = own[-1].spec
    parts = {"parts": own[-1].groups} if len(own) > 1 else {}
    return [Form(own, _numbers(last) | parts), *dict.fromkeys(others)]


def kernel_of(case: Timed) -> GpuKernel:
    """The kernel of a case, as it is planned."""
    leaves = tuple(mx.zeros(shape) for shape in case.shapes())
    elems = leaves if len(leaves) > 1 else leaves[0]
    (kernel,) = ms.explain(case.operator, elems, case.axis, strategy="kernel", stream=mx.gpu).kernels
    assert isinstance(kernel, GpuKernel)
    return kernel


def _forms(kernel: KernelSpec, shape: Geometry) -> Iterator[Form]:
    for spec in _specs(kernel, shape):
        whole = in_one(spec, shape)
        if spec.body in (Body.SHORT, Body.LOOK_BACK) or whole.groups >= FILLED:
            yield Form((whole,), _numbers(spec))
            continue
        for parts in PARTS if _usual(spec) else (512,):
            chunks = min(whole.tiles, -(-parts // whole.groups))
            if chunks > 1:
                yield Form(in_three(spec, shape, -(-whole.tiles // chunks)), _numbers(spec) | {"parts": parts})


def _specs(kernel: KernelSpec, shape: Geometry) -> Iterator[GpuSpec]:
    size, axes = registers(kernel), len(shape.outer)
    if shape.inner > 1:
        for run, waves in product(DOWN, WAVES):
            spec = GpuSpec(kernel, Body.COLUMNS, run, 1, waves, axes=axes)
            if run * size <= MOST and spec.places * 4 * (size + 1) <= SHARED and spec.tile <= shape.length:
                yield spec
        return
    for run, steps, waves in product(RUNS, STEPS, WAVES):
        lanes = 1 << (-(-shape.length // run) - 1).bit_length()
        if lanes <= WIDTH:
            if steps == 1:
                yield GpuSpec(kernel, Body.SHORT, run, 1, waves, lanes, axes)
        elif run * steps * size <= MOST:
            spec = GpuSpec(kernel, Body.ROWS, run, steps, waves, axes=axes)
            if spec.tile <= shape.length:
                yield spec
                several = ANCHORS if _usual(spec) else (WIDTH,)
                looking = attrs.evolve(spec, body=Body.LOOK_BACK)
                yield from (attrs.evolve(looking, anchors=n) for n in several if shape.rows < FILLED)


def _usual(spec: GpuSpec) -> bool:
    """Whether it is of those that parts and anchors are tried with."""
    return spec.waves == 8 and (spec.run == 4 or spec.body is Body.COLUMNS)


def _numbers(spec: GpuSpec) -> dict[str, int]:
    found = {"run": spec.run, "steps": spec.steps, "waves": spec.waves}
    if spec.body is Body.LOOK_BACK:
        found["anchors"] = spec.anchors
    return found
