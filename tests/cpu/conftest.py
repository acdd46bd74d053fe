"""A process that remembers no failure and has an empty cache."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from monoscan.cache import Cache
from monoscan.lowering.plan.loops import Candidates
from monoscan.lowering.render.scan_spec import Loop
from monoscan.lowering.targets.cpu import backward, build, kernels, target
from monoscan.lowering.targets.failures import FAILURES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache for kernels, under a bridge that is loaded; nothing is known, in memory either, and nothing was said."""
    build.attempt()  # from the cache of all tests
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("MONOSCAN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(FAILURES, "_reasons", {})
    monkeypatch.setattr(FAILURES, "_said", set())
    monkeypatch.setattr(kernels, "COMPILED", Cache(64))
    monkeypatch.setattr(target, "COMPILED", Cache(64))
    monkeypatch.setattr(backward, "COMPILED", Cache(64))
    kernels._check.cache_clear()
    FAILURES.generation += 1  # plans are made anew, here and in the tests that follow
    yield tmp_path / "cache"
    FAILURES.generation += 1


@pytest.fixture
def kernels_are_built() -> Iterator[None]:
    """Where none is, scans run by array operations, and nothing else would tell."""
    before = FAILURES.generation
    yield
    assert FAILURES.generation == before


@pytest.fixture
def batch_lanes(monkeypatch: pytest.MonkeyPatch, kernels_are_built: None) -> None:
    """Vectors hold elements of many rows, whatever the estimates; plans are kept by shape, so no other test has these."""

    def first(found: Candidates, *_: object) -> int:
        return next(n for n, kernel in enumerate(found.kernels) if kernel.loop is Loop.BATCH)

    monkeypatch.setattr(Candidates, "fastest", first)
    monkeypatch.setattr(backward, "fastest_loop", lambda *_: Loop.BATCH)
