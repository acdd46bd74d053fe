"""Laws of scans: what must hold of a scan with any operator, checked on the arrays it returns.

Two sides of a law may combine the same elements in different orders. They must then agree
to the last bit where the operator is exact, and else within a few times the running error
bound of the fold in order, which grows with the data's own condition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs
import mlx.core as mx
import numpy as np
from hypothesis import strategies as st

from monoscan import dtypes, errors, tree
from monoscan.monoids.base import Element, Semigroup
from monoscan.monoids.combinators.flagged import Segmented
from monoscan.scan.api import fold, scan
from monoscan.testing.arithmetic.machine_levels import BoundedCarrier
from monoscan.testing.arithmetic.subject import Subject, lanes_of, subject_of
from monoscan.testing.laws.report import LawError
from monoscan.testing.search.counterexamples import draw_once
from monoscan.testing.search.elements import Elements, Kind, embedded

if TYPE_CHECKING:
    from monoscan.scan.typed import Strategy

ALLOWANCE = 8.0
"""How many times the bound of the fold in order another order may be off."""

Pair = tuple[Any, Any]


@attrs.frozen
class Scans:
    """An operator's scans with one strategy, and what the laws cut its input with."""

    operator: Semigroup
    strategy: Strategy
    elems: Element
    init: Element
    cut: int
    flags: mx.array

    def scan(self, elems: Element, **options: Any) -> Any:
        """The scan with this strategy."""
        return scan(options.pop("operator", self.operator), elems, strategy=self.strategy, **options)

    def part(self, start: int, stop: int | None) -> Element:
        """A run of the elements."""
        return tree.map_leaves(lambda x: x[start:stop], self.elems)

    @property
    def length(self) -> int:
        """How many elements there are."""
        return len(self.flags)


@attrs.frozen
class ScanLaw:
    """An equation between trees of arrays.

    Args:
        name: What ids and reports call it.
        statement: The equation.
        sides: From the scans to the two sides.
        needs_identity: Whether it is about operators with an identity only.
    """

    name: str
    statement: str
    sides: Callable[[Scans], Pair]
    needs_identity: bool = False
    shifts: bool = False

    def applies(self, scans: Scans) -> bool:
        """Whether it is about these scans."""
        if (self.shifts and scans.operator.restarts) or (self.name == "chaining" and not scans.cut):
            return False
        return scans.operator.has_identity or not self.needs_identity


def _flip(elems: Element) -> Element:
    return tree.map_leaves(lambda x: x[::-1], elems)


def _join(*parts: Element) -> Element:
    return tree.map_leaves(lambda *xs: mx.concatenate(list(xs)), *parts)


def _last(elems: Element) -> Element:
    return tree.map_leaves(lambda x: x[-1], elems)


def _exclusive(s: Scans) -> Pair:
    shifted = s.scan(s.elems, inclusive=False, init=s.init)
    first = tree.map_leaves(lambda x, like: x[None].astype(like.dtype), s.init, shifted)
    whole = s.scan(s.elems, init=s.init)
    return shifted, _join(first, tree.map_leaves(lambda x: x[:-1], whole))


def _from_identity(s: Scans) -> Pair:
    rest = s.scan(s.part(0, -1)) if s.length > 1 else None
    shifted = s.scan(s.elems, inclusive=False)
    return tree.map_leaves(lambda x: x[1:], shifted), rest if rest is not None else s.part(0, 0)


def _chain(s: Scans) -> Pair:
    head, carry = s.scan(s.part(0, s.cut), return_carry=True)
    return _join(head, s.scan(s.part(s.cut, None), init=carry)), s.scan(s.elems)


def _carry(s: Scans) -> Pair:
    _, carry = s.scan(s.elems, return_carry=True)
    total = fold(s.operator, s.elems, strategy=s.strategy)
    return tree.map_leaves(lambda x, like: x.astype(like.dtype)[None], carry, total), tree.map_leaves(
        lambda x: x[None], total
    )


def _segments(s: Scans) -> Pair:
    _, found = s.scan((s.flags, s.elems), operator=Segmented(s.operator))
    heads = [0, *(int(i) for i in np.flatnonzero(np.array(s.flags)) if i), s.length]
    pieces = [s.scan(s.part(start, stop)) for start, stop in pairwise(heads)]
    return found, _join(*pieces)


def _batch(s: Scans) -> Pair:
    other = _flip(s.elems)
    stacked = tree.map_leaves(lambda *xs: mx.stack(list(xs)), s.elems, other)
    both = tree.map_leaves(lambda *xs: mx.stack(list(xs)), s.scan(s.elems), s.scan(other))
    return s.scan(stacked, axis=1), both


SCAN_LAWS = (
    ScanLaw(
        "exclusive-shifts",
        "scan(x, inclusive=False, init=e) == [e] ++ scan(x, init=e)[:-1]",
        _exclusive,
        shifts=True,
    ),
    ScanLaw("exclusive-from-identity", "scan(x, inclusive=False)[1:] == scan(x[:-1])", _from_identity, True, True),
    ScanLaw("chaining", "scan(x ++ y) == scan(x) ++ scan(y, init=carry of x)", _chain),
    ScanLaw("carry-is-fold", "carry of scan(x) == fold(x)", _carry),
    ScanLaw("last-is-fold", "scan(x)[-1] == fold(x)", lambda s: (
        tree.map_leaves(lambda x: x[None], _last(s.scan(s.elems))),
        tree.map_leaves(lambda x: x[None], fold(s.operator, s.elems, strategy=s.strategy)),
    )),
    ScanLaw("reverse", "scan(x, reverse=True) == flip(scan(flip(x)))", lambda s: (
        s.scan(s.elems, reverse=True), _flip(s.scan(_flip(s.elems)))
    )),
    ScanLaw("segmented", "scan(Segmented(m), (flags, x)) == the scans of the segments", _segments),
    ScanLaw("batch-independence", "scan(stack(x, y), axis=1) == stack(scan(x), scan(y))", _batch),
    ScanLaw("strategy-agreement", "scan(x, strategy) == scan(x, 'sequential')", lambda s: (
        s.scan(s.elems), scan(s.operator, s.elems, strategy="sequential")
    )),
)  # fmt: skip
"""The laws of scans."""


