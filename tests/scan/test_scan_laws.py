"""The laws of scans, for operators of every kind and every portable strategy."""

from __future__ import annotations

import pytest
from selection import thinned

import monoscan as ms
from monoscan.testing import SCAN_LAWS, check_scan_laws

STRATEGIES = ("blelloch", "hillis_steele", "brent_kung", "sequential")
OPERATORS = [
    (ms.Sum(), "float32"),
    (ms.Sum(), "int8"),
    (ms.Product(), "float32"),
    (ms.Max(), "float16"),
    (ms.Last(), "float32"),
    (ms.ArgMax(), "float32"),
    (ms.All(), "bool"),
    (ms.Moments(2), "float32"),
    (ms.LogSumExp(), "float32"),
    (ms.Affine(), "float32"),
    (ms.Affine(), "bfloat16"),
    (ms.MatMul(), "float32"),
    (ms.Maybe(ms.Last()), "float32"),
    (ms.Dual(ms.Affine()), "float32"),
    (ms.Tuple(ms.Min(), ms.Affine()), "float32"),
]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("monoid", "dtype"), thinned(OPERATORS, OPERATORS[1::4]), ids=lambda value: getattr(value, "name", value)
)
def test_the_laws_of_scans_hold(monoid: ms.Semigroup, dtype: str) -> None:
    """All of them, on every portable strategy."""
    check_scan_laws(monoid, strategies=STRATEGIES, lengths=(6,), dtype=dtype)


@pytest.mark.long
def test_they_hold_for_what_auto_chooses() -> None:
    """Native scans and kernels included, at lengths 1 and odd."""
    for monoid in (ms.Sum(), ms.LogSumExp(), ms.Affine(), ms.Segmented(ms.Sum())):
        check_scan_laws(monoid, strategies=("auto",), lengths=(1, 7))


def test_every_law_has_a_name_of_its_own() -> None:
    """Reports and ids tell them apart."""
    assert len({law.name for law in SCAN_LAWS}) == len(SCAN_LAWS)
