"""The identity as constants: traced like everything else, so that no array is needed to know it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.program.ir import Leaf, Op
from monoscan.lowering.trace.combine import trace_function
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.lowering.trace.roles import Role
from monoscan.monoids.base import Semigroup

Scalars = tuple[float | int | bool, ...]


@attrs.frozen
class Like:
    """What an identity is asked for.

    Args:
        call: The public function, for messages.
        structure: The tree of an element.
        leaves: Its leaves, in the accumulation dtype.
    """

    call: str
    structure: tree.Structure
    leaves: tuple[Leaf, ...]


def identity_constants(captures: Captures, like: Like) -> tuple[Scalars, ...] | None:
    """For each leaf the identity's lanes; ``None`` if they are not constants, as where captured arrays take part."""
    number = len(like.leaves)

    def identity(*arrays: mx.array) -> list[mx.array]:
        return _checked(captures.rebuild(arrays[number:]), like, arrays[:number])

    program = trace_function(f"{captures.root.name}.identity", identity, like.leaves + captures.leaves).program
    if program is None:
        return None
    constants = []
    for lanes in program.output_lanes:
        values = [program.code[v - program.num_lanes] if v >= program.num_lanes else None for v in lanes]
        if any(instr is None or instr.op is not Op.CONST for instr in values):
            return None
        constants.append(tuple(instr.param for instr in values if instr is not None))
    return tuple(constants)


def neutral(operator: Semigroup, like: Like) -> list[mx.array]:
    """The identity as one element, for an operator with its captured arrays."""
    return _checked(operator, like, [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in like.leaves])


def _checked(operator: Semigroup, like: Like, zeros: Sequence[mx.array]) -> list[mx.array]:
    given = tree.unflatten(like.structure, list(zeros))
    role = Role(f"[{like.call}] {operator.name}", "identity", f"one element, {tree.describe(given)}")
    with role:
        element = operator.identity(given)  # type: ignore[attr-defined]
    where = f"{role.where}: identity must return an element"
    leaves = tree.flatten_like(element, like.structure)
    if leaves is None:
        raise errors.TreeError(f"{where}, {tree.show(like.structure)}; it returned {tree.describe(element)}.")
    for path, e, x in zip(tree.paths(like.structure), leaves, zeros, strict=True):
        if not isinstance(e, mx.array) or e.dtype != x.dtype or e.shape != x.shape:
            raise errors.ScanTypeError(
                f"{where}, with the shapes and dtypes of `like`; leaf {path or 'x'} should be {tree.describe(x)} and is "
                f"{tree.describe(e)}."
            )
    return leaves