def check_scan_laws(
    monoid: Semigroup,
    elements: Elements | None = None,
    *,
    strategies: Sequence[Strategy] = ("auto", "blelloch", "hillis_steele", "brent_kung", "sequential"),
    lengths: Sequence[int] = (1, 2, 5, 8, 13),
    dtype: str = "float32",
    seed: int = 0,
    laws: Sequence[ScanLaw] = SCAN_LAWS,
) -> None:
    """Checks the laws of scans with an operator.

    Args:
        monoid (Semigroup): The operator.
        elements (SearchStrategy, optional): Draws embedded elements. Default: small ones.
        strategies (sequence(str), optional): Which strategies; those that cannot run the
            operator are left out.
        lengths (sequence(int), optional): Of the scans; 1 at the least.
        dtype (str, optional): What raw numbers are drawn in. Default: ``"float32"``.
        seed (int, optional): Decides which elements. Default: ``0``.
        laws (sequence(ScanLaw), optional): Default: all.

    Raises:
        LawError: A law does not hold; the message has the elements.

    Example:
        >>> import monoscan as ms
        >>> from monoscan.testing import check_scan_laws
        >>> check_scan_laws(ms.Affine(), lengths=(5,))
    """
    letters = embedded(monoid, Kind(dtype, tame=True)) if elements is None else elements
    for length in lengths:
        *drawn, init = draw_once(st.lists(letters, min_size=length + 1, max_size=length + 1), seed + length)
        elems = tree.map_leaves(lambda *xs: mx.stack(list(xs)), *drawn)
        subject = subject_of(monoid, dtype, drawn[0])
        init = _as_result(monoid, init)
        flags = mx.array(np.random.default_rng(seed + length).random(length) < 0.3)
        for strategy in _possible(monoid, elems, strategies):
            scans = Scans(monoid, strategy, elems, init, length // 2, flags)
            for law in laws:
                if law.applies(scans):
                    _check(law, scans, subject, drawn)


def _as_result(monoid: Semigroup, element: Element) -> Element:
    """An element with the dtypes of results, as ``init`` must have."""
    leaves, structure = tree.flatten(element)
    names = monoid.promote(tuple(dtypes.name_of(x.dtype) for x in leaves))
    cast = [x.astype(dtypes.by_name(name)) for x, name in zip(leaves, names, strict=True)]
    return tree.unflatten(structure, cast)


def _possible(monoid: Semigroup, elems: Element, strategies: Sequence[Strategy]) -> list[Strategy]:
    """The strategies that can run this operator on these elements."""
    possible = []
    for strategy in strategies:
        try:
            scan(monoid, elems, strategy=strategy)
        except errors.StrategyError:
            continue
        possible.append(strategy)
    return possible


def _check(law: ScanLaw, scans: Scans, subject: Subject, drawn: list[Element]) -> None:
    left, right = (tree.flatten(side)[0] for side in law.sides(scans))
    bound = _bounds(subject, [*drawn, scans.init, *drawn])
    for name, x, y, allowed in zip(subject.names, left, right, bound, strict=True):
        places = _wrong(np.array(x.astype(_readable(x.dtype))), np.array(y.astype(_readable(y.dtype))), allowed)
        if places is not None:
            raise LawError(
                f"[laws] {subject.operator.name} ({subject.dtype}): {law.name} fails with strategy {scans.strategy}, "
                f"length {scans.length}.\n  law    {law.statement}\n"
                f"  x     = {', '.join(subject.show(lanes_of(element)) for element in drawn)}\n"
                f"  differs in: {name} at {places}\n  left  = {x.tolist()}\n  right = {y.tolist()}"
            )


def _readable(dtype: mx.Dtype) -> mx.Dtype:
    return dtypes.by_name(dtypes.accumulation(dtypes.name_of(dtype)))


def _bounds(subject: Subject, sequence: list[Element]) -> list[float]:
    """For each leaf, how far results may be apart: from the running bounds of a fold through all elements."""
    facts = subject.operator.facts(tuple(leaf.dtype for leaf in subject.leaves))
    worst = np.zeros(len(subject.lane_names))
    if facts.associativity == "rounding" and subject.traced.program is not None:
        carrier = BoundedCarrier(subject)
        with carrier.context():
            total = carrier.element((lanes_of(sequence[0]),))
            for element in sequence[1:]:
                total = carrier.combine(total, carrier.element((lanes_of(element),)))
                worst = np.maximum(worst, [float(lane.error) for lane in total])
    by_name = dict.fromkeys(subject.names, 0.0)
    for name, value in zip(subject.lane_names, worst, strict=True):
        by_name[name] = max(by_name[name], ALLOWANCE * float(value))
    return [by_name[name] for name in subject.names]


def _wrong(x: Any, y: Any, allowed: float) -> list[int] | None:
    """Where two arrays are further apart than allowed, or ``None``; NaN equals NaN."""
    if x.shape != y.shape:
        return []
    with np.errstate(all="ignore"):
        wide = np.complex128 if np.iscomplexobj(x) else np.float64
        apart = np.abs(x.astype(wide) - y.astype(wide)) > allowed
    apart &= (x != y) & ~((x != x) & (y != y))
    apart |= (x != x) != (y != y)
    return [int(i) for i in np.argwhere(apart)[0]] if apart.any() else None
