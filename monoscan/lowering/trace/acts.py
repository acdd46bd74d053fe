"""`Action.act` and `Action.begin` on one state and one element: tried for what they return, and traced like a ``combine``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import attrs
import mlx.core as mx

from monoscan import dtypes, errors, tree
from monoscan.lowering.program.ir import Leaf
from monoscan.lowering.trace.combine import Traced, step_size, trace_step
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.lowering.trace.roles import Role
from monoscan.monoids.action import Action, State

Leaves = tuple[Leaf, ...]


@attrs.frozen(eq=False)
class Moves:
    """An operator's action on the right, on elements of one type.

    Args:
        captures: The operator with the arrays that it captures.
        structure: The tree of an element.
        element: Its leaves.
        call: The public call, for messages.
        part: What messages call the function that moves states.
    """

    captures: Captures
    structure: tree.Structure
    element: Leaves
    call: str
    part: str = "act"

    @cached_property
    def action(self) -> Action:
        """The action."""
        action: Action = self.captures.root.right
        return action

    def begun(self) -> tuple[tree.Structure, Leaves]:
        """The tree and the leaves of the state that a first element begins."""
        with self._role("begin"):
            state = self._begin(self.action, self._zeros(self.element))
        leaves, structure = tree.flatten(state)
        self._check_arrays("begin", state, leaves)
        return structure, tuple(map(_leaf, leaves))

    def moved(self, structure: tree.Structure, state: Leaves) -> Leaves:
        """The leaves of what ``act`` returns for such a state.

        Raises:
            ScanError: They form another tree or have other shapes.
        """
        with self._role(self.part, structure, state):
            moved = self._act(self.action, tree.unflatten(structure, self._zeros(state)), self._zeros(self.element))
        leaves = tree.flatten_like(moved, structure)
        if leaves is None:
            raise errors.TreeError(
                f"{self._where}: {self.part} must return the tree of a state, {tree.show(structure)}; it returned "
                f"{tree.describe(moved)}."
            )
        self._check_arrays(self.part, moved, leaves)
        for path, leaf, given in zip(tree.paths(structure), map(_leaf, leaves), state, strict=True):
            if leaf.shape != given.shape:
                raise errors.ScanError(
                    f"{self._where}: {self.part} must keep the shape of a state; leaf {path or 'x'} has {given.shape} and "
                    f"{self.part} returned {leaf.shape}. {_HINT}"
                )
        return tuple(map(_leaf, leaves))

    def trace_act(self, structure: tree.Structure, state: Leaves) -> Traced:
        """The program of ``act``: reads a state, an element and what is captured."""
        number = len(state)

        def act(*arrays: mx.array) -> Sequence[mx.array]:
            rebuilt = self.captures.rebuild(arrays[number + len(self.element) :])
            moved = self._act(rebuilt.right, tree.unflatten(structure, arrays[:number]), arrays[number:])
            return tree.flatten_like(moved, structure) or []

        return self._traced(self.part, act, structure, state)

    def trace_begin(self, structure: tree.Structure) -> Traced:
        """The program of ``begin``: reads an element and what is captured."""

        def begin(*arrays: mx.array) -> Sequence[mx.array]:
            rebuilt = self.captures.rebuild(arrays[len(self.element) :])
            return tree.flatten_like(self._begin(rebuilt.right, arrays), structure) or []

        return self._traced("begin", begin, None, ())

    def _traced(
        self, part: str, function: Callable[..., Sequence[mx.array]], structure: tree.Structure, state: Leaves
    ) -> Traced:
        if not all(leaf.lanes for leaf in (*state, *self.element)):
            return Traced(None, "a leaf is empty")
        too_large, wide = step_size((*state, *self.element), self.captures.leaves)
        if too_large and not wide:
            return Traced(None, too_large)
        inputs = state + self.element + self.captures.leaves
        role = self._role(part, structure, state)
        return trace_step(role, function, inputs, len(state), len(self.element), too_large=too_large, wide=wide)

    @property
    def _where(self) -> str:
        return f"[{self.call}] {self.captures.root.name}"

    def _role(self, part: str, structure: tree.Structure | None = None, state: Leaves = ()) -> Role:
        element = f"one element, {tree.describe(tree.unflatten(self.structure, self.element))}"
        before = f"a state, {tree.describe(tree.unflatten(structure, state))}, and " if state else ""
        return Role(self._where, part, before + element, _HINT)

    def _zeros(self, leaves: Leaves) -> list[mx.array]:
        return [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in leaves]

    def _element(self, arrays: Sequence[mx.array]) -> tree.Tree:
        return tree.unflatten(self.structure, arrays[: len(self.element)])

    def _act(self, action: Action, state: State, arrays: Sequence[mx.array]) -> State:
        return action.act(state, self._element(arrays))

    def _begin(self, action: Action, arrays: Sequence[mx.array]) -> State:
        assert action.begin is not None, "asked of those that have one"
        return action.begin(self._element(arrays))

    def _check_arrays(self, part: str, state: State, leaves: Sequence[object]) -> None:
        if not all(isinstance(leaf, mx.array) for leaf in leaves):
            raise errors.TreeError(f"{self._where}: {part} must return arrays; it returned {tree.describe(state)}.")


_HINT = "`event` of the Action says how many trailing axes belong to a state."


def _leaf(x: mx.array) -> Leaf:
    return Leaf(dtypes.name_of(x.dtype), tuple(x.shape))
