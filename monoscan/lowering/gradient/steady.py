"""Elements that are the same at every step, as captured arrays: the cotangents of those are summed on the way back."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from monoscan.lowering.gradient.ran import Rescan
from monoscan.lowering.plan.aligned import AlignedScan, Arrays, Item
from monoscan.lowering.program.arrays import ArrayProgram
from monoscan.lowering.program.ir import Program
from monoscan.lowering.strategies.slices import Leaves


@attrs.frozen
class Steady:
    """An act some of whose elements have one step, for all.

    Args:
        scan: The act.
        leaves: Which leaves of its elements these are.
    """

    scan: AlignedScan
    leaves: tuple[int, ...]

    @property
    def _order(self) -> list[int]:
        """Elements and captured arrays, those first that have all steps, then the others, then what was captured."""
        program = self.scan.program
        timed = [i for i in range(program.rights) if i not in self.leaves]
        return [*timed, *self.leaves, *range(program.rights, program.rights + len(program.captures))]

    @property
    def held(self) -> AlignedScan:
        """The same act of fewer elements and more captured arrays."""
        scan = self.scan
        begin = None if scan.begin is None else self._moved(scan.begin)
        rolled = None if scan.rolled is None else self._moved(scan.rolled)
        assert not isinstance(rolled, Program), "a program of arrays stays one"
        return attrs.evolve(scan, program=self._moved(scan.program), begin=begin, rolled=rolled, combine=None)

    def _moved(self, program: Program | ArrayProgram) -> Program | ArrayProgram:
        order = [*range(program.arity), *(program.arity + i for i in self._order)]
        return program.reorder(order, program.arity, program.rights - len(self.leaves))

    def arranged(self, arrays: Sequence[Item]) -> list[Item]:
        """The arrays of the act as those of `held`."""
        order = self._order
        return [*(arrays[i] for i in order), *arrays[len(order) :]]

    def named(self, asked: Sequence[int]) -> list[int]:
        """Arrays of the act by their place there."""
        places = {i: place for place, i in enumerate(self._order)}
        return [places.get(i, i) for i in asked]

    def given(self, places: Sequence[int]) -> list[int]:
        """The other way round: arrays of `held` by their place in the act."""
        order = self._order
        return [order[i] for i in places]

    def returned(self, found: Sequence[Item]) -> list[Item]:
        """The arrays of `held` as those of the act."""
        return [found[i] for i in self.named(range(len(found)))]

    def rescan(self, run: Rescan) -> Rescan:
        """What runs `held` again, by what runs the act again."""

        def again(asked: AlignedScan, arrays: Arrays, axis: int, rank: int) -> Leaves:
            act = self.scan
            whole = attrs.evolve(asked, program=act.program, begin=act.begin, rolled=act.rolled, combine=act.combine)
            return list(run(whole, self.returned(arrays), axis, rank))

        return again


def steady(scan: AlignedScan, arrays: Arrays, axis: int) -> Steady | None:
    """The act as one of which some elements are the same at every step; ``None`` where all are given step by step."""
    sizes = [x.shape[axis] for x in scan.unpack(arrays)[0]]
    leaves = tuple(i for i, size in enumerate(sizes) if size == 1 != max(sizes))
    return Steady(scan, leaves) if leaves else None
