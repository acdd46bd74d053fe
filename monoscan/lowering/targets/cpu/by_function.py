"""The derivatives of a launch by those of a function of its arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import mlx.core as mx

from monoscan.lowering.plan.aligned import Arrays
from monoscan.lowering.strategies.slices import Leaves
from monoscan.mapped import pulled, pushed


@attrs.frozen
class FunctionRules:
    """What MLX asks of a launch, by differentiating array operations that compute the same.

    Args:
        function: These, of the arrays, the scan axis and the number of batch axes.
    """

    function: Callable[[Arrays, int, int], Leaves]

    def vjp(
        self, primals: Arrays, cotangents: Arrays, argnums: Sequence[int], outputs: Arrays, *, axis: int, rank: int
    ) -> Leaves:
        """The cotangents of the inputs that are asked for."""
        return pulled(self._placed(axis, rank), primals, argnums, cotangents)

    def jvp(self, primals: Arrays, tangents: Arrays, argnums: Sequence[int], *, axis: int, rank: int) -> Leaves:
        """The tangents of the outputs."""
        return pushed(self._placed(axis, rank), primals, argnums, tangents)

    def _placed(self, axis: int, rank: int) -> Callable[..., Leaves]:
        def run(*arrays: mx.array) -> Leaves:
            return self.function(arrays, axis, rank)

        return run
