"""One call as one function with derivatives of its own: MLX's gather gives a rank no more than its own cotangent.

The gradient is that of the sum of the ranks' losses. Each rank gets that of its own elements whole; of ``init`` and of
captured arrays, which all ranks hold, it gets its share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx

from monoscan import errors
from monoscan.distributed.gather import gather
from monoscan.distributed.lists import added, nothing, parted, pulled, pushed
from monoscan.distributed.part import Leaves
from monoscan.distributed.running import Call
from monoscan.mapped import listed, tangents_of


def run(call: Call) -> tuple[Leaves, Leaves]:
    """The results of this rank, and the carry, with their derivatives."""
    part = call.part
    function = _in_order(call) if part.is_relayed(call.link.size) else _by_totals(call)
    found = listed(function(*part.leaves, *(part.start or ()), *map(mx.array, part.captures.arrays)))
    number = len(part.wanted)
    return found[:number], found[number : len(found) - call.ranks.known]


def _in_order(call: Call) -> Callable[..., Any]:
    """States from rank to rank, where their products cost more than ranks gain; derivatives are those by totals."""
    sizes = call.sizes

    @mx.custom_function
    def forward(*inputs: mx.array) -> Leaves:
        leaves, start, arrays = parted([mx.stop_gradient(x) for x in inputs], sizes.leaves, sizes.start)
        call.meet(call.link.swap([], call.part.said(), call.part.length)[1])
        results, carry, _ = call.relay.forward(leaves, start, call.captured(arrays))
        call.ranks.known = 0
        return results + carry

    def by_totals(number: int) -> Callable[..., Any]:
        function = _by_totals(call)
        return lambda *inputs: listed(function(*inputs))[:number]

    @forward.vjp
    def forward_vjp(primals: Any, cotangents: Any, outputs: Any) -> Leaves:
        given, inputs = listed(cotangents), listed(primals)
        inputs[0] = inputs[0] + nothing(listed(outputs)[:1]).astype(inputs[0].dtype)  # the same order on every rank
        return list(mx.vjp(by_totals(len(given)), inputs, given)[1])

    @forward.jvp
    def forward_jvp(primals: Any, tangents: Any) -> Leaves:
        given = listed(primals)
        number = len(call.part.wanted) + len(call.part.last) * call.carrying
        return list(mx.jvp(by_totals(number), given, tangents_of(given, tangents))[1])

    return _unmapped(forward, call)


def _unmapped(function: mx.custom_function, call: Call) -> Callable[..., Any]:
    """The function, which refuses ``mx.vmap``."""

    @function.vmap
    def refuse(inputs: Any, axes: Any) -> tuple[Leaves, list[int]]:
        raise errors.DistributedError(f"[{call.link.call}] cannot be mapped by mx.vmap: give it batch axes.")

    made: Callable[..., Any] = function
    return made


def _by_totals(call: Call) -> Callable[..., Any]:
    """All ranks at once, each from the totals of those before it; in order where a total is not finite."""
    sizes, ranks = call.sizes, call.ranks

    @mx.custom_function
    def forward(*inputs: mx.array) -> Leaves:
        leaves, start, arrays = parted([mx.stop_gradient(x) for x in inputs], sizes.leaves, sizes.start)
        captures = call.captured(arrays)
        known = call.totals(leaves, captures)
        ranks.in_order = call.are_broken(known)
        if ranks.in_order:
            results, carry, known = call.relay.forward(leaves, start, captures)
        else:
            results = call.results(leaves, call.prefix(known, start, arrays), arrays)
            carry = call.carry(known, start, arrays)
        ranks.known = len(known)
        return [*results, *carry, *known]

    @forward.vjp
    def forward_vjp(primals: Any, cotangents: Any, outputs: Any) -> Leaves:
        found = listed(outputs)
        pull = _pull_in_order if ranks.in_order else _pull
        return pull(call, listed(primals), listed(cotangents), found[len(found) - ranks.known :])

    @forward.jvp
    def forward_jvp(primals: Any, tangents: Any) -> Leaves:
        given = listed(primals)
        return (_push_in_order if ranks.in_order else _push)(call, given, tangents_of(given, tangents))

    return _unmapped(forward, call)


def _push(call: Call, primals: Leaves, tangents: Leaves) -> Leaves:
    """The tangents of results, carry and gathered totals."""
    sizes = call.sizes
    leaves, start, arrays = parted(primals, sizes.leaves, sizes.start)
    d_leaves, d_start, d_arrays = parted(tangents, sizes.leaves, sizes.start)

    def own() -> tuple[Leaves, Leaves]:
        total = call.part.total
        return pushed(lambda xs, kept: total(xs, call.captured(kept)), (leaves, arrays), (d_leaves, d_arrays))

    with call.link.telling():
        (kept, d_kept), (sent, d_sent) = own(), own()  # what is computed here loses its derivatives: twice, to keep one
    hung = [x + nothing(primals).astype(x.dtype) for x in kept + d_kept]  # on all ranks, so that all or none pull back
    gathered = gather(call.link, call.said, hung, sent + d_sent)
    totals, d_totals = parted(gathered, len(kept))
    given, moved = (totals, start, arrays), (d_totals, d_start, d_arrays)
    ahead, d_ahead = pushed(call.prefix, given, moved)
    d_results = pushed(call.results, (leaves, ahead, arrays), (d_leaves, d_ahead, d_arrays))[1]
    moved_on = [*d_results, *pushed(call.carry, given, moved)[1]]
    return [*(x + nothing(gathered).astype(x.dtype) for x in moved_on), *d_totals]


def _push_in_order(call: Call, primals: Leaves, tangents: Leaves) -> Leaves:
    """The tangents of results, carry and the state before this rank, each rank's from those of the one before it."""
    sizes, number = call.sizes, len(call.part.wanted)
    leaves, start, arrays = parted(primals, sizes.leaves, sizes.start)
    d_leaves, d_start, d_arrays = parted(tangents, sizes.leaves, sizes.start)

    def push(state: Leaves, moved: Leaves) -> tuple[Leaves, Leaves]:
        with call.link.telling():
            found, d_found = pushed(call.walked, (leaves, state, arrays), (d_leaves, moved, d_arrays))
        return d_found[:number], found[number:] + d_found[number:]

    mine, carry, ahead, sent = call.relay.tangents(push, start, d_start, primals)
    if mine is None:
        mine = [mx.zeros_like(x) for x in call.results(leaves, start, arrays)]
    zero = nothing(sent)  # what was sent has lost its derivatives: further ones are refused
    return [x + zero.astype(x.dtype) for x in mine + carry + ahead]


