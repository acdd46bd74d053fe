"""Building: the cache, concurrent processes, and every way in which it can be impossible."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
from pathlib import Path

import mlx.core as mx
import pytest
from bridge_affine import ROOT, SOURCE, python

from monoscan.cache import Cache
from monoscan.lowering.render import headers
from monoscan.lowering.targets.cpu import build, compiler, folders, kernels, recipe
from monoscan.lowering.targets.cpu import disk as cache
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable

TINY = """
MS_EXPORT void ms_schedule(const ms_launch* l, ms_schedule* s) { s->phases = 1; s->tasks[0] = 1; }
MS_EXPORT void ms_task(const ms_launch* l, ms_int phase, ms_int task) { /* %s */ }
"""


def forget_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "COMPILED", Cache(16))


def itself(path: Path) -> Path:
    return path


def test_the_bridge_is_there() -> None:
    bridge = build.load()
    assert build.load() is bridge
    status = build.status()
    assert status.available
    assert not status.reason
    assert status.path is not None
    assert cache.intact(status.path)


def test_a_warm_load_takes_milliseconds_and_says_nothing() -> None:
    build.load()
    done = python(
        """
        import time
        import mlx.core
        from monoscan.lowering.targets.cpu import build, recipe
        recipe.find_recipe().name
        begin = time.perf_counter()
        build.load()
        print(time.perf_counter() - begin)
        """
    )
    assert done.stderr == ""
    assert float(done.stdout) < 0.5


def test_importing_builds_nothing(folder: Path) -> None:
    done = python(
        """
        import monoscan.lowering.targets.cpu.build as build
        status = build.status()
        assert status.available and status.path is None, status
        print(status.reason)
        """
    )
    assert done.stdout == "not built yet; the first kernel builds it\n", done.stderr
    assert not folder.exists()


def test_a_kernel_is_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = time.perf_counter()
    first = kernels.compile_kernel(TINY % "once")
    cold = time.perf_counter() - begin
    begin = time.perf_counter()
    assert kernels.compile_kernel(TINY % "once") is first
    forget_kernels(monkeypatch)
    again = kernels.compile_kernel(TINY % "once")
    warm = time.perf_counter() - begin
    assert again == first
    assert first.path.parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(p.suffix for p in folder.iterdir()) == [".lock", ".sha256", ".so"]
    assert cold < 3
    assert warm < 0.1


def test_concurrent_processes_build_one_kernel(folder: Path) -> None:
    code = f"""
    from monoscan.lowering.targets.cpu.kernels import compile_kernel
    print(compile_kernel({(TINY % "shared")!r}).path)
    """
    settings = {**os.environ, "PYTHONPATH": ROOT}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    running = [subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    paths = {process.communicate(timeout=60)[0].strip() for process in running}
    assert len(paths) == 1
    assert cache.intact(Path(paths.pop()))
    assert len(list(folder.glob("*.so"))) == 1
    assert not list(folder.glob("build-*"))


def test_a_second_process_waits_for_the_first(folder: Path) -> None:
    code = """
    import time
    from pathlib import Path
    from monoscan.lowering.targets.cpu import disk as cache
    def make(path):
        print("built", flush=True)
        time.sleep(0.5)
        path.write_bytes(b"whole")
    assert cache.obtain("slow.so", make, lambda path: path).read_bytes() == b"whole"
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    settings = {**os.environ, "PYTHONPATH": ROOT}
    running = [subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert "".join(process.communicate(timeout=60)[0] for process in running) == "built\n"
    assert all(process.returncode == 0 for process in running)


@pytest.mark.parametrize("damage", ["cut", "changed", "no checksum", "empty checksum", "gone"])
def test_a_corrupt_library_is_built_again(folder: Path, damage: str) -> None:
    def make(path: Path) -> None:
        path.write_bytes(b"whole")

    path = cache.obtain("some.so", make, itself)
    checksum = path.with_name("some.so.sha256")
    if damage == "cut":
        path.write_bytes(b"who")
    elif damage == "changed":
        path.write_bytes(b"Whole")
    elif damage == "no checksum":
        checksum.unlink()
    elif damage == "empty checksum":
        checksum.write_bytes(b"")
    else:
        path.unlink()
    assert cache.find("some.so") is None
    assert cache.obtain("some.so", make, itself).read_bytes() == b"whole"
    assert cache.find("some.so") == path


def test_a_corrupt_kernel_is_never_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kernels.compile_kernel(TINY % "corrupt").path
    whole = path.read_bytes()
    path.unlink()  # not overwritten in place: this process has it mapped
    path.write_bytes(whole[: len(whole) // 2])
    forget_kernels(monkeypatch)
    assert kernels.compile_kernel(TINY % "corrupt").path.read_bytes() == whole


def test_a_failed_build_leaves_nothing(folder: Path) -> None:
    with pytest.raises(BridgeUnavailable, match=r"the C\+\+ compiler failed: .*error"):
        kernels.compile_kernel("this is not C++")
    assert [p.suffix for p in folder.iterdir()] == [".lock"]
    assert not list(Path(tempfile.gettempdir()).iterdir())


def test_a_cache_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("not a folder")
    monkeypatch.setenv("MONOSCAN_CACHE_DIR", str(folder / "cache"))
    path = kernels.compile_kernel(TINY % "private").path
    assert path.parent == folders.private()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    forget_kernels(monkeypatch)
    assert kernels.compile_kernel(TINY % "private").path == path


def test_a_read_only_cache_still_serves_what_it_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kernels.compile_kernel(TINY % "kept").path
    monkeypatch.setattr(folders, "writable", lambda where: where != folder)
    forget_kernels(monkeypatch)
    assert kernels.compile_kernel(TINY % "kept").path == path
    assert kernels.compile_kernel(TINY % "new").path.parent == folders.private()


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"PATH": ""}, "no C++ compiler was found: install g++ or clang++, or name one in CXX"),
        ({"CXX": "/nonexistent"}, "CXX names '/nonexistent', which is not a program"),
    ],
)
def test_no_compiler(folder: Path, environment: dict[str, str | None], reason: str) -> None:
    done = python(
        """
        from monoscan.lowering.targets.cpu import build, kernels
        status = build.status()
        assert not status.available
        print(status.reason)
        for make in (build.load, lambda: kernels.compile_kernel("")):
            try:
                make()
            except build.BridgeUnavailable as failure:
                assert failure.reason == status.reason
            else:
                raise SystemExit("it built")
        """,
        **{"CXX": None, **environment},
    )
    assert done.returncode == 0, done.stderr
    assert reason in done.stdout


