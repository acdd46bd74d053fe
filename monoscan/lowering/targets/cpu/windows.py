"""Windows by kernels: one launch for each shape of results."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan.lowering.plan.fused_window import FusedWindow, fused_window
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.plan.window_gradient import WindowGradient, window_gradient
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.render import source
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cpu import kernels as cpu_kernels
from monoscan.lowering.targets.cpu.bridge.protocol import Launch
from monoscan.lowering.targets.cpu.launches import of_kernel
from monoscan.lowering.targets.cpu.patience import waiting
from monoscan.lowering.targets.cpu.registers import flush, vector_bytes
from monoscan.lowering.targets.cpu.target import not_built, numbers
from monoscan.lowering.targets.graph import aligned_arrays, restored
from monoscan.lowering.trace.reads.captures import Captures

LONGEST = 16_384
"""The longest window of which a kernel finds the gradient: it holds a block of states, for which beyond it the system gives
new memory in each call, and array operations are as fast (measured: sums and maxima of 10^6 items)."""


@attrs.frozen(eq=False)
class Windows:
    """The launches of windows of one size. It holds no arrays, and MLX knows no derivative of it.

    Args:
        problem: The scan over which they move.
        launches: For each kernel the arrays that it takes, and what runs it on them.
    """

    problem: Problem
    launches: tuple[tuple[FusedWindow, tuple[int, ...], Launch], ...]

    def run(self, leaves: Sequence[mx.array], captures: Captures) -> list[mx.array]:
        """The fold of each window, partial ones first, as the caller sees them."""
        arrays = aligned_arrays(self.problem, leaves, captures, None)
        found: dict[int, mx.array] = {}
        for kernel, chosen, launch in self.launches:
            for leaf, y in zip(kernel.shown, launch([arrays[i] for i in chosen]), strict=True):
                found[leaf] = restored(self.problem, y, leaf)
        return [found[leaf] for leaf in range(len(found))]


def prepare(problem: Problem, size: int) -> Windows | str:
    """The launches of windows, with their kernels compiled; or why there are none.

    Raises:
        BridgeUnavailable: A kernel, or the bridge, cannot be built.
    """
    if problem.options.device != "cpu":
        return "kernels of windows run on the CPU"
    kernels = fused_window(problem, size, vector_bytes(), flush())
    missing = kernels if isinstance(kernels, str) else not_built(kernels)
    if isinstance(kernels, str) or missing is not None:
        return str(missing)
    name = problem.operator.name
    return Windows(
        problem,
        tuple(
            (k, _arrays(problem, k), launch_of(k.spec, size, problem.layout.axis, problem.layout.rank + 1, name))
            for k in kernels
        ),
    )


@attrs.frozen(eq=False)
class Pull:
    """The launch of a gradient of windows.

    Args:
        kernel: The kernel.
        launch: What runs it.
    """

    kernel: WindowGradient
    launch: Launch

    def run(self, inputs: Sequence[mx.array], cotangents: Sequence[mx.array]) -> dict[int, mx.array]:
        """The cotangent of each input that has one, with all axes in full, from those of all outputs."""
        read = [inputs[leaf] for leaf in self.kernel.read] + [cotangents[leaf] for leaf in self.kernel.weights]
        return dict(zip(self.kernel.wanted, self.launch(read), strict=True))


def pull_of(kernel: FusedWindow, size: int, axis: int, rank: int, name: str) -> Pull | str:
    """The gradient of the windows of a kernel, compiled; or why there is none. The arguments are those of `launch_of`.

    Raises:
        BridgeUnavailable: It cannot be built.
    """
    if size > LONGEST:
        return "blocks of so many steps leave the caches"
    found = window_gradient(kernel)
    missing = found if isinstance(found, str) else not_built((found,))
    if isinstance(found, str) or missing is not None:
        return str(missing)
    return Pull(found, launch_of(found.spec, size, axis, rank, f"the gradient of {name}"))


def _arrays(problem: Problem, kernel: FusedWindow) -> tuple[int, ...]:
    """Which of the aligned arrays a kernel takes: its leaves, and all captured arrays."""
    number = len(problem.stored)
    return (*kernel.leaves, *range(number, number + len(problem.captures.arrays)))


def launch_of(spec: source.Windows, size: int, axis: int, rank: int, name: str) -> Launch:
    """The launch of a kernel.

    Args:
        spec: The kernel.
        size: How many elements a window holds.
        axis: The scan axis.
        rank: The number of batch axes, the scan axis among them.
        name: What messages call the operator.
    """
    build.load()  # fails before a kernel is compiled for nothing
    with waiting(f"the kernel of windows of {name}"):
        compiled = cpu_kernels.compile_kernel(source.render(spec))
    return of_kernel(
        "monoscan",
        compiled,
        axis,
        rank,
        [leaf.shape for leaf in spec.timed],
        [leaf.shape for leaf in spec.captures],
        window=size,
        outputs=[Leaf(stored, leaf.shape) for stored, leaf in zip(spec.results, spec.outputs, strict=True)],
        numbers=numbers(spec),
        label=name,
    )
