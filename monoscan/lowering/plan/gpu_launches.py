"""Launches on a GPU: which body, how many of them, what a thread holds."""

from __future__ import annotations

import attrs

from monoscan.lowering.plan.geometry import Geometry
from monoscan.lowering.render.gpu_adjoint import Pulled
from monoscan.lowering.render.gpu_spec import WIDTH, Body, GpuSpec, Part
from monoscan.lowering.render.scan_spec import SIZES
from monoscan.lowering.render.spec import KernelSpec

REGISTERS = 32
"""State lanes that a thread holds at a time, in registers of 4 bytes: what compiles without spilling."""

IN_ORDER = 96
"""The same of a state, an element and captured numbers where a lane walks a row: it has one of each."""

WAVES = 8
"""The most waves of a group: 256 threads start on every GPU."""

SHARED = 32 << 10
"""Bytes that a group shares at most, on Apple's GPUs; 48 KiB on NVIDIA's."""

FILLED, PARTS = 64, 512
"""Fewer groups than this leave a GPU idle; then rows are cut until there are about so many (not measured)."""

WORTH_CUTTING = 4
"""Tiles of a row from which on it is cut: the results are read twice then."""


@attrs.frozen
class GpuLaunch:
    """One launch.

    Args:
        spec: The kernel.
        length: The length of the scan axis: of a scan of chunks how many there are.
        chunks: Into how many parts each row is cut.
        tiles: The tiles of a part.
        groups: How many groups of threads run.
    """

    spec: GpuSpec
    length: int
    chunks: int
    tiles: int
    groups: int