def test_a_compiler_that_fails_is_asked_once(folder: Path) -> None:
    done = python(
        """
        from monoscan.lowering.targets.cpu import build
        for _ in range(2):
            try:
                build.load()
            except build.BridgeUnavailable as failure:
                print(failure.reason)
        assert not build.status().available
        """,
        CXX="false",
    )
    assert done.stdout == 2 * "the C++ compiler failed: exit status 1\n", done.stderr


def test_arguments_in_cxx(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ -DEXTRA=1")
    assert compiler.find_compiler().command[1:] == ("-DEXTRA=1",)
    kernels.compile_kernel(TINY % "extra" + "static_assert(EXTRA == 1);")


def test_the_key_follows_what_the_bridge_is_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    name = recipe.find_recipe().name
    assert recipe.find_recipe().name == name
    names = {name}
    with monkeypatch.context() as patch:
        patch.setattr(mx, "__version__", "0.99.0")
        names.add(recipe.find_recipe().name)
    with monkeypatch.context() as patch:
        patch.setenv("MONOSCAN_SANITIZE", "thread")
        names.add(recipe.find_recipe().name)
    with monkeypatch.context() as patch:
        patch.setenv("CXX", "g++ -g")
        names.add(recipe.find_recipe().name)
    assert len(names) == 4


def test_the_key_of_a_kernel_follows_the_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kernels.compile_kernel(TINY % "here").path
    monkeypatch.setattr(kernels, "cpu_identity", lambda: "another machine")
    forget_kernels(monkeypatch)
    assert kernels.compile_kernel(TINY % "here").path != path


def test_another_nanobind_is_found_out_before_building(monkeypatch: pytest.MonkeyPatch) -> None:
    found = recipe.find_recipe()
    found.check_internals()
    monkeypatch.setattr(recipe, "registered_internals", lambda: ["__nb_internals_nanobind_v99_mlx__"])
    with pytest.raises(BridgeUnavailable, match=r"does not match mlx .*_v99_mlx__; install the nanobind"):
        found.check_internals()


def test_registered_internals_hold_no_reference() -> None:
    assert [recipe.registered_internals() for _ in range(100)][-1] == recipe.registered_internals() != []


def test_missing_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BridgeUnavailable, match=r"pip install 'monoscan\[cpu\]'"):
        recipe.find_recipe()
    monkeypatch.undo()
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(BridgeUnavailable, match="Python's headers are missing"):
        recipe.find_recipe()


def test_a_python_that_does_not_know_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    def minimal() -> dict[str, str]:
        raise ModuleNotFoundError("No module named '_sysconfigdata__linux_x86_64-linux-gnu'")

    monkeypatch.setattr(sysconfig, "get_paths", minimal)
    with pytest.raises(BridgeUnavailable, match="Python's headers are missing"):
        recipe.find_recipe()


@pytest.mark.long
def test_another_module_called_nanobind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("raise RuntimeError('mine')", "pass", "__version__ = '1'"):
        (tmp_path / "nanobind.py").write_text(text)
        done = python(
            f"""
            import sys
            sys.path.insert(0, {str(tmp_path)!r})
            import mlx.core as mx, monoscan as ms
            from monoscan.lowering.targets.cpu import build
            print(ms.linear_recurrence(mx.ones(3), mx.ones(3)).tolist(), build.status().reason)
            """,
            MONOSCAN_CACHE_DIR=str(tmp_path / "cache"),
        )
        assert done.stdout.startswith("[1.0, 2.0, 3.0] "), done.stderr
        assert "nanobind" in done.stdout
        assert done.stderr.count("\n") == 1


def test_the_source_of_the_test_kernel_compiles_without_warnings(tmp_path: Path) -> None:
    found = compiler.find_compiler()
    flags = [
        *kernels.kernel_flags(found),
        "-shared",
        "-Wall",
        "-Werror",
        "-include",
        str(headers.FOLDER / "contract.h"),
    ]
    found.run([*flags, "-x", "c++", "-", "-o", str(tmp_path / "kernel.so")], SOURCE % 1)
