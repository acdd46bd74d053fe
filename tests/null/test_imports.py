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
LAYERS = {
    "monoids": 0,
    "lowering": 1,
    "scan": 2,
    "testing": 3,
    "cli": 4,
    "demo": 4,
    "__main__": 5,
    "nn": 3,
    "rl": 3,
    "hmm": 3,
    "kalman": 3,
    "signal": 3,
    "linalg": 3,
    "integrations": 3,
}


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


RARE = {"gpu", "gpu_spec", "metal", "cuda", "pictures", "cli", "demo", "testing", "hypothesis", "matplotlib", "jax"}
CALLED = {"lowering", "numpy", "subprocess", "ctypes"}
"""What a call needs, and naming operators does not."""


def ran(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def loaded_by(code: str) -> set[str]:
    """The parts of the names of all modules that are loaded after it."""
    told = ran(f"import sys\n{code}\nprint(*sys.modules)").split()
    return {part for name in told if not name.startswith("mlx.") for part in name.split(".")}


def test_importing_the_package_loads_what_names_operators_and_no_more() -> None:
    """Planner, kernels and NumPy come with the first call: they are three quarters of the time."""
    loaded = loaded_by("import monoscan")
    assert "monoids" in loaded
    assert not loaded & (RARE | CALLED)


def test_operators_are_made_without_the_planner() -> None:
    made = "monoscan as ms; ms.Tuple(ms.Sum(), ms.FiniteMap(3), ms.Moments(2), ms.monoid(max)); ms.SemiringMatMul(ms.Log())"
    assert not loaded_by(f"import {made}") & (RARE | CALLED)


def test_a_call_loads_nothing_that_few_need() -> None:
    """GPUs, pictures, the command line and what tests use are loaded where they are asked for."""
    loaded = loaded_by("import monoscan as ms, mlx.core as mx; mx.eval(ms.scan(ms.Sum(), mx.ones((3,))))")
    assert loaded >= CALLED - {"ctypes"}
    assert not loaded & RARE


def test_the_type_of_plans_is_there_by_name() -> None:
    assert ran("import monoscan; print(monoscan.Plan.__module__)") == "monoscan.lowering.plan.plan\n"
    assert ran("from monoscan import Plan; print(Plan.__name__)") == "Plan\n"
    with pytest.raises(AttributeError, match="no attribute 'Plam'"):
        monoscan.Plam


FIRST_CALLS = """
import threading
import mlx.core as mx, monoscan as ms

ready, found = threading.Barrier(6), []
calls = [
    lambda: ms.explain(ms.Sum(), mx.ones((4,))).strategy,
    lambda: ms.scan(ms.Sum(), mx.ones((4,))).tolist()[-1],
    lambda: ms.fold(ms.Sum(), mx.ones((4,))).item(),
    lambda: ms.act(ms.Sum(), mx.ones((4,))).tolist()[-1],
    lambda: ms.associative_scan(mx.add, mx.ones((4,))).tolist()[-1],
    lambda: ms.Plan.__name__,
]

def first(call):
    ready.wait()
    found.append(call())

threads = [threading.Thread(target=first, args=(call,)) for call in calls]
for each in threads: each.start()
for each in threads: each.join()
print(*sorted(map(str, found)))
"""


def test_first_calls_may_come_from_many_threads_at_once() -> None:
    assert ran(FIRST_CALLS).split() == ["4.0", "4.0", "4.0", "4.0", "Plan", "native"]


def test_no_two_files_of_tests_have_one_name() -> None:
    """Python would load one of them in the place of the other."""
    names = [path.name for path in Path(__file__).parents[1].rglob("*.py") if path.name != "conftest.py"]
    assert sorted(set(names)) == sorted(names)
