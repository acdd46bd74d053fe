"""A scan whose answer is known, and compilers that are broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

import monoscan as ms
from monoscan.lowering.targets.cpu import compiler

A = np.array([0.5, 2.0, -1.0, 0.25, 3.0, 1.5, -0.5], np.float32)


B = np.array([1.0, -2.0, 0.5, 4.0, 1.0, 0.25, 2.0], np.float32)


FULL = "echo 'fatal error: No space left on device' >&2; exit 1"


def states(a: Any = A, b: Any = B) -> list[float]:
    """The fold in order."""
    h, found = 0.0, []
    for gate, x in zip(a, b, strict=True):
        h = float(gate) * h + float(x)
        found.append(h)
    return found


def gradient() -> list[float]:
    """Of the sum of all states, for the inputs: how much of each is left in those that follow."""
    g, found = 0.0, []
    for t in reversed(range(len(A))):
        g = 1 + (float(A[t + 1]) * g if t + 1 < len(A) else 0.0)
        found.append(g)
    return found[::-1]


def scan() -> mx.array:
    return ms.scan(ms.Affine(), (mx.array(A), mx.array(B)))[1]


def explained(**options: Any) -> Any:
    return ms.explain(ms.Affine(), (mx.array(A), mx.array(B)), **options)


def broken(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> Path:
    """A program in place of the compiler."""
    program = folder.parent / "c++"
    program.write_text(f"#!/bin/sh\necho run >> {program}.log\n{script}\n")
    program.chmod(0o755)
    compiler._search.cache_clear()
    monkeypatch.setenv("CXX", str(program))
    return program


def runs(program: Path) -> int:
    return len(Path(f"{program}.log").read_text().splitlines())
