"""The example of mlx-lm, with and without mlx-lm."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "accelerate_mlx_lm.py"


def test_the_example_prints_both_times_or_says_what_to_install(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    if importlib.util.find_spec("mlx_lm") is None:
        assert printed == 'mlx-lm is not installed: pip install "monoscan[mlx-lm]"\n'
    else:
        assert printed.count("times as fast") == 10
