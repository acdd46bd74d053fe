"""Where sequences begin and end, as far as plans know: which arrays say it, and of what shapes."""

from __future__ import annotations

import attrs

from monoscan.lowering.program.ir import Shape


@attrs.frozen
class Bounds:
    """The shapes of ``lengths`` and ``offsets``, whose values no plan knows.

    A mask is a leaf of the elements. Both arrays are int32, of any values. Offsets are read as their running maximum,
    clipped to the length of the scan axis; lengths clipped to the size of their sequence, or to that of the scan axis where
    there are no offsets.

    Args:
        sequences: How many sequences the scan axis holds, one fewer than there are offsets; ``None`` without offsets. The
            first state, the carry and the folds then have an axis of this size in the place of the scan axis.
        lengths: The shape of the lengths, aligned: batch axes of full size or 1, and in the place of the scan axis 1, or
            with offsets the number of sequences or 1; ``None`` without lengths.
    """

    sequences: int | None = None
    lengths: Shape | None = None

    def apart(self, lead: Shape) -> bool:
        """Whether what lies side by side, along the last axis of these that has more than 1, may end apart."""
        last = next((i for i in reversed(range(len(lead))) if lead[i] != 1), 0)
        return self.lengths is not None and self.lengths[last] != 1