def launches(
    kernel: KernelSpec,
    shape: Geometry,
    *,
    initial: bool,
    carry: bool,
    pulled: Pulled | None = None,
    target: str = "metal",
) -> tuple[GpuLaunch, ...]:
    """The launches of a scan, in order: one; or folds of chunks, the scan of these, and what follows from it.

    One pass that looks back takes their place on CUDA, where a group that has begun goes on whatever others do.

    Args:
        kernel: What is computed.
        shape: The geometry.
        initial: Whether there is an ``init``.
        carry: Whether the last state is wanted.
        pulled: Of an adjoint what is computed around the scan of maps, which ``kernel`` is.
        target: ``metal`` or ``cuda``.
    """
    spec = attrs.evolve(_shaped(kernel, shape), initial=initial, carry=carry, pulled=pulled)
    whole = in_one(spec, shape)
    if spec.body in (Body.SHORT, Body.SEQUENTIAL) or whole.tiles < WORTH_CUTTING or whole.groups >= FILLED:
        return (whole,)
    if target == "cuda" and spec.body is Body.ROWS and kernel.want_results:
        return (looking_back(spec, shape),)
    return in_three(spec, shape, -(-whole.tiles // min(whole.tiles, -(-PARTS // whole.groups))))


def in_one(spec: GpuSpec, shape: Geometry) -> GpuLaunch:
    """A single launch: every row is one chunk, or every tile where groups look back."""
    tiles = -(-shape.length // spec.tile)
    return _launch(spec, shape, tiles, 1) if spec.body is Body.LOOK_BACK else _launch(spec, shape, 1, tiles)


def looking_back(spec: GpuSpec, shape: Geometry) -> GpuLaunch:
    """A single launch of a group a tile: of larger tiles than others where a state is small, for fewer waits."""
    steps = _power_below(REGISTERS // (registers(spec.kernel) * spec.run))
    spec = attrs.evolve(spec, body=Body.LOOK_BACK, steps=max(spec.steps, steps), waves=WAVES)
    return in_one(spec, shape)


def in_three(spec: GpuSpec, shape: Geometry, tiles: int) -> tuple[GpuLaunch, ...]:
    """The folds of chunks, the scan of these folds, the results of chunks; of a fold, the fold of the folds.

    Where regrouping may have to be undone, the last chunk of a fold is walked once more, as that of a scan is.

    Args:
        spec: The kernel of the results.
        shape: The geometry.
        tiles: The tiles of a chunk.
    """
    kernel = spec.kernel
    chunks = -(-shape.length // (spec.tile * tiles))
    folds = attrs.evolve(spec, part=Part.TOTALS, initial=False, carry=False)
    results = attrs.evolve(spec, part=Part.SEEDED)
    again = kernel.want_results or bool(results.guarded)
    few = attrs.evolve(shape, length=chunks)
    totals = _shaped(_of_totals(kernel, again), few)
    between = in_one(attrs.evolve(totals, initial=spec.initial, carry=not again), few)
    last = (_launch(results, shape, chunks, tiles),) if again else ()
    return (_launch(folds, shape, chunks, tiles), between, *last)


def too_many_registers(kernel: KernelSpec) -> str | None:
    """Why no body holds such a state, or ``None`` if one does."""
    if kernel.action:
        size = registers(kernel) + _element_registers(kernel) + sum(map(_size, kernel.capture_lanes))
        if size > IN_ORDER:
            return f"states, elements and captures of {size} registers; a thread in order holds {IN_ORDER}"
    elif registers(kernel) > REGISTERS:
        return f"a state of {registers(kernel)} registers; a thread of a GPU kernel holds {REGISTERS}"
    return None


def registers(kernel: KernelSpec) -> int:
    """The registers of one state."""
    held = kernel.dtypes if not kernel.action else [kernel.dtypes[i] for i in kernel.lanes_of(kernel.tree)]
    return sum(map(_size, held))


def _element_registers(kernel: KernelSpec) -> int:
    """The registers of what acts on a state."""
    return sum(_size(leaf.dtype) * leaf.lanes for leaf in map(kernel.element.__getitem__, kernel.read))


def _size(dtype: str) -> int:
    return -(-SIZES[dtype] // 4)


def held(spec: GpuSpec) -> int:
    """The registers in which a thread holds elements."""
    if spec.body is Body.SEQUENTIAL:
        return registers(spec.kernel) + spec.run * _element_registers(spec.kernel)
    return spec.run * spec.steps * registers(spec.kernel)


def _of_totals(kernel: KernelSpec, seeds: bool) -> KernelSpec:
    """The scan of the folds of chunks, or their fold: in fold order, of elements that are states."""
    dtypes = tuple(leaf.dtype for leaf in kernel.state)
    results = tuple(dtypes[leaf] for leaf in kernel.tree) if seeds else ()
    return attrs.evolve(
        kernel,
        elements=dtypes,
        results=results,
        emit=kernel.tree,
        want_results=seeds,
        reverse=False,
        inclusive=True,
        identity=None,
        around=None,
    )


def _launch(spec: GpuSpec, shape: Geometry, chunks: int, tiles: int) -> GpuLaunch:
    columns = shape.rows * shape.inner
    each = {Body.SHORT: spec.threads // spec.lanes, Body.COLUMNS: WIDTH, Body.SEQUENTIAL: spec.threads}.get(
        spec.body, 1
    )
    return GpuLaunch(spec, shape.length, chunks, tiles, -(-columns // each) * chunks)


def _shaped(kernel: KernelSpec, shape: Geometry) -> GpuSpec:
    """The body for a shape, with as many elements a thread as its registers hold."""
    size, n, axes = registers(kernel), shape.length, len(shape.outer)
    if kernel.action:
        run = min(4, _power_below(max(1, REGISTERS // max(1, _element_registers(kernel)))))
        waves = min(WAVES, _power_below(max(1, shape.rows * shape.inner // (WIDTH * FILLED))))
        return GpuSpec(kernel, Body.SEQUENTIAL, run, 1, waves, axes=axes)
    if shape.inner > 1:
        run = min(16, _power_below(REGISTERS // size))
        shared = GpuSpec(kernel, Body.COLUMNS, run, 1, 1).places * 4 * (size + 1)  # by a wave, with its votes
        waves = min(WAVES, _power_from(-(-n // run)), _power_below(SHARED // shared))
        return GpuSpec(kernel, Body.COLUMNS, run, 1, waves, axes=axes)
    run = min(4, _power_below(max(1, REGISTERS // size)))
    if n <= WIDTH * run:
        return GpuSpec(kernel, Body.SHORT, run, 1, WAVES, _power_from(-(-n // run)), axes=axes)
    most = min(4, _power_below(REGISTERS // (size * run)))
    steps = min(most, _power_from(-(-n // (WIDTH * run * WAVES))))
    waves = min(WAVES, _power_from(-(-n // (WIDTH * run * steps))))
    return GpuSpec(kernel, Body.ROWS, run, steps, waves, axes=axes)


def _power_below(number: int) -> int:
    """The largest power of two up to a number, which is 1 at least."""
    return 1 << (number.bit_length() - 1)


def _power_from(number: int) -> int:
    """The least power of two from a number on."""
    return 1 << (number - 1).bit_length()


def described(launch: GpuLaunch) -> str:
    """A launch in words; the registers that it counts are those of 4 bytes in which a thread holds elements."""
    spec = launch.spec
    done = {Part.WHOLE: "", Part.TOTALS: "folds of chunks by ", Part.SEEDED: "results of chunks by "}[spec.part]
    groups = f"{launch.groups:,} group{'s' if launch.groups > 1 else ''} of {spec.threads} threads"
    if spec.body is Body.SEQUENTIAL:
        return f"in order: {groups}, a thread a row; it reads {spec.run} elements ahead, in {held(spec)} registers with the state"
    holds = f"a thread holds {spec.run * spec.steps} elements in {held(spec)} registers"
    return f"{done}{spec.body.value.replace('_', ' ')}: {groups}, tiles of {spec.tile:,} steps; {holds}"
