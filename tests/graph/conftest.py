"""What needs only MLX's graph: a test here that compiles a kernel belongs elsewhere."""

from __future__ import annotations

from typing import NoReturn

import pytest

from monoscan.lowering.targets.cpu import backward, kernels


@pytest.fixture(autouse=True)
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str) -> NoReturn:
        raise AssertionError("a kernel is compiled in tests/graph")

    monkeypatch.setattr(kernels, "compile_kernel", refuse)
    monkeypatch.setattr(backward, "compile_kernel", refuse)
