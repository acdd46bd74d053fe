"""Split sequences with lengths, gaps and boundaries: what comes before this rank is told sequence by sequence.

``lengths`` and ``offsets`` are those of the whole and the same on every rank, ``mask`` is that of a rank's part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import mlx.core as mx
import numpy as np

from monoscan import dtypes, errors, tree
from monoscan.distributed.exchange import Link
from monoscan.distributed.gather import gather
from monoscan.distributed.lists import nothing
from monoscan.distributed.part import Leaves, Part, part_of
from monoscan.held import to_mlx
from monoscan.lowering.plan.options import Options
from monoscan.monoids.base import Semigroup
from monoscan.monoids.logic import Any as ms_any
from monoscan.scan import api, api_states, call
from monoscan.scan.ragged import scans
from monoscan.scan.ragged.given import given as checked
from monoscan.tree import Tree

Bounds = dict[str, Any]
"""Lengths, mask and offsets, those that are given."""
Raw = tuple[Any, Any, Any]
"""The three as the caller gives them."""


@attrs.frozen(eq=False)
class Split:
    """A call on sequences that ranks share.

    Args:
        link: The ranks.
        part: This rank's elements.
        bounds: Lengths, mask and offsets of this rank's part.
    """

    link: Link
    part: Part
    bounds: Bounds

    @property
    def axis(self) -> int:
        """The scan axis, from the front."""
        return self.part.whole.axis

    @property
    def operator(self) -> Semigroup:
        """The operator."""
        operator: Semigroup = self.part.captures.root
        return operator

    @property
    def elems(self) -> Tree:
        """This rank's elements."""
        return tree.unflatten(self.part.problem.structure, self.part.leaves)

    @property
    def options(self) -> dict[str, Any]:
        """The options of every call on this rank."""
        return {"reverse": self.part.asked.reverse, "strategy": self.part.asked.strategy}

    @property
    def before(self) -> list[int]:
        """The ranks that come before this one in fold order."""
        rank, size = self.link.rank, self.link.size
        return list(range(rank + 1, size) if self.part.asked.reverse else range(rank))

    def told(self) -> Told:
        """The totals of all ranks."""
        with self.link.telling():
            total, held = self._total()
        part = self.part
        hung = nothing([*part.leaves, *map(mx.array, part.captures.arrays)])  # of a rank without elements too
        told = [x if x.dtype == mx.bool_ else x + hung.astype(x.dtype) for x in (*total, held.astype(mx.float32))]
        rows = gather(self.link, f"totals of {part.said()}", told)
        *totals, holding = [mx.moveaxis(x, 0, self.axis) for x in rows]
        return Told(tree.unflatten(part.problem.structure, totals), holding > 0, nothing(rows[-1:]))

    def _total(self) -> tuple[Leaves, mx.array]:
        """The folds of this rank's elements, in the dtypes that they add up in, and whether it holds any."""
        layout = self.part.whole
        lead = layout.with_length(tuple(mx.broadcast_shapes(*layout.batch, ())), layout.length)
        held = api.fold(ms_any(), mx.broadcast_to(mx.array(True), lead), self.axis, **self.bounds)
        return exact_fold(self.operator, self.elems, self.axis, None, self.bounds, **self.options), held


@attrs.frozen(eq=False)
class Told:
    """What ranks have told one another, along the scan axis.

    Args:
        totals: The totals, as elements.
        holding: Whether a rank holds a valid element of a sequence.
        zero: A zero that hangs on all of it: every rank's results do, so that all or none pull back.
    """

    totals: Tree
    holding: mx.array
    zero: mx.array

    def of(self, ranks: Sequence[int], axis: int) -> tuple[Tree, mx.array]:
        """Those of some ranks."""
        index = mx.array(sorted(ranks), mx.int32)
        return tree.map_leaves(lambda x: mx.take(x, index, axis), self.totals), mx.take(self.holding, index, axis)

    def hung(self, found: Tree) -> Tree:
        """Results that hang on it."""
        return tree.map_leaves(lambda x: x if x.dtype == mx.bool_ else x + self.zero.astype(x.dtype), found)


def exact_fold(
    operator: Semigroup, elems: Tree, axis: int, init: Tree | None, bounds: Bounds, *, reverse: bool, strategy: str
) -> Leaves:
    """A fold in the dtypes that elements add up in."""
    asked = call.options("fold", reverse=reverse, results=False, strategy=strategy)
    raw = (bounds.get("lengths"), bounds.get("mask"), bounds.get("offsets"))
    return [x for x in scans.opened(asked, operator, elems, axis, init, raw).run()[1] if x is not None]


Asked = Callable[[], Options]
Given = Callable[[], tuple[Any, Tree]]
"""The operator and this rank's elements."""


def fold(link: Link, asked: Asked, given: Given, axis: Any, init: Tree | None, raw: Raw) -> Tree:
    """The fold of the whole, on every rank, rounded as results are."""
    split, init = split_of(link, asked, given, axis, raw, init)
    leaves, structure = tree.flatten(_scan(split, init)[1])
    rows = zip(leaves, split.part.problem.results, strict=True)
    return tree.unflatten(structure, [x.astype(dtypes.by_name(name)) for x, name in rows])


