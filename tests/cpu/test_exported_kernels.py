"""Kernels in functions that are exported."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest

import monoscan as ms

pytestmark = pytest.mark.usefixtures("kernels_are_built")


def test_outside_of_exporting_mlx_says_how_a_kernel_is_exported(tmp_path: Path) -> None:
    a = mx.ones((4,))
    with pytest.raises(
        ValueError, match=r"Unable to serialize primitive monoscan\(export_it_within_ms.exporting\(\)\)"
    ):
        mx.export_function(str(tmp_path / "function.mlxfn"), lambda a: ms.linear_recurrence(a, a), a)
