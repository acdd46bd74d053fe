"""What ``mx.vmap`` does not map, or maps wrongly: known when a scan is planned, before anything runs.

MLX 0.32 maps a bit operation as if both operands were mapped. Elements and captured
integers always are; a constant that ``combine`` makes itself is not, and the operation
then reads past its end, or gives every element the answer of the first.
"""

from __future__ import annotations

import mlx.core as mx

from monoscan import dtypes, errors, mapped, tree
from monoscan.lowering.plan.acts import Acts
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.ir import Leaf, Op, Program
from monoscan.lowering.strategies.combine import one_element
from monoscan.lowering.trace import stops

MIXED_BITS = "mx.vmap is wrong for bit operations between an element and a constant that combine makes"
BITS = ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "LeftShift", "RightShift")


def obstacle(problem: Problem) -> str | None:
    """Why ``mx.vmap`` cannot run this ``combine`` on many elements; ``None`` if it can."""
    function = one_element(problem.captures.rebuild, problem.structure, len(problem.element))
    return _obstacle(function, problem.element * 2, problem.captures.leaves)


def _obstacle(function: mapped.Function, operands: tuple[Leaf, ...], captured: tuple[Leaf, ...]) -> str | None:
    leaves = operands + captured
    arrays = [_zeros(leaf) for leaf in leaves]
    fixed = {f"i{k}" for k, leaf in enumerate(leaves) if k >= len(operands) and not mapped.whole(leaf.dtype)}
    scalars = all(not leaf.shape for leaf in operands)
    if _mixes(stops.parsed(stops.draw(arrays, function(*arrays))), fixed, scalars):
        return MIXED_BITS
    try:
        mapped.run(function, [mx.broadcast_to(x, (2, *x.shape)) for x in arrays], 1)
    except ValueError as error:
        if "Not implemented for" not in str(error):
            raise
        return f"mx.vmap has no rule for {str(error).split('Not implemented for ')[1].rstrip('.')}"
    return None


def has_bits(program: Program) -> bool:
    """Whether a program has operations on bits."""
    return any(instr.op in (Op.AND, Op.OR, Op.XOR, Op.SHL, Op.SHR) for instr in program.code)


def check(problem: Problem, strategy: str) -> None:
    """Refuses what ``mx.vmap`` cannot run.

    Raises:
        StrategyError: It cannot; the message says what can.
    """
    alone = problem.layout.items == problem.layout.length
    if strategy == "sequential" and alone:
        return
    reason = obstacle(problem)
    if reason is not None:
        ways = ['strategy="sequential", which takes one element at a time, '] if alone else []
        where = f"[{problem.options.call}] {problem.operator.name}"
        raise errors.StrategyError(
            f"{where}: combine is not traced ({problem.traced.reason}) and {reason}. Use {'or '.join([*ways, ''])}"
            "ms.associative_scan, whose function gets whole slices"
            + ("; or hold the constant as an array outside of combine." if reason == MIXED_BITS else ".")
        )


def check_act(problem: Problem, acts: Acts) -> None:
    """Refuses an act of which ``mx.vmap`` cannot run ``act`` or ``begin``.

    Raises:
        StrategyError: It cannot; the message says why.
    """
    states, number = len(acts.leaves), len(acts.leaves) + len(problem.element)

    def act(*arrays: mx.array) -> list[mx.array]:
        state, x = (
            tree.unflatten(acts.structure, arrays[:states]),
            tree.unflatten(problem.structure, arrays[states:number]),
        )
        return tree.flatten(problem.captures.rebuild(arrays[number:]).right.act(state, x))[0]

    reason = _obstacle(act, acts.leaves + problem.element, problem.captures.leaves)
    if reason is not None:
        raise errors.StrategyError(
            f"[{problem.options.call}] {problem.operator.name}: act is not traced ({acts.act.reason}) and {reason}."
        )


def _zeros(leaf: Leaf) -> mx.array:
    return mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype))


def _mixes(nodes: list[stops.DotNode], fixed: set[str], scalars: bool) -> bool:
    """Whether a bit operation has an operand that is mapped and one that is not.

    A constant that is second and is one number for all lanes does no harm: MLX takes it for
    a scalar. What is broadcast is one, and what meets scalar elements as it is.
    """
    varied: set[str] = set()
    spread: set[str] = set()
    for node in nodes:
        own = [name in varied or (name[0] == "i" and name not in fixed) for name in node.inputs]
        if any(bit in node.label for bit in BITS) and any(own) and not all(own):
            second = node.inputs[-1] in spread or (scalars and node.inputs[0] not in spread)
            if not own[0] or not second:
                return True
        if any(own):
            varied.update(node.outputs)
        if node.label == "Broadcast":
            spread.update(node.outputs)
    return False
