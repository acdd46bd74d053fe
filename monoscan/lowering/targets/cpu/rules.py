"""How gradients and tangents pass through a kernel: by way of the portable strategy.

The bridge hands over aligned arrays, in the order elements, captures, inits; under
``mx.vmap`` they have more batch axes than the plan knew.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import mlx.core as mx

from monoscan import dtypes
from monoscan.lowering.problem import Problem
from monoscan.lowering.strategies.combine import by_lanes, join_lanes, split_lanes
from monoscan.lowering.strategies.slices import Leaves, flip
from monoscan.lowering.targets.cpu.groups import Group
from monoscan.lowering.targets.graph import run_strategy


@attrs.frozen
class Rules:
    """What MLX asks of a primitive, for one launch."""

    problem: Problem
    group: Group
    want_carry: bool

    def vjp(
        self,
        primals: Sequence[mx.array],
        cotangents: Sequence[mx.array],
        argnums: Sequence[int],
        outputs: Sequence[mx.array],
        *,
        axis: int,
        rank: int,
    ) -> list[mx.array]:
        """The cotangents of the inputs that are asked for."""

        def function(*chosen: mx.array) -> list[mx.array]:
            arrays = list(primals)
            for i, array in zip(argnums, chosen, strict=True):
                arrays[i] = array
            return self.portable(arrays, axis, rank)

        _, gradients = mx.vjp(function, [primals[i] for i in argnums], list(cotangents))
        return list(gradients)

    def jvp(
        self, primals: Sequence[mx.array], tangents: Sequence[mx.array], argnums: Sequence[int], *, axis: int, rank: int
    ) -> list[mx.array]:
        """The tangents of the outputs."""

        def function(*chosen: mx.array) -> list[mx.array]:
            arrays = list(primals)
            for i, array in zip(argnums, chosen, strict=True):
                arrays[i] = array
            return self.portable(arrays, axis, rank)

        _, results = mx.jvp(function, [primals[i] for i in argnums], list(tangents))
        return list(results)

    def portable(self, arrays: Sequence[mx.array], axis: int, rank: int) -> list[mx.array]:
        """The kernel's outputs and carries, by array operations."""
        spec, options = self.group.spec, self.problem.options
        arity, captured = spec.combine.arity, len(spec.combine.captures)
        lead = tuple(mx.broadcast_shapes(*(a.shape[:rank] for a in arrays)))
        first_lead = (*lead[:axis], 1, *lead[axis + 1 :])
        xs = self._states(arrays[:arity], lead)
        init = arrays[arity + captured :]
        first = self._states(init, first_lead) if init else self._identity(first_lead)
        events = [leaf.shape for leaf in spec.state]
        constants = [lane for c in arrays[arity : arity + captured] for lane in _lanes(c, rank)]
        if options.reverse:
            xs = flip(xs, axis)
        start = None if first is None else split_lanes(first, events)
        strategy = "sequential" if options.strategy == "sequential" else "brent_kung"
        ys, carry = run_strategy(
            options, strategy, by_lanes(spec.combine, constants), split_lanes(xs, events), start, bool(init), axis
        )
        carries = [c.squeeze(axis) for c in join_lanes(carry, events)] if self.want_carry else []
        if not options.results:
            return carries
        wanted = [join_lanes(ys, events)[i] for i in spec.emit]
        results = flip(wanted, axis) if options.reverse else wanted
        return [y.astype(dtypes.by_name(name)) for y, name in zip(results, spec.results, strict=True)] + carries

    def _states(self, arrays: Sequence[mx.array], lead: tuple[int, ...]) -> Leaves:
        pairs = zip(arrays, self.group.spec.state, strict=True)
        return [mx.broadcast_to(x.astype(dtypes.by_name(s.dtype)), (*lead, *s.shape)) for x, s in pairs]

    def _identity(self, lead: tuple[int, ...]) -> Leaves | None:
        constants = self.group.spec.identity
        if constants is None:
            return None
        leaves, start = [], 0
        for state in self.group.spec.state:
            values = mx.array(list(constants[start : start + state.lanes]), dtypes.by_name(state.dtype))
            leaves.append(mx.broadcast_to(values.reshape(state.shape), (*lead, *state.shape)))
            start += state.lanes
        return leaves


def _lanes(captured: mx.array, rank: int) -> Leaves:
    flat = captured.reshape(*captured.shape[:rank], -1)
    return [flat[..., i] for i in range(flat.shape[-1])]
