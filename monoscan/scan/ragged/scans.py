"""How ``scan``, ``fold`` and ``linear_recurrence`` run on sequences as they come.

By a kernel that knows lengths and offsets, where there is one; a mask is a leaf of its elements. Else by the scan of an
operator on elements with flags, which has the strategies, the kernels and the gradients of any other.
"""

from __future__ import annotations

import attrs

from monoscan import dtypes, errors, tree
from monoscan.lowering.plan.options import Options
from monoscan.lowering.plan.plan import Plan
from monoscan.lowering.plan.problem import Problem
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.monoids.base import Semigroup
from monoscan.scan import call, elements
from monoscan.scan.question import not_an_operator
from monoscan.scan.ragged.asked import Asked
from monoscan.scan.ragged.axes import Leaves, Raw
from monoscan.scan.ragged.given import Aligned
from monoscan.scan.ragged.kernels import by_kernel, kernel_plan
from monoscan.scan.ragged.lifted import Found, Lifted
from monoscan.tree import Tree


def run(asked: Options, operator: Semigroup, elems: Tree, axis: int, init: Tree | None, raw: Raw) -> tuple[Tree, Tree]:
    """The results and the carry, each where it is wanted, as trees."""
    scan = opened(asked, operator, elems, axis, init, raw)
    results, carry = scan.run()
    structure = scan.problem.structure
    if not asked.results:
        rounded = zip(carry, scan.problem.results, strict=True)
        carry = [c if c is None else c.astype(dtypes.by_name(name)) for c, name in rounded]
    return (
        tree.unflatten(structure, results) if asked.results else None,
        tree.unflatten(structure, carry) if carry else None,
    )


def opened(asked: Options, operator: Semigroup, elems: Tree, axis: int, init: Tree | None, raw: Raw) -> RaggedScan:
    """A scan of sequences, checked.

    Raises:
        ScanError: Something does not fit.
    """
    if not isinstance(operator, Semigroup):
        raise errors.ScanTypeError(not_an_operator(asked.call, operator))
    captures = capture(operator, asked.call)
    found = Asked.of(asked, captures, elems, axis, raw)
    start = starts = None
    if init is not None:
        first = elements.init_leaves(found.question, init, found.stored)
        start, starts = found.started(first, lambda: found.question.starts, [len(event) for event in found.events])
    problem = found.problem(call.pose, starts)
    if init is None and not operator.has_identity:
        _check_none_needed(found)
    return RaggedScan(problem, captures, found.leaves, start, found.aligned(problem))


def _check_none_needed(found: Asked) -> None:
    """Refuses what may show an identity, where there is none."""
    question, asked = found.question, found.question.asked
    why = [name for name in ("mask", "lengths") if getattr(found.found, name) is not None]
    folded = asked.return_carry or not asked.results
    if not why and (not asked.inclusive or folded):
        why = [
            "offsets and " + ("inclusive=False" if not asked.inclusive else "the fold of a sequence that may be empty")
        ]
    if why:
        raise errors.IdentityError(
            f"{question.where} has no identity, which {' and '.join(why)} may show. Give init=, or Maybe({question.operator.name}), "
            "which adjoins one."
        )


@attrs.frozen(eq=False)
class RaggedScan:
    """A scan of sequences.

    Args:
        problem: What is asked; its layout tells nothing of the axis of sequences.
        captures: The operator.
        leaves: The leaves of the elements, as given.
        start: Those of ``init``, as given, with the axis of sequences where there are several; ``None`` without.
        aligned: Lengths, mask and offsets.
    """

    problem: Problem
    captures: Captures
    leaves: Leaves
    start: Leaves | None
    aligned: Aligned

    def run(self) -> Found:
        """The results and the carry, each where it is wanted, in the dtypes of the plain scan."""
        found = self.by_kernel()
        return self._lifted().run() if found is None else found

    def by_kernel(self) -> Found | None:
        """The same by a kernel that knows lengths and offsets, a mask being a leaf; ``None`` where there is none."""
        masked = self._masked()
        if masked is None:
            return by_kernel(self.problem, self.captures, self.leaves, self.start, self.aligned)
        found = masked[1].by_kernel()
        return None if found is None else masked[0].restored(*found)

    def plan(self) -> Plan:
        """What runs."""
        masked = self._masked()
        kernel = self.kernel_plan() if masked is None else masked[1].kernel_plan()
        if isinstance(kernel, str):
            return self._lifted().plan()
        return kernel

    def kernel_plan(self) -> Plan | str:
        """The plan of that kernel, or why there is none."""
        return kernel_plan(self.problem, self.captures, self.aligned)

    def _lifted(self) -> Lifted:
        return Lifted.of(self.problem, self.captures, self.leaves, self.start, self.aligned)

    def _masked(self) -> tuple[Lifted, RaggedScan] | None:
        """Where there is a mask and more: elements with the flag of the mask alone, and their scan."""
        aligned = self.aligned
        if aligned.mask is None or aligned.bounds is None or not self.problem.layout.length:
            return None
        alone = attrs.evolve(aligned, lengths=None, offsets=None)
        flagged = Lifted.of(self.problem, self.captures, self.leaves, self.start, alone, aligned.offsets is not None)
        asked, captures, elems, axis, init = flagged.operands(self.problem.options)
        lengths = aligned.lengths
        if lengths is not None and aligned.offsets is None:
            lengths = lengths.squeeze(axis)
        return flagged, opened(asked, captures.root, elems, axis, init, (lengths, None, aligned.offsets))
