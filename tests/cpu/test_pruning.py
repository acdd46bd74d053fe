"""The cache of compiled libraries stays small, and nobody misses what goes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import mlx.core as mx
import pytest

import monoscan as ms
from monoscan.cli.main import main
from monoscan.lowering.targets.cpu import disk, kernels, pruning

DAY = 24 * 3600


def library(folder: Path, name: str, days: float, size: int = 1000) -> Path:
    """One that was last used so long ago, with its checksum and its lock."""
    folder.mkdir(0o700, exist_ok=True)
    path = folder / name
    path.write_bytes(b"x" * size)
    files = [path, path.with_name(f"{name}.sha256"), path.with_name(f"{name}.lock")]
    files[1].write_bytes(disk._checksum(path.read_bytes()))
    files[2].touch()
    for file in files:
        os.utime(file, (time.time() - days * DAY,) * 2)
    return path


def whole(path: Path) -> None:
    path.write_bytes(b"whole")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_nobody_used_for_long_goes_with_all_that_belongs_to_it(folder: Path) -> None:
    kept = library(folder, "kernel-kept.so", pruning.MAX_DAYS - 1)
    library(folder, "kernel-old.so", pruning.MAX_DAYS + 1)
    library(folder, "bridge-old.so", pruning.MAX_DAYS + 1)
    pruning.prune(folder)
    assert names(folder) == {kept.name, f"{kept.name}.sha256", f"{kept.name}.lock"}


def test_what_is_too_much_goes_from_the_least_recently_used_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "MAX_BYTES", 3500)
    for days in (2, 5, 3, 4):
        library(folder, f"kernel-{days}.so", days)
    pruning.prune(folder)
    assert {name for name in names(folder) if name.endswith(".so")} == {"kernel-2.so", "kernel-3.so", "kernel-4.so"}


def test_what_was_used_within_a_day_stays_however_much_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "MAX_BYTES", 10)
    library(folder, "kernel-a.so", 0)
    library(folder, "kernel-b.so", 0.9)
    library(folder, "kernel-c.so", 1.1)
    pruning.prune(folder)
    assert {name for name in names(folder) if name.endswith(".so")} == {"kernel-a.so", "kernel-b.so"}


def test_other_files_stay(folder: Path) -> None:
    for name in ("thesis.tex", "kernels.so", "my-kernel-notes"):
        library(folder, name, 1000)
    before = names(folder)
    pruning.prune(folder)
    assert names(folder) == before
    assert main(["cache", "clear"]) == 0
    assert names(folder) == before


def test_what_interrupted_processes_left_goes_after_a_day(folder: Path) -> None:
    for name, days in ((".new-today", 0.5), (".new-before", 2), ("build-before", 2)):
        library(folder, name, days)
    pruning.prune(folder)
    assert {name for name in names(folder) if not name.endswith((".lock", ".sha256"))} == {".new-today"}


def test_use_is_noted(folder: Path) -> None:
    path = library(folder, "kernel-used.so", 10)
    assert disk.kept("kernel-used.so", Path.read_bytes) is not None
    assert time.time() - path.stat().st_mtime < 60


def test_a_new_library_prunes_the_folder(folder: Path) -> None:
    old = library(folder, "kernel-old.so", pruning.MAX_DAYS + 1)
    disk.obtain("kernel-new.so", whole, Path.read_bytes)
    assert not old.exists()
    assert (folder / "kernel-new.so").exists()


@pytest.mark.long
def test_clear_empties_the_folder_and_what_is_loaded_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = mx.full((9,), 0.5)
    before = ms.scan(ms.Affine(), (x, x))[1].tolist()
    assert {name.partition("-")[0] for name in names(folder)} == {"kernel", "driver"}
    assert main(["info"]) == 0
    assert "2 libraries" in capsys.readouterr().out.splitlines()[-1]
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith("removed 2 libraries, 0.")
    assert names(folder) == set()
    assert ms.scan(ms.Affine(), (x, x))[1].tolist() == before
    assert ms.scan(ms.MaxPlusAffine(), (x, x))[1].size == 9  # the next kernel builds the driver again
    assert kernels.unavailable("") is None
    assert main(["cache", "clear"]) == 0
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "there was no compiled code"


def test_a_library_may_go_at_any_moment(folder: Path) -> None:
    """Others clear the folder time and again while libraries are built and loaded."""
    done = threading.Event()

    def clear() -> None:
        while not done.is_set():
            pruning.clear()

    thread = threading.Thread(target=clear)
    thread.start()
    try:
        for i in range(200):
            made = disk.obtain(f"kernel-{i % 5}.so", whole, Path.read_bytes)
            assert made == b"whole"
    finally:
        done.set()
        thread.join()