def scan(link: Link, asked: Asked, given: Given, axis: Any, init: Tree | None, raw: Raw) -> tuple[Any, Any]:
    """The results of this rank, and the carry, each where it is wanted."""
    return _scan(*split_of(link, asked, given, axis, raw, init))


def _scan(split: Split, init: Tree | None) -> tuple[Tree | None, Tree | None]:
    part, told, axis = split.part, split.told(), split.axis
    structure, asked = part.problem.structure, part.asked

    def behind(ranks: Sequence[int]) -> Tree | None:
        if not ranks:
            return init
        totals, holding = told.of(ranks, axis)
        return tree.unflatten(
            structure, exact_fold(split.operator, totals, axis, init, {"mask": holding}, **split.options)
        )

    results = carry = None
    if asked.results:
        results = told.hung(
            api.scan(
                split.operator, split.elems, axis, init=behind(split.before), inclusive=asked.inclusive, **split.options,
                **split.bounds,
            )
        )  # fmt: skip
    if asked.return_carry or not asked.results:
        carry = told.hung(behind(range(split.link.size)))
    return results, carry


def act(link: Link, asked: Asked, given: Given, axis: Any, state: Tree | None, raw: Raw) -> tuple[Tree, Tree | None]:
    """The states of this rank, and the last ones where they are wanted."""
    split, state = split_of(link, asked, given, axis, raw, state, needed=True)
    return _act(split, state)


def _act(split: Split, state: Tree) -> tuple[Tree, Tree | None]:
    told, axis, asked = split.told(), split.axis, split.part.asked

    def behind(ranks: Sequence[int]) -> Tree:
        if not ranks:
            return state
        totals, holding = told.of(ranks, axis)
        return api_states.act(split.operator, totals, state, axis, mask=holding, return_carry=True, **split.options)[1]

    states = api_states.act(
        split.operator,
        split.elems,
        behind(split.before),
        axis,
        inclusive=asked.inclusive,
        **split.options,
        **split.bounds,
    )
    return told.hung(states), told.hung(behind(range(split.link.size))) if asked.return_carry else None


def split_of(
    link: Link, asked: Asked, given: Given, axis: Any, raw: Raw, first: Tree | None, needed: bool = False
) -> tuple[Split, Tree]:
    """Checks what this rank is given, and learns what the others hold.

    Args:
        link: The ranks.
        asked: The options.
        given: The operator and the elements.
        axis: The scan axis.
        raw: Lengths, mask and offsets.
        first: ``init``, or a state.
        needed: There has to be one.
    """
    with link.telling():
        operator, elems = given()
        part = part_of(asked(), operator, elems, axis, None, False)
        where = f"[{link.call}] {operator.name}"
        if not operator.has_identity:
            raise errors.IdentityError(
                f"{where} has no identity, and a rank may hold nothing of a sequence. Take ms.Maybe({operator.name}), which adjoins "
                "one."
            )
        if needed and first is None:
            raise errors.ScanError(f"{where} with lengths, mask or offsets needs a state to start from; give one.")
        found = checked(where, *raw)
        first = tree.map_leaves(lambda x: _exact(to_mlx(f"{where} start", x)), first)
        pairs = (("lengths", found.lengths), ("offsets", found.offsets))
        known = {name: np.array(x) for name, x in pairs if x is not None}
    values = hashlib.sha256(b"".join(x.tobytes() for x in known.values())).hexdigest()[:8]
    shapes = ", ".join(f"{name} {list(x.shape)}" for name, x in known.items())
    steps = link.swap(
        [], f"{part.said()}, from {tree.describe(first)}, with {shapes or 'a mask'} (values {values})", part.length
    )[1]
    bounds = local_bounds(known, sum(steps[: link.rank]), part.length, sum(steps), part.whole.axis)
    if found.mask is not None:
        bounds["mask"] = found.mask
    return Split(link, part, bounds), first


def _exact(x: Any) -> Any:
    """Halves in the dtype in which they add up."""
    return x.astype(dtypes.by_name(dtypes.accumulation(dtypes.name_of(x.dtype)))) if isinstance(x, mx.array) else x


def local_bounds(known: dict[str, np.ndarray[Any, Any]], start: int, length: int, size: int, axis: int) -> Bounds:
    """What lengths and offsets of a whole are to a part of it.

    Args:
        known: The lengths and the offsets of the whole, as they are given.
        start: Where the part starts.
        length: How long it is.
        size: How long the whole is.
        axis: The scan axis, where lengths have that of sequences.
    """
    bounds: Bounds = {}
    gone: Any = start
    most: Any = size
    if "offsets" in known:
        cuts = np.clip(np.maximum.accumulate(known["offsets"].astype(np.int64)), 0, size)
        bounds["offsets"] = mx.array(np.clip(cuts - start, 0, length).astype(np.int32))
        most = cuts[1:] - cuts[:-1]
        gone = np.clip(start - cuts[:-1], 0, most)
    if "lengths" in known:
        lengths = known["lengths"].astype(np.int64)
        if "offsets" in known:
            lengths = lengths.reshape(lengths.shape + (1,) * (axis + 1 - lengths.ndim))
            shape = (len(most),) + (1,) * (lengths.ndim - axis - 1)
            most, gone = most.reshape(shape), gone.reshape(shape)
        left = np.clip(lengths, 0, most) - gone
        bounds["lengths"] = mx.array(np.clip(left, 0, length).astype(np.int32))
    return bounds
