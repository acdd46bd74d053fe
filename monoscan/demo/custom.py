"""An operator of one's own: the deepest fall from a peak, defined, checked and scanned."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from typing import Any, final

import attrs
import mlx.core as mx
import numpy as np

from monoscan.demo.nile import Series
from monoscan.monoids.base import Monoid
from monoscan.monoids.combinators.flagged import Segmented
from monoscan.scan.api import scan

Fall = tuple[mx.array, mx.array, mx.array]


@final
@attrs.frozen
class Drawdown(Monoid):
    """The deepest fall from a peak to a later trough; elements are ``(low, high, fall)``.

    Example:
        >>> import mlx.core as mx
        >>> import monoscan as ms
        >>> from monoscan.demo.custom import Drawdown
        >>> ms.scan(Drawdown(), Drawdown().embed(mx.array([5.0, 9.0, 2.0, 7.0])))[2]
        array([0, 0, 7, 7], dtype=float32)
    """

    template = ("low", "high", "fall")

    def embed(self, x: mx.array) -> Fall:
        """A value is a trough and a peak at once."""
        return x, x, mx.zeros_like(x)

    def combine(self, left: Fall, right: Fall) -> Fall:
        """The fall may lie on either side, or go from the left's peak to the right's trough."""
        (low_l, high_l, fall_l), (low_r, high_r, fall_r) = left, right
        fall = mx.maximum(mx.maximum(fall_l, fall_r), high_l - low_r)
        return mx.minimum(low_l, low_r), mx.maximum(high_l, high_r), fall

    def identity(self, like: Fall) -> Fall:
        """No peak and no trough, so no fall."""
        low, high, fall = (mx.zeros_like(leaf) for leaf in like)
        return low + mx.inf, high - mx.inf, fall


def source() -> str:
    """The methods that a new operator consists of, as they stand above."""
    return "\n".join(_code(method) for method in (Drawdown.combine, Drawdown.identity))


def _code(method: Callable[..., Any]) -> str:
    lines = [line for line in inspect.getsource(method).splitlines() if '"""' not in line]
    return "\n".join(lines) + "\n"


def laws() -> str:
    """What the laws say of it, or how to have them checked."""
    if importlib.util.find_spec("hypothesis") is None:
        return 'The laws are checked with hypothesis, which is not installed: pip install "monoscan[test]".'
    from monoscan.testing import check_laws  # hypothesis is optional

    return str(check_laws(Drawdown(), dtypes=("float32",), examples=20))


def deepest(years: Series, flows: Series, dam: int) -> tuple[float, float, float, float]:
    """The deepest fall of a series, the year of its trough, and the deepest before and from the year ``dam``."""
    drawdown, x = Drawdown(), mx.array(flows.astype(np.float32))
    falls = np.array(scan(drawdown, drawdown.embed(x))[2])
    apart = Segmented(drawdown)
    starts = mx.array(years == dam)
    separate = np.array(scan(apart, apart.embed(starts, x))[1][2])
    before = separate[years < dam]
    return float(falls[-1]), float(years[np.argmax(falls)]), float(before[-1]), float(separate[-1])
