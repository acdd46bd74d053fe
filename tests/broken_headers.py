"""Deliberately wrong kernels: built from headers in which one thing is changed."""

from __future__ import annotations

import pytest

from monoscan.lowering.render import headers


def break_header(name: str, honest: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes a header for the rest of a test; what keeps kernels in memory must forget them."""
    text = headers.header(name)
    if honest not in text:
        raise LookupError(f"{name} has no {honest!r}: the mutant is out of date")
    changed = text.replace(honest, wrong)
    plain = headers.header
    monkeypatch.setattr(headers, "header", lambda asked: changed if asked == name else plain(asked))
