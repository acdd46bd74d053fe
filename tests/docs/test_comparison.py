"""The tables of other libraries' names: what stands under `here` exists, with the arguments that are shown."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
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
