"""A `KernelSpec` rendered to C++."""

from __future__ import annotations

from monoscan.lowering.program.ir import MAX_LANES
from monoscan.lowering.render.base import CLike
from monoscan.lowering.render.c import CVector
from monoscan.lowering.render.functions import functions
from monoscan.lowering.render.guard import GuardText
from monoscan.lowering.render.loops import driver
from monoscan.lowering.render.loops.narrow import NarrowText
from monoscan.lowering.render.loops.panels import PanelsText
from monoscan.lowering.render.loops.rows import RowsText
from monoscan.lowering.render.loops.sequential import SequentialText
from monoscan.lowering.render.loops.sweep import SweepText
from monoscan.lowering.render.prelude import scalar_prelude, vector_prelude
from monoscan.lowering.render.spec import HALF, KernelSpec, Layout, mask_bytes
from monoscan.lowering.render.state import StateText

_BY_COLUMN: dict[Layout, type[PanelsText | SweepText | NarrowText]] = {
    Layout.PANELS: PanelsText, Layout.SWEEP: SweepText, Layout.NARROW: NarrowText,
}  # fmt: skip


def render(spec: KernelSpec) -> str:
    """The source text of a kernel; it is compiled with kernel.h included before it."""
    return _sequential(spec) if spec.layout is Layout.SEQUENTIAL else _vector(spec)


def _sequential(spec: KernelSpec) -> str:
    text = SequentialText(spec)
    parts = [
        scalar_prelude(),
        functions(spec.program(spec.carried), dict(text.dialect.types), None),
        text.text(),
        driver.walk(spec),
        text.loop(),
    ]
    return "\n".join([*parts, driver.tasks(spec)])


def _vector(spec: KernelSpec) -> str:
    mask = mask_bytes(spec.values)
    text = StateText(spec, CVector(mask == 4))
    called = functions(spec.program(spec.tree), dict(text.dialect.types), spec.width)
    guard = GuardText(spec, text.lanes)
    parts = [vector_prelude(spec.width, mask), called, text.text(), guard.text(), driver.walk(spec)]
    if spec.layout is Layout.ROWS:
        loop, captures, load = RowsText(spec, text).loop(), "row_captures(p, k); (void)e;", ""
    else:
        loop, captures = _BY_COLUMN[spec.layout](spec, text).loop(), "pack_captures(p, e);"
        load = "load_captures(e, j, padded(p.g->inner), k);"
    parts += [loop, driver.combine_carries(guard, captures, load)]
    return "\n".join([*parts, driver.tasks(spec, guard.needed)])


def unsupported(spec: KernelSpec) -> str | None:
    """Why a kernel cannot be rendered, in words for the user; None if it can."""
    leaves = spec.tree if spec.layout is not Layout.SEQUENTIAL else spec.carried
    missing = CLike().missing(spec.program(leaves))
    if missing:
        return f"no CPU code for {missing}"
    if not spec.dtypes:
        return "an element has no lanes"
    if len(spec.dtypes) > MAX_LANES:
        return f"an element has {len(spec.dtypes)} lanes; kernels hold {MAX_LANES}"
    return _unsupported_storage(spec)


def _unsupported_storage(spec: KernelSpec) -> str | None:
    pairs = [(stored, leaf.dtype) for stored, leaf in zip(spec.elements, spec.state, strict=True)]
    pairs += [(stored, spec.state[leaf].dtype) for leaf, stored in zip(spec.emit, spec.results, strict=False)]
    pairs += [(stored, leaf.dtype) for stored, leaf in zip(spec.capture_dtypes, spec.combine.captures, strict=True)]
    for stored, held in pairs:
        if held not in CLike.types or (stored != held and (stored not in HALF or held != "float32")):
            return f"no CPU code for {stored} stored of {held} computed"
    return None
