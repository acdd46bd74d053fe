"""The text of any kernel of a scan, by the kind of its program."""

from __future__ import annotations

from monoscan.lowering.render import kernel, rolled, window, window_back
from monoscan.lowering.render.rolled_spec import RolledSpec
from monoscan.lowering.render.spec import KernelSpec
from monoscan.lowering.render.window_back_spec import WindowBackSpec
from monoscan.lowering.render.window_spec import WindowSpec

Spec = KernelSpec | RolledSpec

Windows = WindowSpec | WindowBackSpec


def render(spec: Spec | Windows) -> str:
    """What of a kernel depends on its operator; `headers.expand` puts the headers in place that it includes."""
    if isinstance(spec, WindowSpec):
        return window.render_window(spec)
    if isinstance(spec, WindowBackSpec):
        return window_back.render_back(spec)
    return rolled.render_rolled(spec) if isinstance(spec, RolledSpec) else kernel.render(spec)


def unsupported(spec: Spec) -> str | None:
    """Why a kernel cannot be rendered, in words for the user; None if it can."""
    return rolled.unsupported_rolled(spec) if isinstance(spec, RolledSpec) else kernel.unsupported(spec)
