"""``monoscan source``: the traced program of an operator, or the text of its kernel."""

from __future__ import annotations

import attrs

from monoscan import errors
from monoscan.lowering.plan.fused import Fused
from monoscan.lowering.plan.options import changed
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.planner import plan as replanned
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.render import headers
from monoscan.lowering.render.rolled_spec import RolledSpec


def program(plan: Plan) -> str:
    """The program that ``combine`` became: of scalars, or of arrays where the kernel loops over an element.

    Raises:
        ScanError: ``combine`` cannot be traced; the message says why.
    """
    problem = plan.problem
    loops = any(isinstance(each, Fused) and isinstance(each.spec, RolledSpec) for each in plan.kernels)
    shown = problem.arrays if loops else problem.program or problem.arrays
    if shown is None:
        raise errors.ScanError(
            f"[source] combine of {plan.operator} does not trace to a program: {problem.traced.reason}. It runs as it "
            "stands, on whole arrays; monoscan explain says how."
        )
    lanes, lines = sum(leaf.lanes for leaf in shown.outputs), len(shown.code)
    size = f"{lanes} {_plural('lane', lanes)}, {lines} {_plural('line', lines)}"
    on = " on arrays of them" if isinstance(shown, ArrayProgram) else ""
    return f"# combine of {plan.operator}: {size}{on}\n{shown}"


def kernel(automatic: Plan, forced: Plan, expand: bool = False) -> str:
    """The C++ text of the kernels: those of the plan, or of the one where they are forced.

    Args:
        automatic: What a scan runs.
        forced: The same with kernels.
        expand: With the text of all headers in place.
    """
    text = automatic.source or forced.source
    text = headers.expand_each(text) if expand else text
    if automatic.source:
        return text
    return f'// not what a scan runs: that is {automatic.strategy}; this is strategy="kernel"\n{text}'


def gpu_kernel(plan: Plan, strategy: str, target: str) -> str:
    """The text of the kernels for a GPU, those of each launch: what is compiled there, on any machine.

    Args:
        plan: The plan of a scan on a GPU, of any kind.
        strategy: The strategy asked for.
        target: ``metal`` or ``cuda``.

    Raises:
        StrategyError: There is no kernel; the message says why.
    """
    problem = plan.problem
    automatic, forced = (
        replanned(attrs.evolve(problem, options=changed(problem.options, strategy=name, target=target)))
        for name in (strategy, "kernel")
    )
    if automatic.kernels:
        return forced.source
    return f'// not what a scan runs: that is {automatic.strategy}; this is strategy="kernel"\n{forced.source}'


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
