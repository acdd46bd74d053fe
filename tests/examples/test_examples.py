"""Every example runs, checks itself, and prints what the documentation shows."""

from __future__ import annotations

import doctest
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from selection import thinned

import monoscan as ms
from monoscan import tree

ROOT = Path(__file__).parents[2]
APART = {"train_language_model", "accelerate_mlx_lm"}
"""They have tests of their own."""
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem not in APART)
PAGE = ROOT / "docs" / "examples.md"


@pytest.fixture(scope="module")
def model() -> ModuleType:
    module = ModuleType("train_language_model")
    module.__dict__.update(runpy.run_path(str(ROOT / "examples" / "train_language_model.py")))
    return module


@pytest.fixture(scope="module")
def text(model: ModuleType) -> tuple[np.ndarray, int]:
    characters = model.TEXT.read_text()
    letters = sorted(set(characters))
    return np.array([letters.index(c) for c in characters]), len(letters)


@pytest.mark.parametrize("example", thinned(EXAMPLES, EXAMPLES[:2]), ids=lambda path: path.stem)
def test_example(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(example), run_name="__main__")
    printed = capsys.readouterr().out
    shown = _shown(example.name)
    checker = doctest.OutputChecker()
    assert checker.check_output(shown, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), printed
    assert max(map(len, printed.splitlines())) <= 120


def _shown(name: str) -> str:
    """What the page says that an example prints: the block of text after the one titled like it."""
    block = re.search(rf'title="{re.escape(name)}".*?```text\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert block is not None, f"docs/examples.md does not show {name}"
    return block[1].replace("…", "...")  # what the page leaves out


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short(example: Path) -> None:
    assert 30 <= len(example.read_text().splitlines()) <= 90


def test_the_checks_of_examples_are_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a scan that is wrong in its last place, every example that looks at it fails."""
    right = ms.scan

    def wrong(*arguments: object, **options: object) -> object:
        return tree.map_leaves(lambda x: x[::-1], right(*arguments, **options))

    monkeypatch.setattr(ms, "scan", wrong)
    for name in ("brackets", "automata", "segmented_totals", "waiting_times", "ranges"):
        with pytest.raises(AssertionError):
            runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")


def test_the_language_model_learns_and_the_loop_agrees(
    model: ModuleType, text: tuple[np.ndarray, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    globals_ = model.training.__globals__
    for name, value in {"BATCH": 2, "LENGTH": 32, "WIDTH": 16}.items():
        monkeypatch.setitem(globals_, name, value)
    by_scan, by_loop, ratio = model.race(*text, 12)
    np.testing.assert_allclose(by_scan, by_loop, rtol=1e-5)
    assert np.mean(by_scan[-3:]) < by_scan[0] - 0.1
    assert ratio > 0


def test_the_language_model_from_a_shell(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "train_language_model.py"), "--help"]
    assert "--steps" in subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
