"""A broken toolchain: scans and gradients stay right, one line says why, and `explain` tells the truth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from bridge_affine import python

import monoscan as ms
from monoscan.cache import Cache
from monoscan.cli import info
from monoscan.cli.main import main
from monoscan.errors import StrategyError
from monoscan.lowering.targets.cpu import backward, build, compiler, kernels, recipe, target
from monoscan.lowering.targets.cpu import disk as cache
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable

pytestmark = pytest.mark.skipif(not build.status().available, reason="no compiler")

A = np.array([0.5, 2.0, -1.0, 0.25, 3.0, 1.5, -0.5], np.float32)
B = np.array([1.0, -2.0, 0.5, 4.0, 1.0, 0.25, 2.0], np.float32)
FULL = "echo 'fatal error: No space left on device' >&2; exit 1"
Captured = pytest.CaptureFixture[str]


def states(a: Any = A, b: Any = B) -> list[float]:
    """The fold in order."""
    h, found = 0.0, []
    for gate, x in zip(a, b, strict=True):
        h = float(gate) * h + float(x)
        found.append(h)
    return found


def gradient() -> list[float]:
    """Of the sum of all states, for the inputs: how much of each is left in those that follow."""
    g, found = 0.0, []
    for t in reversed(range(len(A))):
        g = 1 + (float(A[t + 1]) * g if t + 1 < len(A) else 0.0)
        found.append(g)
    return found[::-1]


def scan() -> mx.array:
    return ms.scan(ms.Affine(), (mx.array(A), mx.array(B)))[1]


def explained(**options: Any) -> Any:
    return ms.explain(ms.Affine(), (mx.array(A), mx.array(B)), **options)


def broken(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> Path:
    """A program in place of the compiler."""
    program = folder.parent / "c++"
    program.write_text(f"#!/bin/sh\necho run >> {program}.log\n{script}\n")
    program.chmod(0o755)
    compiler._search.cache_clear()
    monkeypatch.setenv("CXX", str(program))
    return program


def runs(program: Path) -> int:
    return len(Path(f"{program}.log").read_text().splitlines())


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (FULL, "the C++ compiler failed: fatal error: No space left on device"),
        ("exit 3", "the C++ compiler failed: exit status 3"),
        ("kill -9 $$", "the C++ compiler failed: killed by SIGKILL"),
        ("exit 0", "the C++ compiler reported success and wrote nothing"),
        ("printf '\\377\\033[31m: error: \\351\\n' >&2; exit 1", "the C++ compiler failed: \ufffd[31m: error: \ufffd"),
        ('printf "one\\ntwo\\nthree\\nfour\\n" >&2; exit 1', "the C++ compiler failed: two; three; four"),
        (
            'printf "/usr/bin/ld: cannot find -lm\\ncollect2: error: ld returned 1 exit status\\n" >&2; exit 1',
            "the C++ compiler failed: /usr/bin/ld: cannot find -lm; collect2: error: ld returned 1 exit status",
        ),
        (
            'while [ $# -gt 1 ]; do [ "$1" = -o ] && echo garbage > "$2"; shift; done',
            "what the C++ compiler made does not load: {folder}",
        ),
    ],
)
def test_a_scan_whose_kernel_cannot_be_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, script: str, words: str
) -> None:
    broken(monkeypatch, folder, script)
    assert explained().strategy == "kernel"
    for _ in range(2):
        np.testing.assert_allclose(scan(), states(), rtol=1e-6)
        assert explained().strategy == "blelloch"
    said = capsys.readouterr()
    words = words.format(folder=folder.parent)
    assert said.out == ""
    assert said.err.startswith(f"monoscan: a scan without its kernel runs as slower MLX array operations: {words}")
    assert said.err.count("\n") == 1
    assert explained().reasons[4].text.startswith(words)


def test_plans_made_before_are_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [explained(reverse=reverse) for reverse in (False, True)]
    assert [plan.strategy for plan in before] == ["kernel", "kernel"]
    broken(monkeypatch, folder, FULL)
    mx.eval(scan())
    # the other way is another kernel; the compiler is known to fail for every one
    assert [explained(reverse=reverse).strategy for reverse in (False, True)] == ["blelloch", "blelloch"]


def test_a_compiler_that_fails_for_all_is_asked_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = broken(monkeypatch, folder, FULL)
    mx.eval(scan())
    assert runs(program) == 2  # the kernel, and one that does nothing
    mx.eval(
        ms.scan(ms.MaxSubarray(), ms.MaxSubarray().embed(mx.array(A))), ms.fold(ms.Affine(), (mx.array(A), mx.array(B)))
    )
    assert runs(program) == 2


def test_kernels_compiled_before_still_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mx.eval(scan())
    broken(monkeypatch, folder, FULL)
    with pytest.raises(BridgeUnavailable):
        kernels.check_compiler()
    assert explained().strategy == "kernel"
    assert explained(reverse=True).strategy == "blelloch"
    np.testing.assert_allclose(scan(), states(), rtol=1e-6)


def test_a_failure_of_one_kernel_is_of_that_one_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = explained().source
    render = target.render
    monkeypatch.setattr(
        target, "render", lambda spec: f"#error this one\n{text}" if (text := render(spec)) == one else text
    )
    np.testing.assert_allclose(scan(), states(), rtol=1e-6)
    assert explained().strategy == "blelloch"
    assert "#error this one" in explained().reasons[4].text
    assert explained(reverse=True).strategy == "kernel"
    back = ms.scan(ms.Affine(), (mx.array(A), mx.array(B)), reverse=True)[1]
    np.testing.assert_allclose(back, states(A[::-1], B[::-1])[::-1], rtol=1e-6)
    assert explained(reverse=True).strategy == "kernel"
    assert info.kernels_here().startswith("yes, but 1 failed in this process, the first so: the C++ compiler failed: ")


def recurrence() -> mx.array:
    return ms.linear_recurrence(mx.array(A), mx.array(B))


def pieces() -> mx.array:
    left, right = ms.scan(ms.Tuple(ms.Affine(), ms.Affine()), ((mx.array(A), mx.array(B)), (mx.array(A), mx.array(B))))
    return mx.maximum(left[1], right[1])


def slices() -> mx.array:
    return ms.associative_scan(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1]), (mx.array(A), mx.array(B)))[1]


def untraced_scale() -> mx.array:
    scale = mx.array(2.0)
    operator = ms.monoid(lambda l, r: (r[0] * l[0], r[0] * l[1] + r[1] * (scale / scale)), identity=(1, 0))
    return ms.scan(operator, (mx.array(A), mx.array(B)))[1]


def test_the_command_line_tells_what_will_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    broken(monkeypatch, folder, FULL)
    assert main(["explain", "Affine", "--shape", "50"]) == 0
    assert "strategy  blelloch (row 6)" in capsys.readouterr().out
    assert main(["bench", "Affine", "--shape", "50", "--reverse", "--seconds", "0.1"]) == 0
    assert "auto: blelloch" in capsys.readouterr().out
    assert main(["info"]) == 0
    assert "kernel (cpu)   only those compiled before: the C++ compiler failed" in capsys.readouterr().out


@pytest.mark.parametrize("call", [recurrence, pieces, slices, untraced_scale], ids=lambda call: call.__name__)
def test_every_public_call(folder: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[], mx.array]) -> None:
    broken(monkeypatch, folder, FULL)
    for _ in range(2):
        np.testing.assert_allclose(call(), states(), rtol=1e-6)


def test_folds_carries_and_the_fold_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, folder, FULL)
    elems = mx.array(A), mx.array(B)
    assert ms.fold(ms.Affine(), elems)[1].item() == pytest.approx(states()[-1])
    _, last = ms.linear_recurrence(*elems, return_carry=True)
    assert last.item() == pytest.approx(states()[-1])
    np.testing.assert_array_equal(ms.scan(ms.Affine(), elems, strategy="sequential")[1], np.float32(states()))
    assert explained(strategy="sequential").combine == "lanes"
    _, h = mx.compile(lambda a, b: ms.scan(ms.Affine(), (a, b)))(*elems)
    np.testing.assert_allclose(h, states(), rtol=1e-6)


def test_a_forced_kernel_names_the_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, folder, FULL)
    for _ in range(2):
        with pytest.raises(StrategyError, match=r"strategy='kernel' cannot run Affine: .*No space left on device"):
            ms.scan(ms.Affine(), (mx.array(A), mx.array(B)), strategy="kernel")


def test_gradients_of_a_kernel_whose_adjoint_cannot_be_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    render = backward.render_backward
    monkeypatch.setattr(backward, "render_backward", lambda spec: f"#error no way back\n{render(spec)}")
    loss = mx.grad(lambda b: ms.linear_recurrence(mx.array(A), b).sum())
    for _ in range(2):
        np.testing.assert_allclose(loss(mx.array(B)), gradient(), rtol=1e-6)
    assert explained().strategy == "kernel"
    said = capsys.readouterr().err
    assert "#error no way back" in said
    assert said.count("\n") == 1


def test_gradients_that_need_states_which_no_kernel_gives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mx.eval(recurrence(), ms.fold(ms.Affine(), (mx.array(A), mx.array(B))))
    broken(monkeypatch, folder, FULL)  # what follows, backward and again, finds no compiler
    _, found = mx.vjp(lambda a, b: ms.fold(ms.Affine(), (a, b))[1], [mx.array(A), mx.array(B)], [mx.array(1.0)])
    after = np.append(np.cumprod(A[::-1].astype(np.float64))[::-1][1:], 1.0)
    np.testing.assert_allclose(found[1], after, rtol=1e-6)
    np.testing.assert_allclose(found[0], after * np.append(0.0, states()[:-1]), rtol=1e-6)


def test_tangents_and_maps_without_their_kernels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mx.eval(recurrence())
    broken(monkeypatch, folder, FULL)
    a, b = mx.array(A), mx.array(B)
    _, (tangent,) = mx.jvp(lambda b: ms.linear_recurrence(a, b), [b], [mx.ones_like(b)])
    np.testing.assert_allclose(tangent, states(b=np.ones_like(B)), rtol=1e-6)
    both = mx.vmap(lambda b: ms.linear_recurrence(a, b))(mx.stack([b, 2 * b]))
    np.testing.assert_allclose(both, [states(), states(b=2 * B)], rtol=1e-6)


def test_threads_that_find_out_together(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    program = broken(monkeypatch, folder, f"sleep 0.2; {FULL}")
    ready = threading.Barrier(4)

    def work(_: int) -> list[float]:
        with mx.stream(mx.new_stream(mx.cpu)):
            ready.wait(30)
            return scan().tolist()  # type: ignore[no-any-return]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(work, range(4)):
            np.testing.assert_allclose(found, states(), rtol=1e-6)
    assert capsys.readouterr().err.count("\n") == 1
    assert runs(program) == 2


def test_a_compiler_that_hangs_is_stopped_with_all_that_it_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    program = broken(monkeypatch, folder, f"sleep 600 & echo $! > {folder.parent}/child; wait")
    monkeypatch.setattr(kernels, "SECONDS", 0.3)
    monkeypatch.setattr(kernels, "_CHECK_SECONDS", 0.3)
    run = kernels._run
    monkeypatch.setattr(kernels, "_run", lambda c, s, p, seconds=0.3: run(c, s, p, seconds))
    np.testing.assert_allclose(scan(), states(), rtol=1e-6)
    assert "the C++ compiler had not finished after 0.3 s and was stopped" in capsys.readouterr().err
    assert runs(program) == 2
    assert gone(int((folder.parent / "child").read_text()))


def gone(process: int) -> bool:
    """Whether a process ends within some seconds, as a zombie that nobody reaps too."""
    for _ in range(500):
        status = Path(f"/proc/{process}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


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
    process = subprocess.Popen([sys.executable, "-c", code], env=settings, stderr=subprocess.PIPE, text=True)
    started = tmp_path / "started"
    while not (started.exists() and len(started.read_text().splitlines()) == 2):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert all(gone(int(number)) for number in started.read_text().split())
    assert not list((tmp_path / "tmp").iterdir())


REPORT = """
import mlx.core as mx, numpy as np, monoscan as ms
from monoscan.cli import info
from monoscan.cli.main import main
a = mx.array([0.5, 2.0, -1.0])
for _ in range(2):
    print(ms.linear_recurrence(a, a).tolist(), ms.scan(ms.Product(), a).tolist())
print(mx.grad(lambda a: ms.scan(ms.Product(), a).sum())(a).tolist())
print(ms.explain(ms.Affine(), (a, a)).strategy)
print([line for line in info.lines() if "kernel (cpu)" in line][0].strip())
"""
RIGHT = 2 * "[0.5, 3.0, -4.0] [0.5, 1.0, -1.0]\n" + "[1.0, 0.0, 1.0]\nblelloch\n"


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


def test_a_cache_without_a_bridge_is_no_bridge(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(build, "LOADER", build._Loader())
    folder.mkdir()
    (folder / f"{recipe.stem()}-00000000.so").write_bytes(b"no checksum")
    assert not build.status().available
    damaged = folder / f"{recipe.stem()}-11111111.so"
    damaged.write_bytes(b"garbage")
    damaged.with_name(f"{damaged.name}.sha256").write_bytes(cache._checksum(b"garbage"))
    assert build.status().available
    np.testing.assert_allclose(scan(), states(), rtol=1e-6)  # it does not load
    assert not build.status().available
    assert explained().strategy == "blelloch"


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
