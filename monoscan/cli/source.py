"""``monoscan source``: the traced program of an operator, or the text of its kernel."""

from __future__ import annotations

from monoscan import errors
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.render import headers


def program(plan: Plan) -> str:
    """The scalar program that ``combine`` became.

    Raises:
        ScanError: ``combine`` cannot be traced; the message says why.
    """
    problem = plan.problem
    if problem.program is None:
        raise errors.ScanError(
            f"[source] combine of {plan.operator} does not trace to a program: {problem.traced.reason}. It runs as it "
            "stands, on whole arrays; monoscan explain says how."
        )
    lanes = sum(leaf.lanes for leaf in problem.program.outputs)
    lines = len(problem.program.code)
    size = f"{lanes} {_plural('lane', lanes)}, {lines} {_plural('line', lines)}"
    return f"# combine of {plan.operator}: {size}\n{problem.program}"


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


def gpu_kernel(automatic: Plan, forced: Plan, target: str) -> str:
    """The text of the kernels for a GPU, those of each launch: what is compiled there, on any machine.

    Args:
        automatic: What a scan runs on a GPU.
        forced: The same with kernels.
        target: ``metal`` or ``cuda``.
    """
    text = forced.source_for(target)
    if automatic.kernels:
        return text
    return f'// not what a scan runs: that is {automatic.strategy}; this is strategy="kernel"\n{text}'


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
