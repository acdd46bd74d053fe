"""Where compiled libraries are kept: only where nobody else can have put them."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from monoscan.lowering.targets.cpu import disk as cache
from monoscan.lowering.targets.cpu import folders
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable

SOMEBODY = 54_321


@pytest.fixture(params=[0o000, 0o002, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def whole(path: Path) -> None:
    path.write_bytes(b"whole")


def contents(path: Path) -> bytes:
    return path.read_bytes()


def obtain(load: object = contents) -> bytes:
    return cache.obtain("some.so", whole, load)  # type: ignore[arg-type]


def forged(folder: Path) -> Path:
    """What somebody else would have us run, with its checksum."""
    path = folder / "some.so"
    path.write_bytes(b"forged")
    path.with_name("some.so.sha256").write_bytes(cache._checksum(b"forged"))
    assert cache.intact(path)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_is_private_whatever_the_umask(folder: Path, umask: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONOSCAN_CACHE_DIR", str(folder / "deep" / "down"))
    assert obtain() == b"whole"
    made = [folder, *folder.rglob("*")]
    assert len(made) == 6
    assert {mode(path) for path in made if path.is_dir()} == {0o700}
    assert {mode(path) for path in made if path.is_file()} == {0o600}


@pytest.mark.parametrize("name", ["some.so", "some.so.sha256"])
@pytest.mark.parametrize("harm", ["others may write it", "it is somebody's", "it is a link", "it is a pipe"])
def test_a_file_that_others_may_have_written_is_built_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, harm: str
) -> None:
    folder.mkdir()
    forged(folder)
    path = folder / name
    if harm == "others may write it":
        path.chmod(0o620)
    elif harm == "it is somebody's":
        owned_by_somebody(monkeypatch, path)
    elif harm == "it is a link":
        path.rename(folder.parent / name)
        path.symlink_to(folder.parent / name)
    else:
        path.unlink()
        os.mkfifo(path)
    assert cache.find("some.so") is None
    assert obtain() == b"whole"
    monkeypatch.undo()
    assert contents(folder / "some.so") == b"whole"
    assert mode(folder / "some.so") == 0o600


def owned_by_somebody(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Root could change the owner, and who is not root could not: the system says so to both."""
    inode = path.stat().st_ino

    def given(ask: object) -> object:
        def stated(*arguments: object, **options: object) -> os.stat_result:
            found: os.stat_result = ask(*arguments, **options)  # type: ignore[operator]
            changed = list(found)
            changed[stat.ST_UID] = SOMEBODY if found.st_ino == inode else found.st_uid
            return os.stat_result(changed)

        return stated

    for name in ("fstat", "lstat"):
        monkeypatch.setattr(os, name, given(getattr(os, name)))


@pytest.mark.parametrize("bits", [0o775, 0o777, 0o1777, 0o702])
def test_a_folder_that_others_may_write_is_named_once_and_another_is_used(
    folder: Path, capsys: pytest.CaptureFixture[str], bits: int
) -> None:
    folder.mkdir()
    forged(folder)
    folder.chmod(bits)
    for _ in range(2):
        assert obtain() == b"whole"
    (folders.private() / "some.so").unlink()
    assert obtain() == b"whole"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"monoscan: compiled code is kept in {folders.private()}, not in {folder}: others may write it "
        f"(mode {bits:o}; chmod go-w)\n"
    )
    assert mode(folders.private()) == 0o700


def test_what_the_private_folder_holds_is_found_by_the_next_process(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o775)
    obtain()

    def never(path: Path) -> None:
        raise AssertionError("built again")

    assert cache.obtain("some.so", never, contents) == b"whole"


def test_a_folder_of_somebody_else_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    forged(folder)
    owned_by_somebody(monkeypatch, folder)
    assert obtain() == b"whole"
    assert folders.unsafe(folder) == f"it belongs to another user (number {SOMEBODY})"
    assert contents(folder / "some.so") == b"forged"


def test_root_may_have_filled_the_cache_for_everybody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(0o755)
    status = folder.stat()
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)
    root = os.stat_result([*status[:4], 0, *status[5:]])
    user = os.stat_result([*status[:4], SOMEBODY + 1, *status[5:]])
    assert folders.foreign(root) is None
    assert folders.foreign(user) == f"it belongs to another user (number {SOMEBODY + 1})"


