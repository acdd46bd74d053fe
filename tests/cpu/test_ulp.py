"""The vector functions keep the promises of docs/accuracy.md."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from monoscan.lowering.program.ir import Op

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import ulp_sweep  # noqa: E402


@pytest.mark.parametrize("op", list(ulp_sweep.ORACLES), ids=lambda op: op.value)
@pytest.mark.parametrize("flush", [True, False], ids=["flushed", "kept"])
def test_short_sweep(op: Op, flush: bool) -> None:
    result = ulp_sweep.sweep(op, 40_009, flush)
    assert result.ulps <= ulp_sweep.BOUNDS[op], f"{op.value}({result.at!r}) errs by {result.ulps} ulp"


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no extended precision to compare with")
@pytest.mark.parametrize("op", list(ulp_sweep.DOUBLES), ids=lambda op: op.value)
def test_doubles_keep_the_same_promises(op: Op) -> None:
    result = ulp_sweep.sweep_doubles(op, 20_000)
    assert result.ulps <= ulp_sweep.BOUNDS[op], f"{op.value}({result.at!r}) errs by {result.ulps} ulp"


def test_the_documentation_states_the_bounds() -> None:
    text = (ROOT / "docs" / "accuracy.md").read_text()
    for op, bound in ulp_sweep.BOUNDS.items():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{op.value}`"))
        assert line.endswith(f"| {bound} |")
