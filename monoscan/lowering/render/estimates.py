"""Estimates that decide how a kernel's work is cut."""

from __future__ import annotations

import attrs

from monoscan.cache import PROGRAMS
from monoscan.lowering.program.cost_table import chain, cycles, instructions
from monoscan.lowering.program.ir import Op
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.render.spec import KernelSpec

WIDE_STATE = 9
"""States of more lanes than this live in memory: what moves them is called, not inlined."""

INLINE_LIMIT = 72
"""Programs of more weight than this are called, not inlined: compile time, and they spill in any case."""

HEAVY = 24
"""From this weight on (one exp and more), runs of 8 pay: fewer combines an element, more
registers. Below it two blocks of runs of 4 side by side do: each hides the other's latency."""

MEMORY_BOUND = 6
"""Cycles of a combine below which loads, stores and shuffles decide."""


def weight(spec: KernelSpec) -> int:
    """Vector instructions in one combine, roughly."""
    return instructions(spec.program(spec.tree))


@PROGRAMS.memoised
def combine_cycles(spec: KernelSpec) -> float:
    """Cycles of one combine of a vector of elements, or in order of one element, roughly."""
    width = 1 if spec.loop is Loop.SEQUENTIAL else spec.width
    return cycles(spec.program(spec.computed), width) / 2 + 1


@attrs.frozen
class Pace:
    """Nanoseconds of a loop (measured with 16 lanes at 3.5 GHz): for a vector of elements, in order for one element.

    Args:
        lane: For each lane that is read or written.
        event_lane: The same of leaves of several lanes, which stand between each other.
        cycle: For each cycle of a combine.
        row: For the start of a row, or of what goes down the rows side by side.
        vector: For each vector besides.
    """

    lane: float
    event_lane: float
    cycle: float
    row: float
    vector: float = 0.0


PACES = {
    Loop.ROWS: Pace(1.6, 4.5, 1.5, 15), Loop.NARROW: Pace(1.3, 2.8, 0.64, 30), Loop.PANELS: Pace(2.0, 4.5, 0.2, 30),
    Loop.SHORT: Pace(3.8, 6.2, 0.5, 160), Loop.SWEEP: Pace(0.8, 0.8, 0.4, 30),
    Loop.RUNS: Pace(5.5, 5.5, 0.2, 300), Loop.SEQUENTIAL: Pace(0.12, 0.12, 0.19, 12, 0.8),
}  # fmt: skip

SPILLS = 7
"""From so many lanes on the loop along a row holds its vectors in memory, and takes 1.7 times as long to combine them."""

IN_THREES = 12
"""Nanoseconds for each lane of a leaf of three beside what lanes of leaves take: such elements come item by item."""

AROUND = 0.15
"""Nanoseconds of a cycle of what makes elements and results, along rows."""

CHAIN = 0.4
"""Nanoseconds of a cycle from a state to the next one of the same vector: nothing else is done meanwhile."""

CROWDED, CROWD = 2.0, 2
"""What runs of a row take longer to turn where so many lanes and more come with every step whose product varies: they
meet in the cache (measured on AMD EPYC)."""

ALIASED = {512: 2.2, 256: 1.5, 128: 1.3}
"""What rows side by side take longer to turn where they lie a multiple of so many steps apart: all of them meet in a few
sets of the cache (measured on AMD EPYC with 512, 1,024 and 8,192 steps: 1.5 to 2.5, 1,000 steps: 1; on Intel Xeon with
512, 256 and 128 steps against 100 and 200: 1.5 to 2.3, 1.2 to 1.7, 1.1 to 1.3)."""

EXTREME = 0.9
"""Nanoseconds of a maximum or a minimum in scalar code, which looks for NaN."""


APART = 0.06
"""What one column at a time takes longer for each column between its elements."""


def _side_by_side(steps: int) -> int:
    """How many short rows go down side by side, as the kernels do it."""
    return 128 if steps <= 2 else 64 if steps <= 4 else 32


@PROGRAMS.memoised
def _moving(spec: KernelSpec) -> float:
    """Nanoseconds in which one vector of elements comes and goes."""
    pace = PACES[spec.loop]
    read = spec.read if spec.loop is Loop.SEQUENTIAL or spec.apart else spec.tree
    leaves = [spec.inputs[leaf].lanes for leaf in read] + [leaf.lanes for leaf in spec.shown]
    threes = 0 if spec.loop is Loop.SEQUENTIAL else 3 * leaves.count(3) * IN_THREES
    return pace.vector + threes + sum(lanes * (pace.lane if lanes == 1 else pace.event_lane) for lanes in leaves)


@PROGRAMS.memoised
def _combining(spec: KernelSpec) -> float:
    """Nanoseconds of the combines of one vector of elements."""
    program, taken = spec.program(spec.computed), PACES[spec.loop].cycle * combine_cycles(spec)
    if spec.loop is Loop.SEQUENTIAL:
        return taken + EXTREME * sum(instr.op in (Op.MAX, Op.MIN) for instr in program.code)
    spills = spec.loop is Loop.ROWS and len(spec.lanes_of(spec.tree)) >= SPILLS
    around = sum(cycles(each, spec.width) for each in spec.around.programs) if spec.around else 0
    return taken * (1.7 if spills else 1) + AROUND * around


