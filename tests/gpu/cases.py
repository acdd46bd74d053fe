"""Kernels that texts are looked at of: each body, each part, leaves of every kind."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx

import monoscan as ms
from monoscan import dtypes
from monoscan.lowering.plan.gpu import GpuKernel
from monoscan.lowering.plan.gpu_launches import launches as planned_launches
from monoscan.lowering.plan.plan import GpuKernels, Plan
from monoscan.lowering.targets.gpu.derivatives import Derivatives


def plan(operator: Any, elems: Any, axis: int = 0, **options: Any) -> Plan:
    """The plan on a GPU, by a kernel."""
    return ms.explain(operator, elems, axis, stream=mx.gpu, strategy="kernel", **options)


def launches(planned: Plan, target: str) -> list[Any]:
    """All launches of a plan."""
    kernels = [k for part in planned.parts or (planned,) if isinstance(part.way, GpuKernels) for k in part.way.fused]
    return [launch for kernel in kernels for launch in kernel.launches_for(target)]


def adjoints(planned: Plan, target: str) -> list[Any]:
    """What is started for a plan's gradient and for its tangent: kernels, arrays, outputs and numbers of groups."""
    started: list[Any] = []

    def start(spec: Any, arrays: Any, outputs: Any, groups: int) -> list[mx.array]:
        started.append((spec, arrays, outputs, groups))
        return [mx.zeros(y.shape, dtypes.by_name(y.dtype)) for y in outputs]

    ways = Derivatives(start, partial(planned_launches, target=target), target)
    (kernel,), layout = planned.kernels, planned.problem.layout
    assert isinstance(kernel, GpuKernel)
    lead = layout.with_length(layout.batch[0], layout.length)
    leaves = zip(kernel.spec.elements, kernel.spec.state, strict=True)
    arrays = [mx.zeros((*lead, *leaf.shape), dtypes.by_name(name)) for name, leaf in leaves]
    floats = [i for i, x in enumerate(arrays) if mx.issubdtype(x.dtype, mx.floating)]

    def run(*chosen: mx.array) -> list[mx.array]:
        given = [chosen[floats.index(i)] if i in floats else x for i, x in enumerate(arrays)]
        found = ways.run(kernel.scan, kernel.spec, given, layout.axis, layout.rank + 1)
        return [y for y in found if mx.issubdtype(y.dtype, mx.floating)]

    chosen = [arrays[i] for i in floats]
    outputs = run(*chosen)
    forward = {spec for spec, *_ in started}
    mx.vjp(run, chosen, outputs)
    mx.jvp(run, chosen, chosen)
    return [*{call[0]: call for call in started if call[0] not in forward}.values()]


def _pair(*shape: int, dtype: Any = mx.float32) -> tuple[mx.array, mx.array]:
    return mx.ones(shape, dtype), mx.ones(shape, dtype)


def fire(state: Any, x: Any) -> tuple[Any, Any]:
    """Leaky integrate and fire."""
    voltage = 0.9 * state + x
    return mx.where(voltage > 1, 0.0, voltage), voltage > 1


def plans() -> dict[str, Plan]:
    """By name."""
    flags = mx.zeros((64, 5000), mx.bool_)
    return {
        "affine rows": plan(ms.Affine(), _pair(64, 5000), 1, return_carry=True),
        "affine short rows": plan(ms.Affine(), _pair(64, 50), 1),
        "affine columns": plan(ms.Affine(), _pair(4096, 2048)),
        "affine of a long row": plan(ms.Affine(), _pair(1, 1 << 20), 1, init=(mx.ones((1,)), mx.ones((1,)))),
        "affine of long columns": plan(ms.Affine(), _pair(1 << 18, 40)),
        "sum of halves of a long row": plan(
            ms.Sum(), mx.ones((2, 1 << 20), mx.float16), 1, reverse=True, return_carry=True
        ),
        "affine of halves, reversed": plan(ms.Affine(), _pair(64, 5000, dtype=mx.float16), 1, reverse=True),
        "affine of bfloat16, exclusive": plan(ms.Affine(), _pair(64, 5000, dtype=mx.bfloat16), 1, inclusive=False),
        "matrices of 2 rows": plan(ms.MatMul(), mx.ones((64, 5000, 2, 2)), 1),
        "matrices of 3 columns": plan(ms.MatMul(), mx.ones((500, 4096, 3, 3))),
        "softmax": plan(ms.OnlineSoftmax(), _pair(64, 5000), 1),
        "sum of int64": plan(ms.Sum(), mx.ones((64, 5000), mx.int64), 1),
        "segments": plan(ms.Segmented(ms.Sum()), (flags, mx.ones((64, 5000))), 1),
        "complex affine": plan(ms.Affine(), _pair(64, 5000, dtype=mx.complex64), 1),
        "finite maps in order": plan(
            ms.FiniteMap(4), mx.zeros((4096, 500, 4), mx.int32), 1, act=True, state=mx.zeros((4096,), mx.int32)
        ),
        "neurons in order": ms.explain(fire, mx.ones((500, 4096)), 0, loop=True, state=mx.ones((4096,)), stream=mx.gpu),
        "finite maps": plan(ms.FiniteMap(4), mx.zeros((64, 5000, 4), mx.int32), 1),
    }


CASES = plans()
DERIVED = [
    "affine rows", "affine short rows", "affine columns", "affine of a long row", "affine of long columns",
    "affine of halves, reversed", "matrices of 2 rows", "segments", "softmax",
]  # fmt: skip
"""Those of which gradients and tangents are looked at."""