@pytest.mark.parametrize("squatter", ["a link", "a file", "open to others"])
def test_a_private_folder_that_somebody_made_first_is_not_used(folder: Path, squatter: str) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    forged(elsewhere)
    if squatter == "a link":
        folders.private().symlink_to(elsewhere)
    elif squatter == "a file":
        folders.private().write_text("")
    else:
        folders.private().mkdir()
        forged(folders.private())
        folders.private().chmod(0o777)
    assert obtain() == b"whole"  # kept for this process alone
    assert contents(elsewhere / "some.so") == b"forged"
    assert cache.find("some.so") is None


def test_a_link_to_a_good_folder_is_followed(folder: Path) -> None:
    real = folder.parent / "real"
    real.mkdir(0o700)
    folder.symlink_to(real)
    assert obtain() == b"whole"
    assert cache.find("some.so") == real / "some.so"


def test_a_disk_without_exec_permission(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def load(path: Path) -> bytes:
        if path.parent == folder:
            raise OSError("failed to map segment from shared object")
        return contents(path)

    assert obtain(load) == b"whole"
    assert cache.kept("some.so", load) == b"whole"
    assert capsys.readouterr().err == (
        f"monoscan: compiled code is kept in {folders.private()}, not in {folder}: "
        "failed to map segment from shared object\n"
    )


def test_what_loads_nowhere_is_a_failure(folder: Path) -> None:
    def load(path: Path) -> bytes:
        raise OSError("wrong ELF class")

    with pytest.raises(BridgeUnavailable, match=r"what the C\+\+ compiler made does not load: wrong ELF class"):
        obtain(load)

    def never(path: Path) -> None:
        raise AssertionError("built again, for every process")

    with pytest.raises(BridgeUnavailable, match=r"there is no folder for compiled code: wrong ELF class"):
        cache.obtain("some.so", never, load)
    assert obtain() == b"whole"


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def full(source: str, target: Path) -> None:
        if Path(target).parent == folder:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert obtain() == b"whole"
    assert [p.suffix for p in folder.iterdir()] == [".lock"]
    assert cache.find("some.so") == folders.private() / "some.so"


def test_a_place_that_holds_a_folder_of_that_name(folder: Path) -> None:
    (folder / "some.so").mkdir(parents=True, mode=0o700)
    assert obtain() == b"whole"
    assert cache.find("some.so") == folders.private() / "some.so"


def test_no_place_for_temporary_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    assert obtain() == b"whole"
    assert sorted(p.suffix for p in folder.iterdir()) == [".lock", ".sha256", ".so"]


def test_no_place_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    monkeypatch.setenv("MONOSCAN_CACHE_DIR", "/dev/null/cache")
    with pytest.raises(BridgeUnavailable, match=r"there is no folder for compiled code: No usable temporary directory"):
        obtain()


def test_a_lock_that_is_a_socket_is_no_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("some.so.lock")
        assert obtain() == b"whole"


def test_a_stopped_process_keeps_nobody_waiting_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SECONDS", 0.1)
    with cache._locked("some.so.lock"):
        assert obtain() == b"whole"


def test_no_home_and_no_entry_among_the_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(user: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    for name in ("HOME", "XDG_CACHE_HOME", "MONOSCAN_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", missing)
    assert folders.preferred() is None
    assert obtain() == b"whole"
    assert cache.find("some.so") == folders.private() / "some.so"


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({"MONOSCAN_CACHE_DIR": "/a/b", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/a/b"),
        ({"MONOSCAN_CACHE_DIR": "~/b", "HOME": "/h"}, "/h/b"),
        ({"MONOSCAN_CACHE_DIR": "", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/monoscan"),
        ({"XDG_CACHE_HOME": "not/absolute", "HOME": "/h"}, "/h/.cache/monoscan"),
        ({"HOME": "/h"}, "/h/.cache/monoscan"),
        ({"HOME": ""}, None),
        ({"HOME": "relative"}, None),
    ],
)
def test_the_preferred_folder(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], where: str | None) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "MONOSCAN_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert folders.preferred() == (None if where is None else Path(where))
