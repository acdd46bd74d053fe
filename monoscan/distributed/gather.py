"""An all-gather with derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from monoscan.distributed.exchange import Link
from monoscan.distributed.part import Leaves
from monoscan.mapped import listed, tangents_of


def gather(link: Link, what: str, leaves: Sequence[mx.array], values: Leaves | None = None) -> Leaves:
    """The leaves of all ranks; its gradient sums over ranks, by a gather again, so that it has gradients of any order.

    Args:
        link: The ranks.
        what: What is told, the same on every rank.
        leaves: This rank's.
        values: The same once more, to be computed in their place.
    """

    @mx.custom_function
    def forward(*xs: mx.array) -> Leaves:
        return link.swap(values or [mx.stop_gradient(x) for x in xs], what)[0]

    @forward.vjp
    def forward_vjp(primals: Any, cotangents: Any, outputs: Any) -> Leaves:
        return [rows[:, link.rank].sum(axis=0) for rows in gather(link, what, listed(cotangents))]

    @forward.jvp
    def forward_jvp(primals: Any, tangents: Any) -> Leaves:
        return gather(link, what, tangents_of(listed(primals), tangents))

    return listed(forward(*leaves))
