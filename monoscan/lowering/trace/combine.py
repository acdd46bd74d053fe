"""Traces a Python ``combine`` once, on one element, into a program.

MLX itself records the function (`recorded`), and each record becomes instructions of the IR (`lowered`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.program.arrays import MAX_WIDE, ArrayProgram
from monoscan.lowering.program.ir import MAX_LANES, Leaf, Program
from monoscan.lowering.trace import stops
from monoscan.lowering.trace.complex_builder import held
from monoscan.lowering.trace.lowered import lowered
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.lowering.trace.recorded import record
from monoscan.lowering.trace.roles import Role
from monoscan.lowering.trace.stops import Record
from monoscan.monoids.base import Semigroup

MAX_CAPTURED_LANES = 256
"""The most items of one captured array that are still unrolled into scalars."""

FEW_LANES = 8
"""Elements of at most so many lanes have no array program: straight-line code is best for them."""


@attrs.frozen
class Traced:
    """What tracing found: a program, or the reason why there is none.

    Args:
        program: The scalar program.
        reason: Why there is none.
        arrays: The array program, of what has many lanes.
    """

    program: Program | None
    reason: str = ""
    arrays: ArrayProgram | None = None

    @classmethod
    def of(cls, program: Program | ArrayProgram | str, arrays: Program | ArrayProgram | str | None) -> Traced:
        """From the scalar program or the reason why there is none, and from an array program where there is one."""
        return cls(
            program if isinstance(program, Program) else None,
            program if isinstance(program, str) else "",
            arrays if isinstance(arrays, ArrayProgram) else None,
        )

    @property
    def own_rules(self) -> bool:
        """Whether the function holds one with derivatives of its own."""
        return self.reason == stops.OWN_RULES


def trace_combine(
    operator: Semigroup,
    structure: tree.Structure,
    leaves: tuple[Leaf, ...],
    captures: Captures,
    call: str = "scan",
) -> Traced:
    """The program of an operator's ``combine``.

    Args:
        operator: The operator, for messages.
        structure: The tree of an element.
        leaves: The dtype (of accumulation) and the event shape of each leaf.
        captures: The operator with the arrays that it captures.
        call: The public call, for messages.

    Returns:
        Traced: The program, or why ``combine`` is not traceable.

    Raises:
        ScanError: ``combine`` does what no strategy can run: it branches on an array's
            value, returns another tree, shape or dtype than it got, or reads an array
            that cannot be found; or an operation of MLX in it refuses its operands.
    """
    element = tree.describe(tree.unflatten(structure, leaves))
    hint = "`event` says how many trailing axes belong to an element."
    form = "It is combine(left, right), each of them one element."
    role = Role(f"[{call}] {operator.name}", "combine", f"one element, {element}", hint, form=form)
    records = record_combine(role, structure, leaves, captures)
    if isinstance(records, str):
        return Traced(None, records)
    if not all(leaf.lanes for leaf in leaves + captures.leaves):
        return Traced(None, "a leaf of an element is empty")
    inputs, arity = leaves + leaves + captures.leaves, len(leaves)
    lanes = sum(held(leaf).lanes for leaf in leaves)
    arrays = lowered(records, inputs, arity, arity, arrays=True) if FEW_LANES < lanes <= MAX_WIDE else None
    program = captures_too_much(captures) or too_many_lanes(lanes) or lowered(records, inputs, arity, arity)
    return Traced.of(program, arrays)


def too_many_lanes(lanes: int) -> str | None:
    """Why an element is not unrolled into scalars, or ``None`` if it is."""
    return f"an element has {lanes} lanes, more than {MAX_LANES}" if lanes > MAX_LANES else None


def captures_too_much(captures: Captures) -> str | None:
    """Why captured arrays are not unrolled into scalars, or ``None`` if they are."""
    largest = max((leaf.lanes for leaf in captures.leaves), default=0)
    if largest <= MAX_CAPTURED_LANES:
        return None
    return f"it captures an array of {largest:,} items, more than {MAX_CAPTURED_LANES}"


def record_combine(
    role: Role, structure: tree.Structure, leaves: tuple[Leaf, ...], captures: Captures
) -> list[Record] | str:
    """MLX's records of ``combine`` on two such operands, or why a program cannot come of them.

    Raises:
        ScanError: As in `trace_combine`.
    """

    def combine(*arrays: mx.array) -> tuple[mx.array, ...]:
        left, right = arrays[: len(leaves)], arrays[len(leaves) : 2 * len(leaves)]
        rebuilt = captures.rebuild(arrays[2 * len(leaves) :])
        result = rebuilt.combine(tree.unflatten(structure, left), tree.unflatten(structure, right))
        return _checked_tree(role.where, result, structure)

    records = record(role, combine, leaves + leaves + captures.leaves)
    if isinstance(records, str):
        return records
    outputs = next(record["outputs"] for record in records if record["type"] == "outputs")
    got = [Leaf(dtypes.name_of(dtype), tuple(shape)) for _, shape, dtype in outputs]
    _check_types(role, got, leaves, structure)
    return records


def check_slices(role: Role, operator: Semigroup, structure: tree.Structure, slices: tuple[Leaf, ...]) -> None:
    """Checks what a function of whole slices returns, where it could not be recorded.

    Raises:
        ScanError: It returns another tree, shape or dtype than it got.
    """
    left, right = ([mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in slices] for _ in range(2))
    with role:
        result = operator.combine(tree.unflatten(structure, left), tree.unflatten(structure, right))
    got = [Leaf(dtypes.name_of(y.dtype), tuple(y.shape)) for y in _checked_tree(role.where, result, structure)]
    _check_types(role, got, slices, structure)


def trace_function(name: str, function: Callable[..., Sequence[mx.array]], inputs: tuple[Leaf, ...]) -> Traced:
    """The program of any function of arrays, as an identity or an action.

    Args:
        name: What messages call it.
        function: Takes an array for each leaf and returns a sequence of arrays.
        inputs: The leaves.
    """
    return trace_step(Role(f"[trace] {name}", "it", ", ".join(map(tree.describe, inputs))), function, inputs)


def trace_step(
    role: Role,
    function: Callable[..., Sequence[mx.array]],
    inputs: tuple[Leaf, ...],
    arity: int = 0,
    rights: int = 0,
    *,
    too_large: str | None = None,
    wide: bool = False,
) -> Traced:
    """The programs of a function of arrays, of which the first may be the operands of a step.

    Args:
        role: What messages say of it.
        function: Takes an array for each leaf and returns a sequence of arrays.
        inputs: The leaves.
        arity: How many of them are the left operand's.
        rights: How many are the right operand's.
        too_large: Why there is no scalar program, where there is none.
        wide: Whether there is an array program.
    """
    records = record(role, lambda *arrays: tuple(function(*arrays)), inputs)
    if isinstance(records, str):
        return Traced(None, records)
    arrays = lowered(records, inputs, arity, rights, arrays=True) if wide else None
    program = too_large or lowered(records, inputs, arity, rights)
    return Traced.of(program, arrays)


def step_size(leaves: Sequence[Leaf], captured: Sequence[Leaf]) -> tuple[str | None, bool]:
    """Why a step on these leaves is not unrolled into scalars, if it is not, and whether it has an array program.

    Args:
        leaves: Those of a state and of an element.
        captured: Those of captured arrays.
    """
    lanes = sum(held(leaf).lanes for leaf in leaves)
    largest = max((leaf.lanes for leaf in captured), default=0)
    wide = FEW_LANES < lanes <= 2 * MAX_WIDE
    if lanes > 2 * MAX_LANES:
        return f"a state and an element have {lanes} lanes, more than {2 * MAX_LANES}", wide
    if largest > MAX_CAPTURED_LANES:
        return f"it captures an array of {largest:,} items, more than {MAX_CAPTURED_LANES}", wide
    return None, wide


def _checked_tree(where: str, result: Any, structure: tree.Structure) -> tuple[mx.array, ...]:
    leaves = tree.flatten_like(result, structure)
    if leaves is None:
        got = tree.show(tree.flatten(result)[1])
        raise errors.TreeError(
            f"{where}: combine must return the tree of its arguments, {tree.show(structure)}; it returned {got}."
        )
    for path, leaf in zip(tree.paths(structure), leaves, strict=True):
        if not isinstance(leaf, mx.array):
            raise errors.TreeError(
                f"{where}: combine must return arrays; leaf {path or 'x'} is {type(leaf).__name__} {leaf!r:.40}. "
                "Wrap it in mx.array(..., dtype) or mx.full."
            )
    return tuple(leaves)


def _check_types(role: Role, got: Sequence[Leaf], leaves: Sequence[Leaf], structure: tree.Structure) -> None:
    kept, named = ("slices", "shape") if role.slices else ("an element", "event shape")
    for path, leaf, returned in zip(tree.paths(structure), leaves, got, strict=True):
        if returned.shape != leaf.shape:
            raise errors.ScanError(
                f"{role.where}: combine must keep the shape of {kept}; leaf {path or 'x'} has {named} {leaf.shape} and "
                f"combine returned {returned.shape}. {role.hint}"
            )
        if returned.dtype != leaf.dtype:
            raise errors.ScanTypeError(
                f"{role.where}: combine must keep dtypes; leaf {path or 'x'} is {leaf.dtype} and combine returned "
                f"{returned.dtype}. Cast the elements before the scan, or the result with .astype."
            )
