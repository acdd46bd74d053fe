"""What walks back share that make states again: which cotangents they find, and in which order their arrays stand."""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs

from monoscan.lowering.plan.aligned import Arrays, in_groups
from monoscan.lowering.program.ir import Signature


@attrs.frozen
class WalkBack(ABC):
    """A walk back over the steps of a fold.

    Its arrays are the elements, the cotangents of results, captured arrays, the cotangents of the carry (for all live
    leaves), and leaves of the first state. It yields a cotangent for each of `gradients` among the leaves of the elements
    and for each of `captured`, both of the shapes of these arrays, and for the leaves `live` of a first state.

    Args:
        live: The leaves of the state whose cotangents are not zero throughout.
        gradients: The leaves of the elements that get a cotangent.
        captured: The captured arrays that get one.
        weights: The leaves of which results have cotangents.
        stored: The dtype of each leaf of the elements.
    """

    live: tuple[int, ...]
    gradients: tuple[int, ...]
    captured: tuple[int, ...]
    weights: tuple[int, ...]
    stored: tuple[str, ...]

    @property
    @abstractmethod
    def program(self) -> Signature:
        """The step."""

    def unpack(self, arrays: Arrays) -> list[Arrays]:
        """The elements, the cotangents of results, captured arrays, those of the carry, and the first state."""
        sizes = (self.program.rights, len(self.weights), len(self.program.captures), len(self.live))
        return in_groups(arrays, sizes)

    @property
    def likes(self) -> list[int]:
        """For each cotangent of an element or a captured array the array whose shape it has."""
        behind = len(self.stored) + len(self.weights)
        return [*self.gradients, *(behind + i for i in self.captured)]