def _pull_in_order(call: Call, primals: Leaves, cotangents: Leaves, ahead: Leaves) -> Leaves:
    """The gradient of every input, from rank to rank: each waits for the cotangent of its last state."""
    sizes, number = call.sizes, len(call.part.wanted)
    leaves, start, arrays = parted(primals, sizes.leaves, sizes.start)
    ends = cotangents[number : len(cotangents) - len(ahead)]

    def pull(last: Leaves) -> tuple[Leaves, ...]:
        with call.link.telling():
            return pulled(call.walked, (leaves, ahead, arrays), cotangents[:number] + last)

    mine, sent = call.relay.backward(pull, ends, primals)
    d_start = [mx.zeros_like(x) for x in start]
    if mine is None:  # zeros that hang on what was sent, so that further derivatives are refused here too
        return [mx.zeros_like(x) + nothing(sent).astype(x.dtype) for x in primals]
    return [*mine[0], *(mine[1] if call.link.rank == call.relay.holding[0] else d_start), *mine[2]]


def _pull(call: Call, primals: Leaves, cotangents: Leaves, totals: Leaves) -> Leaves:
    """The gradient of every input, from cotangents of results, carry and gathered totals."""
    sizes = call.sizes
    leaves, start, arrays = parted(primals, sizes.leaves, sizes.start)
    with call.link.telling():
        d_leaves, d_arrays, d_totals, d_start = _own(call, leaves, start, arrays, totals, cotangents)
    own = [rows[:, call.link.rank].sum(axis=0) for rows in gather(call.link, call.said, d_totals)]
    if call.part.length:
        again = pulled(lambda xs, kept: call.part.total(xs, call.captured(kept)), (leaves, arrays), own)
        d_leaves, d_arrays = added(d_leaves, again[0]), added(d_arrays, again[1])
    else:  # so that the second derivative's gather is asked for here too
        d_leaves = [x + nothing(own).astype(x.dtype) for x in d_leaves]
    return [*d_leaves, *d_start, *d_arrays]


def _own(
    call: Call, leaves: Leaves, start: Leaves, arrays: Leaves, totals: Leaves, cotangents: Leaves
) -> tuple[Leaves, Leaves, Leaves, Leaves]:
    """What this rank's losses give to its leaves directly, to captured arrays, to all totals, and to the start."""
    number, last = len(call.part.wanted), call.sizes.totals
    ahead = call.prefix(totals, start, arrays)
    d_leaves, d_ahead, d_arrays = pulled(call.results, (leaves, ahead, arrays), cotangents[:number])

    def joined(*given: Leaves) -> Leaves:
        return call.prefix(*given) + call.carry(*given)

    back = pulled(joined, (totals, start, arrays), d_ahead + cotangents[number:-last])
    d_totals = added(back[0], cotangents[-last:])  # the last ones of a second derivative, which reads the totals
    return d_leaves, added(d_arrays, back[2]), d_totals, back[1]
