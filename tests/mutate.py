"""Which small faults the tests do not notice: each is put into a copy of the project, and the tests run.

    python tests/mutate.py monoscan/lowering/planner.py --tests tests/null/test_planner.py

prints every fault that survives, with its line, and how many were caught. A survivor is a
missing test or a change that means the same; it takes a person to say which.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import attrs

ROOT = Path(__file__).resolve().parents[1]
SECONDS, BYTES = 300, 8 << 30
"""What one run of the tests may take; one that takes more counts as caught."""

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
}  # fmt: skip


@attrs.frozen
class Mutant:
    """One fault.

    Args:
        line: Where it is.
        what: The change, in words.
        text: The whole module with it.
    """

    line: int
    what: str
    text: str


def mutants(text: str) -> Iterator[Mutant]:
    """Every fault of one module, one at a time; annotations and docstrings are left alone."""
    tree = ast.parse(text)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.AST)]
    skipped = _skipped(tree)
    for number, node in enumerate(nodes):
        if id(node) in skipped:
            continue
        for variant in range(_variants(node)):
            changed = copy.deepcopy(tree)
            twin = [each for each in ast.walk(changed) if isinstance(each, ast.AST)][number]
            what = _change(twin, variant)
            yield Mutant(getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(changed)))


def _skipped(tree: ast.Module) -> set[int]:
    """Nodes whose change no run could show: annotations, docstrings, type checking, whether ``zip`` is strict."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        hidden: list[ast.AST | None] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            hidden.append(node.annotation)
        if isinstance(node, ast.FunctionDef):
            hidden.append(node.returns)
        if isinstance(node, ast.keyword) and node.arg == "strict":
            hidden.append(node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            hidden.append(node)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            hidden.append(node)
        for root in hidden:
            skipped |= {id(each) for each in ast.walk(root)} if root is not None else set()
    return skipped


def _variants(node: ast.AST) -> int:
    if isinstance(node, ast.Compare):
        return len(node.ops)
    if isinstance(node, ast.BoolOp | ast.BinOp):
        return int(type(node.op) in SWAPPED)
    if isinstance(node, ast.Constant):
        return int(isinstance(node.value, bool | int))
    if isinstance(node, ast.UnaryOp):
        return int(isinstance(node.op, ast.Not))
    return int(isinstance(node, ast.If | ast.IfExp | ast.Raise) or _is_call(node))


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _change(node: ast.AST, variant: int) -> str:
    """Changes a node in its place; what was changed, in words."""
    before = ast.unparse(node).splitlines()[0][:80]
    if isinstance(node, ast.Compare):
        node.ops[variant] = SWAPPED[type(node.ops[variant])]()  # type: ignore[call-overload]
    elif isinstance(node, ast.BoolOp | ast.BinOp):
        node.op = SWAPPED[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else int(node.value) + 1  # type: ignore[arg-type]
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd()
        node.operand = ast.Call(ast.Name("bool", ast.Load()), [node.operand], [])
    elif isinstance(node, ast.If | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Raise):
        node.exc, node.cause = ast.parse("SystemError('removed')", mode="eval").body, None
    elif isinstance(node, ast.Expr):
        node.value = ast.Constant(None)
        return f"{before} -> nothing"
    return f"{before} -> {ast.unparse(node).splitlines()[0][:80]}"


def _bounded() -> None:
    """A loop that a fault made endless may not take the machine's memory."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def survives(mutant: Mutant, module: Path, checkout: Path, tests: list[str]) -> bool:
    """Whether the tests pass all the same."""
    place = checkout / module
    original = place.read_text()
    place.write_text(mutant.text)
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=checkout,
            env=environment,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            preexec_fn=_bounded,
        )
    except subprocess.TimeoutExpired:
        return False
    finally:
        place.write_text(original)
    return done.returncode == 0


def run(modules: list[Path], tests: list[str], jobs: int) -> list[tuple[Path, Mutant]]:
    """All survivors, printed as they are found."""
    found: list[tuple[Path, Mutant]] = []
    with tempfile.TemporaryDirectory() as folder:
        copies: Queue[Path] = Queue()
        for number in range(jobs):
            for part in ("monoscan", "tests"):
                shutil.copytree(ROOT / part, Path(folder) / str(number) / part)
            shutil.copy(ROOT / "pyproject.toml", Path(folder) / str(number))
            copies.put(Path(folder) / str(number))

        def check(work: tuple[Path, Mutant]) -> bool:
            place = copies.get()
            try:
                return survives(work[1], work[0], place, tests)
            finally:
                copies.put(place)

        untouched = Mutant(0, "", (ROOT / modules[0]).read_text())
        if not check((modules[0], untouched)):
            raise SystemExit("the tests fail without any fault")
        work = [(module, mutant) for module in modules for mutant in mutants((ROOT / module).read_text())]
        with ThreadPoolExecutor(jobs) as pool:
            for each, alive in zip(work, pool.map(check, work), strict=True):
                if alive:
                    found.append(each)
                    print(f"{each[0]}:{each[1].line}: {each[1].what}", flush=True)
        print(f"{len(work) - len(found)} of {len(work)} faults caught", flush=True)
    return found


def main() -> int:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="+", type=Path)
    parser.add_argument("--tests", nargs="+", required=True, help="test files, as pytest takes them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    return int(bool(run(arguments.modules, arguments.tests, arguments.jobs)))


if __name__ == "__main__":
    raise SystemExit(main())
