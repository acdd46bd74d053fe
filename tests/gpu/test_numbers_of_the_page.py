"""The numbers that ``docs/gpu.md`` gives of its tests."""

from __future__ import annotations

import json
from pathlib import Path

import test_faults
import test_finite
import test_in_order
import test_kernel_gradients
import test_products_of_passes
from cases import CASES, DERIVED
from test_cuda import AGGREGATED, TABLE

from benchmarks.gpu.cases import checked
from benchmarks.gpu.sweep import forms, kernel_of, swept

PAGE = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
WORDS = {9: "nine", 19: "nineteen", 63: "Sixty-three"}


def test_what_the_page_counts() -> None:
    planted = [
        test_faults.MISTAKES,
        test_finite.MISTAKES,
        test_in_order.FAULTS,
        test_kernel_gradients.MISTAKES,
        test_products_of_passes.MISTAKES,
    ]
    assert f"{WORDS[sum(map(len, planted))]} mistakes that were planted" in PAGE
    assert f"{WORDS[len(CASES) + len(AGGREGATED)]} scans, acts, loops and aggregators" in PAGE
    assert f"gradients and tangents of {WORDS[len(DERIVED)]} of them" in PAGE
    assert f"about {round(len(checked()), -1)} scans" in PAGE
    kernels = [kernel_of(case) for case in swept()]
    assert f"some {round(sum(len(forms(k.spec, k.shape)) for k in kernels), -1)} other forms" in PAGE


def test_the_most_registers() -> None:
    tables = json.loads(TABLE.read_text())
    most = max(each[0] for table in tables.values() for launches in table.values() for each in launches)
    assert f"what registers they take: {most} at most" in PAGE
