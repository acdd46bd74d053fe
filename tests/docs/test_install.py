"""What the README promises of the set-up: two lines, and one sentence where no backend is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)


def test_the_readme_has_the_two_lines() -> None:
    lines = re.findall(r"^pip install -e .*$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert lines == ['pip install -e ".[cpu]" && monoscan demo', 'pip install -e ".[cpu,test]" && pytest']


def test_without_a_backend_one_sentence_names_the_extras() -> None:
    done = run("import sys; sys.modules['mlx.core'] = None; import monoscan")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: monoscan needs an MLX backend, and none is installed: ")
    assert "monoscan[cpu]" in last
    assert "monoscan[cuda]" in last


def test_importing_monoscan_imports_no_test_library() -> None:
    done = run("import sys, monoscan; print(*sorted(sys.modules))")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "monoscan.scan.api" in loaded
    assert not loaded & {"hypothesis", "pytest", "monoscan.testing", "matplotlib", "statsmodels", "pandas", "nanobind"}
