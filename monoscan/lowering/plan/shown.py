"""What is said of a plan: what is scanned, how, and what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monoscan.lowering.plan.acts import Acts
from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.render.spec import Loop

if TYPE_CHECKING:  # GPUs are imported where they are asked for
    from monoscan.lowering.plan.gpu import GpuKernel, GpuLaunch
    from monoscan.lowering.plan.plan import Plan


def summary(plan: Plan) -> list[str]:
    """What is scanned, and below it the strategy, the work and what is captured."""
    layout, options = plan.problem.layout, plan.problem.options
    leaves = ", ".join(
        f"{name}{list(layout.with_length(batch, layout.length) + event)}"
        for name, batch, event in zip(plan.problem.stored, layout.batch, layout.event, strict=True)
    )
    direction = ("reverse " if options.reverse else "") + ("" if options.inclusive else "exclusive ")
    direction += "shapeless " if options.shapeless else ""
    combined = f", combine by {plan.combine}" if plan.combine != "none" else ""
    lines = [
        f"{direction}{options.call} of {plan.operator} over {leaves}, axis {layout.axis}, on {plan.device}",
        f"  strategy  {plan.strategy} (row {plan.row}){combined}",
        f"  work      {plan.work:,} combines, depth {plan.depth}, about {_bytes(plan.bytes)} moved",
    ]
    for number, kernel in enumerate(plan.kernels, 1):
        which = f"{number} of {len(plan.kernels)}, of leaves {', '.join(map(str, kernel.emit))}: "
        first, *more = [loop_line(kernel)] if isinstance(kernel, Fused) else launch_lines(kernel)
        lines += [f"  kernel    {which if len(plan.kernels) > 1 else ''}{first}", *more]
        if isinstance(kernel, Fused) and kernel.compared:
            times = ", ".join(f"{loop.value} {_time(taken)}" for loop, taken in kernel.compared)
            lines.append(f"  estimates {times}")
    if plan.restart is not None:
        lines.append(
            f"  restart   what comes before each segment, by {'vmap' if plan.restart.program is None else 'lanes'}"
        )
    if plan.problem.acts is not None:
        lines.append(f"  states    {_states(plan, plan.problem.acts)}")
    if options.fixed:
        lines.append(f"  fixed     leaves {', '.join(map(str, options.fixed))}: the same at every step{_steady(plan)}")
    if plan.problem.captures.arrays:
        captured = ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in plan.problem.captures.leaves)
        lines.append(f"  captured  {captured}")
    return lines


def _steady(plan: Plan) -> str:
    """What loops over runs gain from it."""
    specs = [kernel.straight for kernel in plan.kernels if isinstance(kernel, Fused) and kernel.spec.loop is Loop.RUNS]
    return ", multiplied once for all runs" if any(spec.parts and spec.parts.steady for spec in specs) else ""


def _states(plan: Plan, acts: Acts) -> str:
    leaves = ", ".join(
        f"{name}{list(batch + event)}"
        for name, batch, event in zip(acts.results, acts.layout.batch, acts.layout.event, strict=False)
    )
    how = "each from the product of the elements before it"
    if plan.strategy == "sequential" or any(kernel.spec.action for kernel in plan.kernels):
        how = "one after another"
        if any(kernel.spec.loop is Loop.RUNS for kernel in plan.kernels if isinstance(kernel, Fused)):
            how = "of runs side by side, each from its true state by products of its elements"
    elif plan.kernels:
        how = "from products of the elements of a block, each block from its true state"
    if acts.ordered:
        return (
            f"not shown, {len(acts.leaves) - len(acts.results)} leaves{_carried(plan, acts)}; outputs {leaves}; {how}"
        )
    return f"{leaves}, {'begun by the first element' if acts.given is None else 'given'}; {how}"


def _carried(plan: Plan, acts: Acts) -> str:
    """How much of a state that is not shown goes from step to step."""
    if len(plan.kernels) != 1:
        return ""
    (kernel,) = plan.kernels
    carried = sum(kernel.spec.state[i].lanes for i in kernel.spec.kept)
    return f", {carried} of {sum(leaf.lanes for leaf in acts.leaves[len(acts.results) :])} numbers carried"


def launch_lines(kernel: GpuKernel) -> list[str]:
    """What is launched, in order."""
    from monoscan.lowering.plan.gpu import described

    number = len(kernel.launches)
    lines = [f"{number} launch{'es' if number > 1 else ''}; {_bytes(kernel.bytes)}"]
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
    return f"loop {spec.loop.value}, {width}{tile}; {parts} in time, {threads}; {_bytes(kernel.bytes)}"


def _time(nanoseconds: float) -> str:
    number = nanoseconds / 1e3
    return f"{number:.2g} us" if number < 99.5 else f"{number / 1e3:.2g} ms"


def _bytes(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 999.5 or unit == "GiB":
            return f"{number:.3g} {unit}"
        number /= 1024
    raise AssertionError
