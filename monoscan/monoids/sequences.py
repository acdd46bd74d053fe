"""Texts and automata: finite maps, brackets."""

from __future__ import annotations

from typing import final

import attrs
import mlx.core as mx

from monoscan import dtypes as names
from monoscan import errors
from monoscan.monoids import domain
from monoscan.monoids.action import Action
from monoscan.monoids.base import Monoid
from monoscan.monoids.facts import Facts

Pair = tuple[mx.array, mx.array]


def _positive(operator: FiniteMap, field: attrs.Attribute[int], k: int) -> None:
    if type(k) is not int or k < 1:
        raise errors.ScanError(f"[FiniteMap] k must be a positive number of states; got {k!r}.")


@final
@attrs.frozen
class FiniteMap(Monoid):
    """Composition of maps of ``k`` states to themselves: a finite automaton, in parallel.

    Elements are integer vectors ``f`` of length ``k`` (event 1) with entries from 0 to k - 1;
    ``combine`` follows the left map first: ``f_r[f_l]``. Identity (0, 1, ..., k - 1). An entry
    outside counts from the end if it is negative, and is clamped.

    Source: Ladner and Fischer, *Parallel prefix computation* (1980), section 3; Hillis and
    Steele, *Data parallel algorithms* (1986).

    Args:
        k (int): The number of states.

    Raises:
        ScanError: ``k`` is not positive.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> parity = ms.FiniteMap(2)
        >>> table = mx.array([[0, 1], [1, 0]])  # the bit 0 keeps the state, the bit 1 changes it
        >>> parity.project(ms.scan(parity, parity.embed(mx.array([1, 0, 1, 1]), table)))
        array([1, 1, 0, 1], dtype=int32)
    """

    k: int = attrs.field(converter=domain.whole, validator=_positive)

    template = "f"
    event = 1

    @property
    def name(self) -> str:
        return f"FiniteMap({self.k})"

    def embed(self, symbols: mx.array, table: mx.array | None = None) -> mx.array:
        """The map of each symbol: row ``symbol`` of a table of ``k`` columns; without one, the maps themselves.

        A symbol that has no row counts from the end if it is negative, and is clamped.

        Raises:
            TreeError: An input is no array.
            ScanTypeError: Symbols of a table are no integers.
            ScanError: The maps have another length than ``k``.
        """
        symbols = domain.given(f"{self.name}.embed", "symbols", symbols)
        table = None if table is None else domain.given(f"{self.name}.embed", "table", table)
        if table is not None and names.name_of(symbols.dtype) not in names.INTEGERS:
            got = names.name_of(symbols.dtype)
            raise errors.ScanTypeError(
                f"[{self.name}.embed] symbols must be integers, the rows of the table; got {got}. Cast them with .astype."
            )
        maps = symbols if table is None else mx.take(table, domain.places(symbols, len(table)), axis=0)
        self._expect_states(maps)
        return maps

    def project(self, element: mx.array, start: int = 0) -> mx.array:
        """The state that is reached from ``start``.

        Raises:
            TreeError: ``element`` is no map.
            ScanError: There is no such state.
        """
        if domain.whole(start) not in range(self.k):
            raise errors.ScanError(f"[{self.name}] start must be a state, from 0 to {self.k - 1}; got {start!r:.60}.")
        maps = domain.element(self, element)
        self._expect_states(maps)
        return maps[..., start]

    def combine(self, left: mx.array, right: mx.array) -> mx.array:
        self._expect_states(left)
        return mx.take_along_axis(right, domain.places(left, self.k), axis=-1)

    def identity(self, like: mx.array) -> mx.array:
        return mx.broadcast_to(mx.arange(self.k, dtype=like.dtype), like.shape)

    @property
    def right(self) -> Action:
        """On the numbers of states: ``f[s]``, begun by ``f[0]``."""
        return Action(self._followed, lambda maps: maps[..., 0], template="s")

    def _followed(self, start: mx.array, maps: mx.array) -> mx.array:
        self._expect_states(maps)
        return mx.take_along_axis(maps, domain.places(start, self.k)[..., None], axis=-1)[..., 0]

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.INTEGERS, "a state is a whole number")
        if not names.holds(dtypes[0], self.k - 1):
            raise errors.ScanTypeError(
                f"[{self.name}] names states up to {self.k - 1}; leaf f is {dtypes[0]}, which ends at "
                f"{names.highest(dtypes[0])}. Cast it first, as in f.astype(mx.int32)."
            )

    def _expect_states(self, maps: mx.array) -> None:
        if not maps.ndim or maps.shape[-1] != self.k:
            raise errors.ScanError(f"[{self.name}] maps must have the shape (..., {self.k}); got {tuple(maps.shape)}.")


@final
@attrs.frozen
class Bracket(Monoid):
    """Matching of brackets: how many are left open, and how many close what was not open.

    Elements are pairs ``(closes, opens)`` of counts that are not negative; with ``m =
    min(opens_l, closes_r)``, ``combine`` is ``(closes_l + closes_r - m, opens_l + opens_r -
    m)``. Identity (0, 0).

    Source: the bicyclic monoid; Levien, *Rope science* part 4 (2016).

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> bracket, text = ms.Bracket(), mx.array([1, 1, -1, 0, -1, -1])  # "(()x))"
        >>> ms.scan(bracket, bracket.embed(text))
        (array([0, 0, 0, 0, 0, 1], dtype=int32), array([1, 2, 1, 1, 0, 0], dtype=int32))
    """

    template = ("closes", "opens")

    def embed(self, x: mx.array) -> Pair:
        """Positive numbers open, negative ones close, 0 does neither.

        Raises:
            TreeError: ``x`` is no array.
        """
        x = domain.real("Bracket.embed", "x", x)
        return (x < 0).astype(mx.int32), (x > 0).astype(mx.int32)

    def project(self, element: Pair) -> mx.array:
        """Whether all brackets are matched."""
        closes, opens = domain.element(self, element)
        return mx.logical_and(closes == 0, opens == 0)

    def combine(self, left: Pair, right: Pair) -> Pair:
        (closes_l, opens_l), (closes_r, opens_r) = left, right
        matched = mx.minimum(opens_l, closes_r)
        return closes_l + (closes_r - matched), (opens_l - matched) + opens_r

    def identity(self, like: Pair) -> Pair:
        return mx.zeros_like(like[0]), mx.zeros_like(like[1])

    @property
    def right(self) -> Action:
        """On depths, which are not negative: those of open brackets alone. Begun by ``opens``."""
        return Action(_deeper, lambda element: element[1], template="depth")

    def check(self, dtypes: tuple[str, ...]) -> None:
        domain.require(self, dtypes, names.INTEGERS, "brackets are counted")

    def facts(self, dtypes: tuple[str, ...]) -> Facts:
        return Facts(associativity="exact")


def _deeper(depth: mx.array, element: Pair) -> mx.array:
    closes, opens = element
    return (depth - mx.minimum(depth, closes)) + opens
