"""A plan for programs to read."""

from __future__ import annotations

from typing import Any

from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.plan.plan import Plan


def of(plan: Plan) -> dict[str, Any]:
    """What a plan says, as numbers, strings, lists and dicts of them."""
    problem = plan.problem
    layout, options = problem.layout, problem.options
    return {
        "call": options.call,
        "operator": plan.operator,
        "leaves": [
            {"dtype": name, "shape": list(layout.with_length(batch, layout.length) + event)}
            for name, batch, event in zip(problem.stored, layout.batch, layout.event, strict=True)
        ],
        "axis": layout.axis,
        "reverse": options.reverse,
        "inclusive": options.inclusive,
        "device": plan.device,
        "strategy": plan.strategy,
        "row": plan.row,
        "combine": plan.combine,
        "work": plan.work,
        "depth": plan.depth,
        "bytes": plan.bytes,
        "kernels": [_kernel(kernel) for kernel in plan.kernels if isinstance(kernel, Fused)],
        "reasons": [{"row": each.row, "title": each.title, "text": each.text} for each in plan.reasons],
        "parts": [of(part) for part in plan.parts],
    }


def _kernel(kernel: Fused) -> dict[str, Any]:
    return {
        "leaves": list(kernel.emit),
        "loop": kernel.spec.loop.value,
        "width": kernel.spec.width,
        "tile": kernel.cut.tile,
        "parts": kernel.cut.parts,
        "tasks": kernel.cut.tasks,
        "bytes": kernel.bytes,
        "estimates": {loop.value: taken for loop, taken in kernel.compared},
    }
