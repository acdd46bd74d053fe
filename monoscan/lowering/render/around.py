"""What a kernel along rows does besides a scan: it makes elements of what is read, and results of states."""

from __future__ import annotations

from functools import cached_property

import attrs

from monoscan.lowering.program.ir import Leaf, Program


@attrs.frozen(cache_hash=True)
class Around:
    """What stands in front of the elements of a scan and behind its states, at each position by itself.

    Args:
        prepare: From what is read to the leaves of an element that partial folds hold.
        present: From the states that are held, and from what is read, to what is written; None of a fold.
        last: Where products of elements are held, and no states: from the product of all and what is captured to the last
            states. The first one, if it is given, is captured behind all else.
    """

    prepare: Program
    present: Program | None
    last: Program | None = None

    @property
    def programs(self) -> tuple[Program, ...]:
        """Both, where there are both."""
        return (self.prepare,) if self.present is None else (self.prepare, self.present)

    @property
    def outputs(self) -> tuple[Leaf, ...]:
        """The leaves that are written."""
        return () if self.present is None else self.present.outputs

    @cached_property
    def read(self) -> tuple[int, ...]:
        """The leaves that are read."""
        reads = (right for program in self.programs for _, right in program.reads)
        return tuple(sorted(frozenset[int]().union(*reads)))
