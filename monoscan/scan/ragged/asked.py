"""What a call on sequences is asked: elements, what to start from, lengths, mask and offsets, all of it checked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes, tree
from monoscan.cache import PLANS
from monoscan.lowering.plan.options import Options
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.program.ir import Shape
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.trace.reads.captures import Captures
from monoscan.scan import elements
from monoscan.scan.leaves import arrays_of, check_leaves
from monoscan.scan.question import Question
from monoscan.scan.ragged.axes import Leaves, Raw, align_given, bounds_batch, first_shapes, refuse, with_axis
from monoscan.scan.ragged.given import Aligned, Given, check_reach, given
from monoscan.tree import Tree


@attrs.frozen(eq=False)
class Asked:
    """A call on sequences of elements.

    Args:
        question: Who asks.
        leaves: The leaves of the elements.
        axis: The scan axis, from the front.
        events: The event shape of each leaf.
        stored: Their dtypes.
        found: Lengths, mask and offsets.
    """

    question: Question
    leaves: Leaves
    axis: int
    events: tuple[Shape, ...]
    stored: tuple[str, ...]
    found: Given

    @classmethod
    def of(cls, asked: Options, captures: Captures, elems: Tree, axis: int, raw: Raw) -> Asked:
        """The call, checked.

        Raises:
            ScanError: Something does not fit.
        """
        leaves, structure = tree.flatten(elems)
        question = Question(asked, captures, structure)
        where = question.where
        refuse(where, asked)
        if type(axis) is not int or {*map(type, leaves)} != _ARRAYS:
            axis = elements.axis_number(question, axis)
            leaves = arrays_of(question, elems, leaves, axis)
        types = tuple([(x.shape, x.dtype) for x in leaves])
        key = ("elements", captures.key, structure, types, axis, asked.call)
        typed = PLANS.get(key, lambda: _typed(question, elems, leaves, axis))
        found = given(where, *raw)
        check_reach(where, raw[2], leaves[0].shape[typed[0]])
        return cls(question, leaves, *typed, found)

    def started(
        self, start: Sequence[mx.array], names: Callable[[], Sequence[str]], events: Sequence[int]
    ) -> tuple[Leaves, tuple[Shape, ...]]:
        """What sequences start from, with their axis where there are several; and the shapes of one of them.

        Args:
            start: The leaves.
            names: What messages call them.
            events: How many event axes they have.

        Raises:
            ScanError: One lacks the axis of sequences.
        """
        sequences = self.found.sequences
        if sequences is None:
            return list(start), tuple([x.shape for x in start])
        leaves = with_axis(start, events, self.axis)
        return leaves, first_shapes(self.question.where, names(), leaves, events, self.axis, sequences)

    def problem(self, pose: Callable[..., Problem], start: Hashable) -> Problem:
        """What the whole axis would be asked, with the batch of the sequences.

        Args:
            pose: What the problem of the whole axis is.
            start: What it is told of what to start from.
        """
        question, shapes = self.question, tuple([x.shape for x in self.leaves])
        key = (pose, question.captures.key, question.structure, shapes, self.stored, self.axis, start, question.asked)

        def posed() -> Problem:
            problem = pose(question, shapes, self.stored, self.axis, start)
            layout = attrs.evolve(problem.layout, bounds=bounds_batch(self.aligned(problem), problem.layout))
            acts = problem.acts and attrs.evolve(problem.acts, elements=layout)
            return attrs.evolve(problem, layout=layout, acts=acts).kept(told=True)

        found: Problem = PLANS.get(("ragged", *key, self.found.typed, FAILURES.generation), posed)
        return found

    def aligned(self, problem: Problem) -> Aligned:
        """Lengths, mask and offsets, aligned with the elements of the problem."""
        return align_given(self.question.where, self.found, problem.joint)


_ARRAYS = {mx.array}


def _typed(
    question: Question, elems: Tree, leaves: Leaves, axis: int
) -> tuple[int, tuple[Shape, ...], tuple[str, ...]]:
    """The axis from the front, the event shape of each leaf, and its dtype.

    Raises:
        ScanError: Something does not fit.
    """
    check_leaves(question, elems, leaves)
    axis, events = elements.event_shapes(question, [x.shape for x in leaves], axis)
    return axis, events, tuple([dtypes.name_of(x.dtype) for x in leaves])
