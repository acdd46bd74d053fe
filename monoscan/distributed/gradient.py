"""One call as one function with derivatives of its own: MLX's gather gives a rank no more than its own cotangent.

The gradient is that of the sum of the ranks' losses. Each rank gets that of its own elements whole; of ``init`` and of
captured arrays, which all ranks hold, it gets its share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx

from monoscan import errors
from monoscan.distributed.exchange import Link
from monoscan.distributed.part import Leaves, Part
from monoscan.lowering.trace.reads.captures import Captures, capture
from monoscan.mapped import listed


@attrs.frozen
class Sizes:
    """How many arrays of each kind there are."""

    leaves: int
    start: int
    totals: int


@attrs.define(eq=False)
class Ranks:
    """Who holds what, known once ranks have told one another: those that hold something, in the order of ranks."""

    holding: tuple[int, ...] = ()
    before: tuple[int, ...] = ()


@attrs.frozen(eq=False)
class Call:
    """A call on the ranks of a link; its pieces are functions of flat lists of arrays, as ``mx.vjp`` takes them."""

    part: Part
    link: Link
    carrying: bool
    ranks: Ranks = attrs.field(factory=Ranks)

    @property
    def sizes(self) -> Sizes:
        """How many arrays of each kind there are."""
        return Sizes(len(self.part.leaves), len(self.part.start or ()), len(self.part.problem.accumulators))

    def totals(self, leaves: Leaves, captures: Captures) -> Leaves:
        """The totals of all ranks; afterwards it is known who holds what."""
        part, rank = self.part, self.link.rank
        try:
            own = part.total(leaves, captures)
        except Exception as error:
            self.link.report(error)
            raise
        gathered, lengths = self.link.swap(own, part.said(), part.length)
        self.ranks.holding = tuple(i for i, length in enumerate(lengths) if length)
        after = part.asked.reverse
        self.ranks.before = tuple(i for i in self.ranks.holding if (i > rank if after else i < rank))
        return gathered

    def captured(self, arrays: Sequence[mx.array]) -> Captures:
        """The operator with these arrays."""
        captures = self.part.captures
        return capture(captures.rebuild(arrays), self.part.asked.call) if arrays else captures

    def prefix(self, totals: Leaves, start: Leaves, arrays: Leaves) -> Leaves:
        """What comes before this rank; nothing where there is nothing."""
        return self.part.before(totals, self.ranks.before, start or None, self.captured(arrays)) or []

    def carry(self, totals: Leaves, start: Leaves, arrays: Leaves) -> Leaves:
        """What comes after all ranks, where it is wanted."""
        if not self.carrying:
            return []
        return self.part.before(totals, self.ranks.holding, start or None, self.captured(arrays)) or []

    def results(self, leaves: Leaves, prefix: Leaves, arrays: Leaves) -> Leaves:
        """The results of this rank."""
        if not self.part.asked.results:
            return []
        return self.part.results(leaves, prefix or None, self.captured(arrays))


def run(call: Call) -> tuple[Leaves, Leaves]:
    """The results of this rank, and the carry, with their derivatives."""
    part, sizes = call.part, call.sizes
    number = len(part.wanted)

    @mx.custom_function
    def forward(*inputs: mx.array) -> Leaves:
        leaves, start, arrays = _cut([mx.stop_gradient(x) for x in inputs], sizes.leaves, sizes.start)
        totals = call.totals(leaves, call.captured(arrays))
        results = call.results(leaves, call.prefix(totals, start, arrays), arrays)
        return [*results, *call.carry(totals, start, arrays), *totals]

    @forward.vjp
    def forward_vjp(primals: Any, cotangents: Any, outputs: Any) -> Leaves:
        return _pull(call, listed(primals), listed(cotangents), listed(outputs)[-sizes.totals :])

    @forward.jvp
    def forward_jvp(primals: Any, tangents: Any) -> Leaves:
        raise errors.DistributedError(f"[{part.asked.call}] has gradients (mx.grad, mx.vjp) and no mx.jvp.")

    @forward.vmap
    def forward_vmap(inputs: Any, axes: Any) -> tuple[Leaves, list[int]]:
        raise errors.DistributedError(f"[{part.asked.call}] cannot be mapped by mx.vmap: give it batch axes.")

    found = listed(forward(*part.leaves, *(part.start or ()), *map(mx.array, part.captures.arrays)))
    return found[:number], found[number : -sizes.totals]


def _pull(call: Call, primals: Leaves, cotangents: Leaves, totals: Leaves) -> Leaves:
    """The gradient of every input, from cotangents of results, carry and gathered totals."""
    sizes = call.sizes
    leaves, start, arrays = _cut(primals, sizes.leaves, sizes.start)
    try:
        d_leaves, d_arrays, d_totals, d_start = _own(call, leaves, start, arrays, totals, cotangents)
    except Exception as error:
        call.link.report(error)
        raise
    own = [rows[:, call.link.rank].sum(axis=0) for rows in gather(call, d_totals)]
    if call.part.length:
        again = _vjp(lambda xs, kept: call.part.total(xs, call.captured(kept)), (leaves, arrays), own)
        d_leaves, d_arrays = _sum(d_leaves, again[0]), _sum(d_arrays, again[1])
    else:  # so that the second derivative's gather is asked for here too
        nothing = sum((x.sum() for x in own), mx.array(0.0))
        d_leaves = [x + nothing.astype(x.dtype) for x in d_leaves]
    return [*d_leaves, *d_start, *d_arrays]


def _own(
    call: Call, leaves: Leaves, start: Leaves, arrays: Leaves, totals: Leaves, cotangents: Leaves
) -> tuple[Leaves, Leaves, Leaves, Leaves]:
    """What this rank's losses give to its leaves directly, to captured arrays, to all totals, and to the start."""
    number, last = len(call.part.wanted), call.sizes.totals
    ahead = call.prefix(totals, start, arrays)
    d_leaves, d_ahead, d_arrays = _vjp(call.results, (leaves, ahead, arrays), cotangents[:number])

    def joined(*given: Leaves) -> Leaves:
        return call.prefix(*given) + call.carry(*given)

    pulled = _vjp(joined, (totals, start, arrays), d_ahead + cotangents[number:-last])
    d_totals = _sum(pulled[0], cotangents[-last:])  # the last ones of a second derivative, which reads the totals
    return d_leaves, _sum(d_arrays, pulled[2]), d_totals, pulled[1]


