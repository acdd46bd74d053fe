"""Programs of the IR rendered to source text."""

from monoscan.lowering.render.kernel import render, unsupported
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.render.spec import KernelSpec

__all__ = ["KernelSpec", "Loop", "render", "unsupported"]
