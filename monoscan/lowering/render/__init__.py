"""Programs of the IR rendered to source text."""

from monoscan.lowering.render.kernel import render, unsupported
from monoscan.lowering.render.spec import KernelSpec, Loop

__all__ = ["KernelSpec", "Loop", "render", "unsupported"]
