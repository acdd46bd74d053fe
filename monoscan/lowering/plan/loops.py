"""Which loop a kernel runs: the fastest by measured costs of those that can."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.plan.bounds import Bounds
from monoscan.lowering.plan.cut import Cut, cut
from monoscan.lowering.plan.options import Options
from monoscan.lowering.program.cost_table import instructions
from monoscan.lowering.program.ir import Op, Program, Shape
from monoscan.lowering.render.estimates import prefers_sequential, scan_nanoseconds
from monoscan.lowering.render.rolled import unsupported_rolled
from monoscan.lowering.render.rolled_estimates import nanoseconds_of_rows
from monoscan.lowering.render.rolled_spec import RolledSpec
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.render.source import Spec
from monoscan.lowering.render.spec import KernelSpec

ROWS_CODE = 80
"""The most operations of a loop that holds several steps in registers (measured)."""

RUNS_CODE = 300
"""The most operations of a step and a product of elements in a loop over runs, which writes them out a few times."""

NARROW_CODE = 300
"""The most operations of a loop that regroups rows of few columns (measured)."""

COLUMNS_CODE = 1500
"""The most operations of a loop over columns. Up to here vectors are 5 to 10 times as fast as scalar code, which
compiles little faster: a product of 8 by 8 matrices takes 3 ms against 18, and a Kalman filter of 4 states 3.5 ms against
24, both for about a second of the compiler (500 steps of 64 columns)."""

APART = 20
"""Nanoseconds for each leaf of an element that lies by itself in memory, where columns of elements are walked one by one
(measured: rows times matrices of 3 and 4, 9 and 20 columns)."""

SHORT_VECTORS = 600
"""The most instructions of vector code where loops over arrays can run instead: a second of the compiler (measured)."""

STEP_CODE = 150
"""The most instructions of an action that is written out wherever vectors hold columns: no loop over arrays is faster (a
row by 3 by 3 matrices)."""

PANEL_VECTORS = 4
"""The longest rows, in vectors, that panels of columns walk faster than sweeps (measured)."""

Estimates = tuple[tuple[Loop, float], ...]
"""Loops and the nanoseconds that they should take, the fastest first."""


def candidates(
    options: Options,
    behind: bool,
    ordered: KernelSpec,
    regrouped: KernelSpec | None,
    inner: int,
    runs: KernelSpec | None = None,
) -> list[KernelSpec]:
    """The kernels that can run what was asked, each with its loop.

    Args:
        options: What was asked.
        behind: There are batch axes behind that of the scan.
        ordered: The kernel that goes from state to state.
        regrouped: The one that combines parts of a row as well; ``None`` if the order must be kept.
        inner: How many columns lie side by side.
        runs: The one that acts runs of a row side by side, each from its true state, if there is one.
    """
    width = ordered.width
    in_order = attrs.evolve(ordered, loop=Loop.SEQUENTIAL)
    if options.strategy == "sequential":
        return [in_order]
    if options.shapeless and behind:
        inner = max(inner, width)  # the loops for narrow rows take no others
    if inner >= width:
        wide = _with_narrow_lanes(regrouped or ordered, inner, options)
        wide = attrs.evolve(wide, loop=Loop.SWEEP if ordered.alike else loop_of(inner, wide.width))
        return [in_order if too_large(wide) else wide]
    found = [] if regrouped is None else [attrs.evolve(regrouped, loop=loop_of(inner, width))]
    if not options.shapeless:
        found.append(attrs.evolve(ordered, loop=Loop.SHORT if inner == 1 else Loop.PANELS))
        found += [runs] if runs is not None and inner == 1 else []
    found = [each for each in found if not too_large(each) and regroups_safely(each)]
    return found[:1] or [in_order] if options.shapeless else [*found, in_order]


def _with_narrow_lanes(spec: KernelSpec, inner: int, options: Options) -> KernelSpec:
    """Lanes as narrow as items of one or two bytes, where columns fill a vector of them."""
    size = 0 if options.shapeless or spec.alike else spec.narrow_bytes
    return attrs.evolve(spec, narrow=size > 0 and inner * size >= spec.vector_bytes)


def rolled(options: Options, spec: RolledSpec, inner: int = 1, shared: tuple[int, ...] = ()) -> list[RolledSpec]:
    """The kernels that run an array program by loops.

    Args:
        options: What was asked.
        spec: The kernel of one row after the other.
        inner: How many columns lie side by side.
        shared: The inputs of an act that they share.
    """
    if options.shapeless:
        return [spec]
    batch = attrs.evolve(spec, loop=Loop.BATCH)
    if inner % batch.width == 0:
        batch = attrs.evolve(batch, shared=shared)
    return [spec] if unsupported_rolled(batch) else [spec, batch]


def quick_to_build(kernels: list[Spec]) -> list[Spec]:
    """Those that take the compiler no second; all where loops over arrays are none of them."""
    if not any(isinstance(each, RolledSpec) for each in kernels):
        return kernels
    short = any(isinstance(each, KernelSpec) and instructions(each.combine) <= STEP_CODE for each in kernels)
    return [each for each in kernels if (isinstance(each, RolledSpec) and not _loses(each, short)) or _is_short(each)]


def _loses(spec: RolledSpec, short: bool) -> bool:
    """Whether columns go down faster by straight-line code, which is as short as this."""
    return spec.action and spec.loop is Loop.BATCH and short


def _is_short(spec: Spec) -> bool:
    if isinstance(spec, RolledSpec):
        return False
    return spec.loop is Loop.SEQUENTIAL or instructions(spec.combine) <= SHORT_VECTORS


def serving(kernels: list[Spec], bounds: Bounds | None, lead: Shape) -> list[Spec]:
    """Those that can run what has bounds: not rows of wide elements side by side, nor rows of few columns that end apart."""
    if bounds is None:
        return kernels
    found = [each for each in kernels if each.loop is not Loop.BATCH]
    return [each for each in found if each.loop is not Loop.NARROW] if bounds.apart(lead) else found


def _alike(kernels: Sequence[Spec]) -> tuple[Spec, ...]:
    """One object for equal kernels: what is known of it is found without a look at its program."""
    return tuple([PROGRAMS.get(("kernel", each), lambda each=each: each) for each in kernels])  # type: ignore[misc]


@attrs.frozen(eq=False)
class Candidates:
    """The kernels that can run a scan, of any length.

    Args:
        kernels: The kernels.
        inner: How many columns lie side by side.
        rows: How many scans of such rows there are.
        bounds: Where sequences begin and end, if they are not whole rows.
    """

    kernels: Sequence[Spec] = attrs.field(converter=_alike)
    inner: int
    rows: int
    bounds: Bounds | None = None

    def fastest(self, steps: int) -> int:
        """The number of the one that should take the least time on so many steps."""
        taken = self._nanoseconds(steps)
        return min(range(len(taken)), key=taken.__getitem__) if taken else 0

    def compared(self, steps: int) -> Estimates:
        """What was compared, the least first."""
        pairs = [(kernel.loop, time) for kernel, time in zip(self.kernels, self._nanoseconds(steps), strict=False)]
        return tuple(sorted(pairs, key=lambda pair: pair[1]))

    def _nanoseconds(self, steps: int) -> list[float]:
        """What each takes; nothing where there is nothing to compare."""
        inner, rows = self.inner, self.rows
        if len(self.kernels) == 1 or steps * inner * rows == 0:
            return []
        cuts = [cut(k, steps, inner, rows, self.bounds) for k in self.kernels]
        return [_nanoseconds(k, steps, inner, rows) / _threads(c) for k, c in zip(self.kernels, cuts, strict=True)]


def _nanoseconds(spec: Spec, steps: int, inner: int, rows: int) -> float:
    """Nanoseconds of a scan in one thread."""
    if isinstance(spec, RolledSpec):
        each = APART * (len(spec.element) + len(spec.results)) if inner > 1 and spec.loop is Loop.EVENTS else 0
        return steps * (nanoseconds_of_rows(spec.program, spec.vectors, inner * rows) + each * inner * rows)
    return scan_nanoseconds(spec, steps, inner, rows)


def _threads(cut: Cut) -> float:
    """What two threads gain: of a row in parts some is done twice."""
    return 1.0 if cut.tasks == 1 else 2.0 if cut.parts == 1 else 1.5


def loop_of(inner: int, width: int) -> Loop:
    """The loop of an inner axis of this length."""
    if inner < width:
        return Loop.ROWS if inner == 1 else Loop.NARROW
    return Loop.PANELS if inner <= PANEL_VECTORS * width else Loop.SWEEP


def held_to(spec: KernelSpec) -> KernelSpec:
    """A kernel with its loop, or in order where that loop would be slow or cannot tell where it broke an answer."""
    return attrs.evolve(spec, loop=Loop.SEQUENTIAL) if too_large(spec) or not regroups_safely(spec) else spec


def too_large(spec: KernelSpec) -> bool:
    """Whether vector code would spill its registers, or take the compiler seconds."""
    code = _operations(spec.combine)
    if spec.compose is not None:
        around = sum(map(_operations, spec.around.programs)) if spec.around else 0
        return code + _operations(spec.compose) + around > RUNS_CODE
    if spec.loop is Loop.ROWS:
        return prefers_sequential(spec) or code > ROWS_CODE
    return code > (NARROW_CODE if spec.loop is Loop.NARROW else COLUMNS_CODE)


def _operations(program: Program) -> int:
    """The operations of a program; in vectors each entry of a table is one."""
    return sum(len(instr.args) - 1 if instr.op is Op.LOOKUP else 1 for instr in program.code)


def regroups_safely(spec: KernelSpec) -> bool:
    """Whether a loop that regroups can tell where it broke an answer; one that keeps the order need not."""
    return spec.loop not in (Loop.ROWS, Loop.NARROW) or spec.watch is not None
