"""Which cases of a test run by default, and which with ``--all`` alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def thinned(cases: Iterable[Any], quick: Collection[Any]) -> list[Any]:
    """The cases; those that are not among the quick ones are marked as long. A tuple is a case of several arguments.

    Args:
        cases: All of them.
        quick: Those that run by default.
    """
    cases = list(cases)
    assert cases
    assert all(case in cases for case in quick), "a quick case that is none of the cases"
    return [case if case in quick else _long(case) for case in cases]


def _long(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.long)
