"""Imports go one way: between the layers of the package, and between any two of its files."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import monoscan

ROOT = Path(monoscan.__file__).parent
FILES = {".".join(("monoscan", *path.relative_to(ROOT).with_suffix("").parts)): path for path in ROOT.rglob("*.py")}
NAMES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}
LAYERS = {"monoids": 0, "lowering": 1, "scan": 2, "testing": 3, "cli": 4, "demo": 4}


def imported(path: Path) -> set[str]:
    """The files of the package that a file imports, for types alone or within functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("monoscan"):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if name in NAMES else str(node.module) for name in whole)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name in NAMES)
    return found


GRAPH = {name: imported(path) - {name} for name, path in NAMES.items()}


def test_no_file_imports_itself_by_way_of_others() -> None:
    with_rooms = {name: files for name, files in GRAPH.items() if name != "monoscan"}
    TopologicalSorter(with_rooms).prepare()


def test_a_circle_would_be_found() -> None:
    with pytest.raises(CycleError):
        TopologicalSorter(GRAPH | {"monoscan.tree": {"monoscan.lowering.planner"}}).prepare()


def layer(name: str) -> int | None:
    """How high the layer of a file is; none for what all of them use."""
    return LAYERS.get(name.split(".")[1]) if "." in name else None


def test_layers_import_what_is_below_them() -> None:
    wrong = []
    for name, files in GRAPH.items():
        own = layer(name)
        wrong += [(name, other) for other in files if own is not None and (layer(other) or 0) > own]
    assert not wrong


def test_importing_the_package_loads_nothing_that_few_need() -> None:
    """GPUs, pictures, the command line and what tests use are loaded where they are asked for."""
    told = subprocess.run(
        [sys.executable, "-c", "import sys, monoscan; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    rare = ("gpu", "gpu_spec", "metal", "cuda", "pictures", "cli", "demo", "testing", "hypothesis", "matplotlib", "jax")
    loaded = [name for name in told.stdout.split() if not name.startswith("mlx.")]
    assert "monoscan.lowering.targets.cpu.target" in loaded
    assert not [name for name in loaded if set(name.split(".")) & set(rare)]
