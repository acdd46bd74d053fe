"""The tables of other libraries' names: what stands under `here` exists, with the arguments that are shown."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan import hmm, kalman, linalg, nn, rl, signal

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"
MODULES = {"ms": ms, "mx": mx, "signal": signal, "linalg": linalg, "rl": rl, "hmm": hmm, "kalman": kalman, "nn": nn}


def here(page: str) -> Iterator[str]:
    """The code in the second column of each table."""
    for row in re.findall(r"^\|(?!---| there )(.*)\|$", page, re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", row.split(" | ")[1])


CODE = sorted(set(here(PAGE.read_text(encoding="utf-8"))))


def names_of(code: str) -> list[tuple[ast.expr, Any]]:
    """Names of modules of monoscan in an expression, with what they stand for."""
    found = []
    for node in ast.walk(ast.parse(code, mode="eval")):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in MODULES:
            found.append((node, getattr(MODULES[node.value.id], node.attr)))
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "ms.aggregators":
            found.append((node, getattr(ms.aggregators, node.attr)))
    return found


def check(code: str) -> None:
    """Names exist, and each call of monoscan's takes the arguments that it is shown with.

    Raises:
        AttributeError: There is no such name.
        TypeError: A call does not take these arguments.
    """
    assert names_of(code), "a name of monoscan or of MLX, with its module"
    for call in ast.walk(ast.parse(code, mode="eval")):
        if not isinstance(call, ast.Call) or ast.unparse(call.func).startswith("mx."):
            continue
        callee = eval(ast.unparse(call.func), dict(MODULES))  # of this repository's own page
        inspect.signature(callee).bind(*call.args, **{str(k.arg): k.value for k in call.keywords})


@pytest.mark.parametrize("code", [c for c in CODE if "." in c or "(" in c])
def test_what_stands_under_here_exists(code: str) -> None:
    check(code)


def test_words_alone_are_arguments_of_the_calls() -> None:
    options = set(inspect.signature(ms.scan).parameters) | set(inspect.signature(ms.linear_recurrence).parameters)
    assert {c for c in CODE if "." not in c and "(" not in c} <= options


@pytest.mark.parametrize("code", ["ms.scam(x)", "ms.scan(ms.Sum(), x, offset=o)", "signal.sosfilt(sos)"])
def test_wrong_rows_are_caught(code: str) -> None:
    with pytest.raises((AttributeError, TypeError)):
        check(code)


def test_gaps_and_windows_differ_as_the_page_says() -> None:
    pd, ndimage = pytest.importorskip("pandas"), pytest.importorskip("scipy.ndimage")
    x = np.array([1.0, 2.0, np.nan, 4.0])
    series, seen = pd.Series(x), ~np.isnan(x)
    skipped = np.array(ms.scan(ms.Sum(), x, mask=seen))
    np.testing.assert_array_equal(skipped[seen], series.cumsum()[seen])
    assert np.isnan(series.cumsum()[2])
    assert skipped[2] == skipped[1]
    assert np.isnan(np.array(ms.scan(ms.Sum(), x))[2:]).all()

    y = np.array([1.0, 5.0, 2.0, 3.0, 0.0, 4.0])
    trailing = np.array(ms.window(ms.Max(), y, 3))
    np.testing.assert_array_equal(trailing[2:], ndimage.maximum_filter1d(y, 3)[1:-1])
    np.testing.assert_array_equal(trailing, pd.Series(y).rolling(3, min_periods=1).max())


def test_groups_are_offsets_as_the_page_says() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"key": [0, 0, 0, 1, 1, 2], "x": [1, 2, 3, 4, 5, 6]})
    totals = ms.scan(ms.Sum(), mx.array(frame.x.to_numpy()), offsets=mx.array([0, 3, 5, 6]))
    assert totals.tolist() == frame.groupby("key").x.cumsum().tolist()
    assert ms.fold(ms.Sum(), mx.array([1, 2, 3]), offsets=mx.array([0, 2, 2, 3])).tolist() == [3, 0, 3]
