"""What is said of the kernels and the states of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from monoscan.lowering.plan.acts import Acts
from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.render.spec import KernelSpec

if TYPE_CHECKING:  # GPUs are imported where they are asked for
    from monoscan.lowering.plan.gpu import GpuKernel
    from monoscan.lowering.plan.gpu_launches import GpuLaunch


Kernels = Sequence["Fused | GpuKernel"]


def steady(kernels: Kernels) -> str:
    """What loops over runs gain from it."""
    specs = [kernel.straight for kernel in kernels if isinstance(kernel, Fused) and kernel.spec.loop is Loop.RUNS]
    return ", multiplied once for all runs" if any(spec.parts and spec.parts.steady for spec in specs) else ""


def states(acts: Acts, strategy: str, kernels: Kernels) -> str:
    """The states of an act, and how they are found."""
    leaves = ", ".join(
        f"{name}{list(batch + event)}"
        for name, batch, event in zip(acts.results, acts.layout.batch, acts.layout.event, strict=False)
    )
    how = "each from the product of the elements before it"
    if strategy == "sequential" or any(kernel.spec.action for kernel in kernels):
        how = "one after another"
        if any(kernel.spec.loop is Loop.RUNS for kernel in kernels if isinstance(kernel, Fused)):
            how = "of runs side by side, each from its true state by products of its elements"
    elif kernels and not any(isinstance(kernel.spec, KernelSpec) and kernel.spec.around for kernel in kernels):
        how = "from products of the elements of a block, each block from its true state"
    if acts.ordered:
        return f"not shown, {len(acts.leaves) - len(acts.results)} leaves{_carried(acts, kernels)}; outputs {leaves}; {how}"
    return f"{leaves}, {'begun by the first element' if acts.given is None else 'given'}; {how}"


def _carried(acts: Acts, kernels: Kernels) -> str:
    """How much of a state that is not shown goes from step to step."""
    if len(kernels) != 1:
        return ""
    (kernel,) = kernels
    carried = sum(kernel.spec.state[i].lanes for i in kernel.spec.kept)
    return f", {carried} of {sum(leaf.lanes for leaf in acts.leaves[len(acts.results) :])} numbers carried"


def launch_lines(kernel: GpuKernel) -> list[str]:
    """What is launched, in order."""
    from monoscan.lowering.plan.gpu_launches import described

    number = len(kernel.launches)
    lines = [f"{number} launch{'es' if number > 1 else ''}; {size(kernel.bytes)}"]
    return [*lines, *(f"    launch  {described(launch)}{_compiled(kernel, launch)}" for launch in kernel.launches)]


def _compiled(kernel: GpuKernel, launch: GpuLaunch) -> str:
    """What is known of a launch that was compiled."""
    if kernel.target != "cuda":
        return ""
    from monoscan.lowering.targets.cuda.run import registers

    number = registers(launch.spec)
    return "" if number is None else f", of {number} in all"


_HELD = {
    Loop.RUNS: " runs of a row", Loop.EVENTS: " lanes of an element, in order", Loop.BATCH: " rows, in order",
}  # fmt: skip


def loop_line(kernel: Fused) -> str:
    """The loop of a kernel, and how its work is cut."""
    spec, cut = kernel.spec, kernel.cut
    width = "one step at a time" if spec.loop is Loop.SEQUENTIAL else f"vectors of {spec.width}"
    width += _HELD.get(spec.loop, "")
    tile = f", tiles of {cut.tile} steps" if cut.tile > 1 else ""
    parts = "1 part" if cut.parts == 1 else f"{cut.parts} parts"
    threads = "1 thread" if cut.tasks == 1 else f"up to {cut.tasks} threads"
    return f"loop {spec.loop.value}, {width}{tile}; {parts} in time, {threads}; {size(kernel.bytes)}"


def time(nanoseconds: float) -> str:
    """A time in a unit that fits."""
    number = nanoseconds / 1e3
    return f"{number:.2g} us" if number < 99.5 else f"{number / 1e3:.2g} ms"


def size(number: float) -> str:
    """A number of bytes in a unit that fits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 999.5 or unit == "GiB":
            return f"{number:.3g} {unit}"
        number /= 1024
    raise AssertionError