@PROGRAMS.memoised
def _of_runs(spec: KernelSpec) -> tuple[float, float]:
    """Nanoseconds in which a vector of steps of runs is turned and folded; acted and turned back."""
    assert spec.parts is not None, "which makes the loop"
    assert spec.compose is not None, "which makes the loop"
    pace, steady = PACES[Loop.RUNS], spec.parts.steady
    varying = spec.read if spec.around else [leaf for leaf in spec.read if leaf not in spec.parts.fixed]
    read, written = sum(spec.inputs[leaf].lanes for leaf in varying), sum(leaf.lanes for leaf in spec.shown)
    crowded = CROWDED if read > CROWD and not steady else 1
    fold = combine_cycles(spec) if steady else cycles(spec.compose, spec.width) / 2 + 1
    # A run has about as many steps as a vector has lanes, and the state goes from each to the next.
    link = CHAIN * chain(spec.program(spec.computed), spec.width)
    prepare, around = 0, 0
    if spec.around:
        prepare = cycles(spec.around.prepare, spec.width)
        around = sum(cycles(each, spec.width) for each in spec.around.programs)
    folding = pace.lane * read * crowded + pace.cycle * (fold + prepare)
    return folding, pace.lane * written * crowded + pace.cycle * (combine_cycles(spec) + around) + link


@PROGRAMS.memoised
def nanoseconds(spec: KernelSpec) -> float:
    """Nanoseconds for one element, within a factor of two or three."""
    if spec.loop is Loop.RUNS:
        return sum(_of_runs(spec)) / spec.width
    # A vector of whole rows is combined by shifts, four times or so.
    total = _moving(spec) + _combining(spec) * (4 if spec.loop is Loop.NARROW else 1)
    return total if spec.loop is Loop.SEQUENTIAL else total / spec.width


def scan_nanoseconds(spec: KernelSpec, steps: int, inner: int, rows: int) -> float:
    """Nanoseconds of a whole scan in one thread.

    Args:
        spec: The kernel, with its loop.
        steps: The length of the scan axis.
        inner: How many columns lie side by side.
        rows: How many scans of such rows there are.
    """
    width = spec.width
    if spec.loop is Loop.RUNS:
        per_vector, (whole, rest) = sum(_of_runs(spec)), divmod(steps, 2 * width * width)
        alone = CHAIN * chain(spec.program(spec.computed), width) + 1
        return rows * (PACES[Loop.RUNS].row + whole * 2 * width * per_vector + rest * alone)
    start, moving, combining = PACES[spec.loop].row, _moving(spec), _combining(spec)
    if spec.loop is Loop.SEQUENTIAL:
        return rows * inner * (start + steps * (moving + combining)) * (1 + APART * (min(inner, width) - 1))
    if spec.loop is Loop.ROWS:
        whole, rest = divmod(steps, 4 * width)
        # What is left of a row is scanned vector by vector, each by shifts.
        return rows * (start + whole * 4 * (moving + combining) + -(-rest // width) * (12 + 5 * combine_cycles(spec)))
    if spec.loop is Loop.NARROW:
        lines = max(width // inner, 1)
        shifts = (lines - 1).bit_length() + 2
        return rows * (start + -(-steps // lines) * (moving + shifts * combining))
    if spec.loop is Loop.SHORT:
        moving *= next((longer for apart, longer in ALIASED.items() if steps % apart == 0), 1)
        return -(-rows // _side_by_side(steps)) * start + -(-rows // width) * steps * (moving + combining)
    if inner < width:
        combining = max(combining, CHAIN * chain(spec.program(spec.computed), width))
    return rows * -(-inner // width) * (start + steps * (moving + combining))


def backward_nanoseconds(operations: int, moved: int, scalar: bool) -> float:
    """The same for a backward loop, whose step has so many operations and moves so many arrays."""
    return max(3.0, operations) if scalar else 0.05 * moved + 0.02 * operations


def fold_share(spec: KernelSpec) -> float:
    """The time of a fold against that of a scan (measured)."""
    if spec.loop is Loop.RUNS:
        folding, acting = _of_runs(spec)
        return folding / (folding + acting)
    if combine_cycles(spec) >= MEMORY_BOUND:
        return {Loop.ROWS: 0.55, Loop.NARROW: 0.75}.get(spec.loop, 0.9)
    if spec.loop is not Loop.ROWS:
        return 0.75 if spec.loop is Loop.NARROW else 0.6
    read = sum(spec.inputs[i].lanes for i in (spec.read if spec.around else spec.tree))
    written = sum(leaf.lanes for leaf in spec.shown)
    return read / (0.9 * read + 0.65 * written)


def prefers_sequential(spec: KernelSpec) -> bool:
    """Whether a scalar loop beats vectors along a contiguous scan axis: states beyond the registers."""
    return len(spec.lanes_of(spec.tree)) > WIDE_STATE
