"""How ``act`` and ``loop`` run on sequences as they come: as scans do in `monoscan.scan.ragged.scans`, on states."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import dtypes, tree
from monoscan.cache import PLANS
from monoscan.lowering.plan.acts import Acts
from monoscan.lowering.plan.options import Options, changed
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.strategies.places import Places
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.scan.act import start_of
from monoscan.scan.ragged.asked import Asked
from monoscan.scan.ragged.axes import (
    Leaves,
    Raw,
    wide,
    with_sequences,
)
from monoscan.scan.ragged.given import Aligned
from monoscan.scan.ragged.kernels import by_kernel, kernel_plan
from monoscan.scan.ragged.lifted import Found
from monoscan.tree import Tree

Walked = tuple[Sequence[Any], Sequence[Any], Sequence[Any]]
"""What is shown and the states, at all positions, and the last states, with all axes."""


def opened(
    asked: Options, captures: Captures, elems: Tree, state: Tree | None, axis: int, raw: Raw,
    pose_of: Callable[..., Problem], state_events: Callable[[tree.Structure], tuple[int, ...]],
) -> tuple[Problem, Captures, Leaves, Leaves | None, Aligned]:  # fmt: skip
    """What a call on states asks, checked: the problem, the operator, and the arrays.

    Args:
        asked: The options.
        captures: The operator.
        elems: The elements.
        state: The state, if there is one.
        axis: The scan axis.
        raw: Lengths, mask and offsets.
        pose_of: What the problem is.
        state_events: How many event axes the leaves of such a state have.

    Raises:
        ScanError: Something does not fit.
    """
    found = Asked.of(asked, captures, elems, axis, raw)
    start = began = None
    if state is not None:
        first, began = start_of(found.question, state, found.leaves)
        form = began.structure

        def names() -> list[str]:
            return [f"state leaf {path or 'x'}" for path in tree.paths(form)]

        key = ("events of a state", pose_of, captures.key, form)
        start, own = found.started(first, names, PLANS.get(key, lambda: state_events(form)))
        began = began if own == began.shapes else attrs.evolve(began, shapes=own)
    problem = found.problem(pose_of, began)
    return problem, captures, found.leaves, start, found.aligned(problem)


@attrs.frozen(eq=False)
class RaggedStates:
    """Sequences of elements that move states.

    Args:
        problem: What is asked; its layout tells nothing of the axis of sequences.
        captures: The operator.
        leaves: The leaves of the elements, as given.
        start: Those of the state, as given, with the axis of sequences where there are several; ``None`` without.
        aligned: Lengths, mask and offsets.
    """

    problem: Problem
    captures: Captures
    leaves: Leaves
    start: Leaves | None
    aligned: Aligned

    @property
    def acts(self) -> Acts:
        """The states."""
        assert self.problem.acts is not None, "of an act or a loop"
        return self.problem.acts

    @property
    def asked(self) -> Options:
        """The options."""
        return self.problem.options

    @property
    def axis(self) -> int:
        """The scan axis."""
        return self.problem.layout.axis

    @property
    def places(self) -> Places:
        """The positions."""
        joint = self.problem.joint
        return self.aligned.places(joint.length, joint.axis, joint.rank + 1, self.asked.reverse)

    @property
    @abstractmethod
    def held(self) -> int:
        """How many leaves are shown in front of the state's own."""

    @property
    def kernel_leaves(self) -> Leaves:
        """The leaves of the elements as a kernel reads them."""
        return self.leaves

    @property
    @abstractmethod
    def kernel_start(self) -> Leaves | None:
        """The leaves of the state that a kernel starts from."""

    @abstractmethod
    def _walk(self, places: Places, asked: Options) -> Walked:
        """What is shown, all states where there are several sequences and the last ones else where they are wanted."""

    @abstractmethod
    def _scan(self, places: Places, asked: Options) -> tuple[Plan, Leaves, Captures, Leaves | None]:
        """The act, or the loop, of elements with flags."""

    def run(self) -> Found:
        """What is shown, and the last states where they are wanted, as the caller sees them."""
        found = self.by_kernel()
        if found is not None:
            return found
        if not self.problem.layout.length:
            return self._nothing()
        places, carry = self.places, self.asked.return_carry
        if not places.packed:
            ys, _, last = self._walk(places, self.asked)
            return self._shown(ys), self._carried(last) if carry else []
        once = changed(self.asked, return_carry=False)
        ys, states, _ = self._walk(places, once)
        shown = self._shown(ys if self.asked.inclusive else self._started(places, ys))
        if not carry:
            return shown, []
        states = states if self.asked.inclusive else self._walk(places, changed(once, inclusive=True))[1]
        return shown, self._carried([self._last(places, s, i) for i, s in enumerate(states)])

    def by_kernel(self) -> Found | None:
        """The same by a kernel that knows lengths and offsets, a mask being a leaf; ``None`` where there is none."""
        masked = self._masked()
        if masked is None:
            found = by_kernel(self.problem, self.captures, self.kernel_leaves, self.kernel_start, self.aligned)
            return None if found is None else (found[0], found[1][self.held :])
        found = masked.by_kernel()
        if found is None:
            return None
        ys, last = (self._values(each) for each in found)
        return self._shown(ys), self._carried(last) if self.asked.return_carry else []

    def plan(self) -> Plan:
        """What runs."""
        plan = (self._masked() or self).kernel_plan()
        return self._scan(self.places, self.asked)[0] if isinstance(plan, str) else plan

    def kernel_plan(self) -> Plan | str:
        """The plan of that kernel, or why there is none."""
        return kernel_plan(self.problem, self.captures, self.aligned)

    def _masked(self) -> RaggedStates | None:
        """Where there is a mask and more: elements with the flag of the mask alone."""
        aligned, lengths = self.aligned, self.aligned.lengths
        if aligned.mask is None or aligned.bounds is None or not self.problem.layout.length:
            return None
        several = aligned.offsets is not None
        joint = self.problem.joint
        places = Places(None, aligned.mask, None, joint.length, joint.axis, joint.rank + 1, self.asked.reverse)
        raw = (lengths if lengths is None or several else lengths.squeeze(self.axis), None, aligned.offsets)
        return self._with_mask(places, self._first(several), raw)

    @abstractmethod
    def _with_mask(self, places: Places, first: Leaves, raw: Raw) -> RaggedStates:
        """The same of elements with the flag of the mask.

        Args:
            places: The positions as the mask alone says.
            first: The leaves of the state to start from.
            raw: Lengths and offsets.
        """

    def _first(self, several: bool) -> Leaves:
        """The leaves of the state to start from, with the axis of sequences or without a scan axis; zeros without one."""
        if self.start is None:
            return self.zeros()
        return self.started(True) if several else [x.squeeze(self.axis) for x in self.started(False)]

    def _values(self, found: Sequence[Any]) -> list[Any]:
        """What is left of leaves without flags."""
        return list(found)

    def elements(self, places: Places) -> Leaves:
        """The leaves of the elements with all axes, in the dtypes of the fold where states are read from what is shown."""
        joint, problem = self.problem.joint, self.problem
        leaves = [joint.align(x, i) for i, x in enumerate(self.leaves)]
        if places.packed:
            leaves = [x.astype(dtypes.by_name(leaf.dtype)) for x, leaf in zip(leaves, problem.element, strict=True)]
        if not self.acts.traced and self.acts.arrays is None:  # MLX's derivatives let NaN pass a choice
            rows = zip(leaves, problem.layout.event, strict=True)
            leaves = [mx.where(wide(places.valid, len(e)), x, mx.zeros((), x.dtype)) for x, e in rows]
        return leaves

    def started(self, packed: bool) -> Leaves:
        """The leaves of the state with all axes; the number of sequences, or 1, in the place of the scan axis."""
        joint, exact = self.problem.joint, self.acts.leaves[self.held :]
        leaves = [
            with_sequences(x, len(leaf.shape), joint.axis, joint.rank, packed)
            for x, leaf in zip(self.start or (), exact, strict=True)
        ]
        return [x.astype(dtypes.by_name(s.dtype)) for x, s in zip(leaves, exact, strict=True)] if packed else leaves

    def starts(self, places: Places) -> Leaves:
        """The state that the sequence of each position starts from, zeros in none."""
        return [places.each(s, mx.zeros((), s.dtype)) for s in self.started(True)]

    def zeros(self) -> Leaves:
        """The leaves of a state of zeros."""
        return [mx.zeros(leaf.shape, dtypes.by_name(leaf.dtype)) for leaf in self.acts.leaves[self.held :]]

    def _started(self, places: Places, ys: Sequence[mx.array]) -> Leaves:
        """Exclusive results with the states that sequences start from at their heads."""
        rows = zip(ys, self.starts(places), self.acts.leaves, strict=True)
        return [mx.where(wide(places.head, len(leaf.shape)), s, y) for y, s, leaf in rows]

    def _last(self, places: Places, y: mx.array, leaf: int) -> mx.array:
        """The last state of each sequence."""
        event = len(self.acts.leaves[self.held + leaf].shape)
        nothing = mx.zeros((), y.dtype) if self.start is None else self.started(True)[leaf]
        return mx.where(wide(places.empty, event), nothing, places.last(y))

    def _shown(self, ys: Sequence[mx.array]) -> Leaves:
        rows = enumerate(zip(ys, self.acts.results, strict=True))
        return [self.acts.layout.restore(y.astype(dtypes.by_name(name)), i) for i, (y, name) in rows]

    def _carried(self, last: Sequence[mx.array]) -> Leaves:
        layout, packed = self.acts.layout, self.aligned.offsets is not None
        restored = []
        for i, (y, leaf) in enumerate(zip(last, self.acts.leaves[self.held :], strict=True), self.held):
            y = y.astype(dtypes.by_name(leaf.dtype))
            restored.append(layout.restore(y, i) if packed else layout.restore_carry(y, i))
        return restored

    def _nothing(self) -> Found:
        """No positions: nothing is shown, and the last states are what sequences start from."""
        layout, offsets = self.acts.layout, self.aligned.offsets
        ys = [mx.zeros(layout.result_shape(i), dtypes.by_name(name)) for i, name in enumerate(self.acts.results)]
        if not self.asked.return_carry:
            return ys, []
        last = []
        for i, x in enumerate(self.started(offsets is not None), self.held):
            size = 1 if offsets is None else offsets.shape[0] - 1
            full = mx.broadcast_to(x, layout.aligned_shape(i, size))
            last.append(full if offsets is not None else full.squeeze(self.axis))
        return ys, self._carried(last)