def gather(call: Call, leaves: Sequence[mx.array]) -> Leaves:
    """The leaves of all ranks; its gradient sums over ranks, by a gather again, so that it has gradients of any order."""

    @mx.custom_function
    def forward(*xs: mx.array) -> Leaves:
        return call.link.swap([mx.stop_gradient(x) for x in xs], "gradient of " + call.part.said())[0]

    @forward.vjp
    def forward_vjp(primals: Any, cotangents: Any, outputs: Any) -> Leaves:
        return [rows[:, call.link.rank].sum(axis=0) for rows in gather(call, listed(cotangents))]

    return listed(forward(*leaves))


def _vjp(function: Callable[..., Leaves], given: tuple[Leaves, ...], cotangents: Leaves) -> tuple[Leaves, ...]:
    """The cotangents of lists of arrays; zeros where the function gives nothing."""
    flat, counts = [x for each in given for x in each], [len(each) for each in given]
    if not cotangents or not flat:
        return tuple([mx.zeros_like(x) for x in each] for each in given)
    found = mx.vjp(lambda *xs: function(*_cut(list(xs), *counts[:-1])), flat, cotangents)[1]
    return _cut(list(found), *counts[:-1])


def _cut(arrays: Leaves, *counts: int) -> tuple[Leaves, ...]:
    """Lists of these lengths, and the rest."""
    found, at = [], 0
    for count in counts:
        found.append(arrays[at : at + count])
        at += count
    return (*found, arrays[at:])


def _sum(xs: Leaves, ys: Leaves) -> Leaves:
    return [x + y for x, y in zip(xs, ys, strict=True)]
