"""Unlawful operators and wrong strategies must be caught: a check that lets one through fails here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx
import pytest
from laws_support import UNLAWFUL, WRONG_STRATEGIES, swapped_operands

import monoscan as ms
from monoscan import tree
from monoscan.testing import LawError, OrderError, check_laws, check_orders, check_scan_laws

NAMES = list(UNLAWFUL)


@pytest.mark.parametrize("name", NAMES)
def test_an_unlawful_operator_is_caught(name: str) -> None:
    """By the law that it breaks, with a counterexample."""
    make, dtype, laws = UNLAWFUL[name]
    with pytest.raises(LawError) as caught:
        check_laws(make(), dtypes=(dtype,), examples=60)
    message = str(caught.value)
    assert any(f"{law} fails" in message for law in laws.split("|")), message
    assert "left " in message
    assert "Hint:" in message


def test_there_are_enough_of_them() -> None:
    """The promise of the documentation."""
    assert len(UNLAWFUL) >= 8
    assert len(WRONG_STRATEGIES) >= 4


@pytest.mark.parametrize("name", list(WRONG_STRATEGIES))
def test_a_wrong_strategy_is_caught(name: str) -> None:
    """By the order witness."""
    run, strict = WRONG_STRATEGIES[name]
    with pytest.raises(OrderError, match="position"):
        check_orders(run, range(1, 34), strict=strict)


def test_padding_is_seen_only_by_the_strict_witness() -> None:
    """A combined identity keeps the order, and still turns inf into NaN: hence the strict one."""
    run, _ = WRONG_STRATEGIES["identity-padded"]
    check_orders(run, range(1, 10))


def test_sum_would_accept_swapped_operands() -> None:
    """Why there is a witness: a commutative operator tells nothing about order."""
    x = mx.array([1.0, 2.0, 4.0])
    options = {"reverse": False, "inclusive": True, "init": None, "return_carry": True}
    assert swapped_operands(ms.Sum(), x, **options)[0].tolist() == [1.0, 3.0, 7.0]


def _broken(scan: Callable[..., Any], how: str, *args: Any, **options: Any) -> Any:
    """A scan with one sentence of the contract broken."""
    if how == "init-ignored":
        options["init"] = None
    if how == "reverse-without-flip-back" and options.get("reverse"):
        return tree.map_leaves(lambda x: x[::-1], scan(*args, **options))
    if how == "carry-is-first" and options.get("return_carry"):
        result, _ = scan(*args, **options)
        return result, tree.map_leaves(lambda x: x[0], result)
    return scan(*args, **options)


@pytest.mark.parametrize("how", ["init-ignored", "reverse-without-flip-back", "carry-is-first"])
def test_a_scan_that_breaks_its_contract_is_caught(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the laws of scans."""
    monkeypatch.setattr("monoscan.testing.laws.scans.scan", partial(_broken, ms.scan, how))
    with pytest.raises(LawError, match="fails with strategy"):
        check_scan_laws(ms.Affine(), strategies=("blelloch",), lengths=(5,))
