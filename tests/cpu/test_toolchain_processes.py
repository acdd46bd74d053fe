"""A broken or missing toolchain seen by processes of their own: interrupts, caches, what is printed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from bridge_affine import python
from toolchain import A, B, broken, explained, runs, scan, states

import monoscan as ms
from monoscan.cache import Cache
from monoscan.cli import info
from monoscan.lowering.targets.cpu import build, kernels, recipe
from monoscan.lowering.targets.cpu.compiler import Compiler

pytestmark = pytest.mark.skipif(not build.status().available, reason="no compiler")


Captured = pytest.CaptureFixture[str]


def gone(process: int) -> bool:
    """Whether a process ends within some seconds, as a zombie that nobody reaps too."""
    for _ in range(500):
        status = Path(f"/proc/{process}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


REPORT = """
import mlx.core as mx, numpy as np, monoscan as ms
from monoscan.cli import info
from monoscan.cli.main import main
a = mx.array([0.5, 2.0, -1.0])
for _ in range(2):
    print(ms.linear_recurrence(a, a).tolist(), ms.scan(ms.Product(), a).tolist())
print(mx.grad(lambda a: ms.scan(ms.Product(), a).sum())(a).tolist())
print(ms.explain(ms.Affine(), (a, a)).strategy)
print([line for line in info.lines(info.report()) if "kernel (cpu)" in line][0].strip())
"""


RIGHT = 2 * "[0.5, 3.0, -4.0] [0.5, 1.0, -1.0]\n" + "[1.0, 0.0, 1.0]\nblelloch\n"


def test_a_compiler_that_hangs_is_stopped_with_all_that_it_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    program = broken(monkeypatch, folder, f"sleep 600 & echo $! > {folder.parent}/child; wait")
    run = Compiler.run
    monkeypatch.setattr(
        Compiler, "run", lambda self, arguments, source, scratch, *_: run(self, arguments, source, scratch, 0.3)
    )
    np.testing.assert_allclose(scan(), states(), rtol=1e-6)
    assert "the C++ compiler had not finished after 0.3 s and was stopped" in capsys.readouterr().err
    assert runs(program) == 2
    assert gone(int((folder.parent / "child").read_text()))


def test_an_interrupt_stops_the_compilers_of_the_bridge(tmp_path: Path) -> None:
    """Two of them run side by side; they end, and so does the folder that they write to."""
    program = tmp_path / "c++"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *" -E "*) exec g++ "$@";; esac\necho $$ >> {tmp_path}/started\nsleep 600\n'
    )
    program.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    code = "from monoscan.lowering.targets.cpu import build; build.load()"
    settings = {
        **os.environ, "CXX": str(program), "TMPDIR": str(tmp_path / "tmp"), "MONOSCAN_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(Path(build.__file__).parents[4]),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=settings, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
    )  # fmt: skip
    started = tmp_path / "started"
    while not (started.exists() and len(started.read_text().splitlines()) == 2):
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(1)  # the second has started, and a moment later its starter knows it
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert all(gone(int(number)) for number in started.read_text().split())
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(
    ("cxx", "reason"),
    [
        ("false", "the C++ compiler failed: exit status 1"),
        ("true", "/true reported success and wrote nothing"),
        ("nothing-of-that-name", "CXX names 'nothing-of-that-name', which is not a program"),
        ('"g++', "CXX is '\"g++', which is no command line (No closing quotation)"),
    ],
)
def test_without_a_bridge(tmp_path: Path, cxx: str, reason: str) -> None:
    done = python(REPORT, CXX=cxx, MONOSCAN_CACHE_DIR=str(tmp_path / "cache"), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(RIGHT + "kernel (cpu)   no: ")
    assert reason in done.stdout
    assert done.stderr.startswith("monoscan: no CPU kernels, so scans run as slower MLX array operations: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_compiled_serves_where_the_compiler_is_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    mx.eval(scan())
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(kernels, "COMPILED", Cache(16))
    assert info.kernels_here().startswith("only those compiled before: no C++ compiler was found")
    assert explained().strategy == "kernel"
    np.testing.assert_allclose(scan(), states(), rtol=1e-6)
    assert capsys.readouterr().err == ""
    assert explained(reverse=True).strategy == "blelloch"
    back = ms.scan(ms.Affine(), (mx.array(A), mx.array(B)), reverse=True)[1]
    np.testing.assert_allclose(back, states(A[::-1], B[::-1])[::-1], rtol=1e-6)
    said = capsys.readouterr().err
    assert said.startswith("monoscan: a scan without its kernel runs as slower MLX array operations: no C++ compiler")
    assert said.count("\n") == 1


def test_a_process_without_a_compiler_uses_the_cache() -> None:
    code = """
    import mlx.core as mx, monoscan as ms
    a = mx.array([0.5, 2.0, -1.0])
    print(ms.scan(ms.Affine(), (a, a))[1].tolist())
    print(ms.explain(ms.Affine(), (a, a)).strategy)
    """
    with_one = python(code)
    assert with_one.returncode == 0, with_one.stderr
    without = python(code, PATH="/nowhere", CXX=None)
    assert without.stdout == with_one.stdout == "[0.5, 3.0, -4.0]\nkernel\n", without.stderr
    assert without.stderr == ""


def test_native_plans_and_trivial_ones_say_nothing_without_a_compiler(tmp_path: Path) -> None:
    done = python(
        """
        import mlx.core as mx, monoscan as ms
        x = mx.array([3.0, 1.0])
        mx.eval(ms.scan(ms.Sum(), x), ms.scan(ms.Max(), x), ms.scan(ms.Affine(), (x[:1], x[:1])))
        """,
        PATH="/nowhere", CXX=None, MONOSCAN_CACHE_DIR=str(tmp_path / "cache"), TMPDIR=str(tmp_path),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_process_without_stderr(tmp_path: Path) -> None:
    done = python(
        """
        import sys
        sys.stderr = None
        import mlx.core as mx, monoscan as ms
        a = mx.array([0.5, 2.0, -1.0])
        print(ms.linear_recurrence(a, a).tolist())
        """,
        CXX="false", MONOSCAN_CACHE_DIR=str(tmp_path / "cache"), TMPDIR=str(tmp_path),
    )  # fmt: skip
    assert done.stdout == "[0.5, 3.0, -4.0]\n"


def test_one_bridge_serves_every_environment_with_the_same_mlx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if sys.platform == "darwin":
        pytest.skip("the bridge holds the path of libmlx there")
    before = recipe.find_recipe().name
    elsewhere = tmp_path / "mlx"
    elsewhere.symlink_to(recipe.mlx_folder())
    monkeypatch.setattr(recipe, "mlx_folder", lambda: elsewhere)
    assert recipe.find_recipe().name == before
    other = tmp_path / "other"
    (other / "lib").mkdir(parents=True)
    (other / "lib" / "libmlx.so").write_bytes(b"another build of the same version")
    monkeypatch.setattr(recipe, "mlx_folder", lambda: other)
    assert recipe.stem() not in before
