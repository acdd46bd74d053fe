"""What a call waits for is said on a terminal, after a while, and nowhere else."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

import mlx.core as mx
import pytest

import monoscan as ms
from monoscan.lowering.targets.cpu import patience


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal as stderr, from here on: pytest puts its own there before each test."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def scan_and_differentiate() -> None:
    x = mx.full((9,), 0.5)
    mx.eval(ms.scan(ms.Affine(), (x, x)), mx.grad(lambda x: ms.scan(ms.Affine(), (x, x))[1].sum())(x))


def test_a_terminal_says_what_is_compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    monkeypatch.setattr(patience, "SECONDS", 0.01)
    scan_and_differentiate()
    assert screen.getvalue().splitlines() == [
        "monoscan: compiling the kernel of Affine, which is kept for later runs",
        "monoscan: compiling the kernel of a gradient, which is kept for later runs",
    ]


def test_a_quick_compiler_is_no_news(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    monkeypatch.setattr(patience, "SECONDS", 1000)
    scan_and_differentiate()
    assert screen.getvalue() == ""
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.join(60)  # one that was told to stop does so when its thread runs again
    assert not any(timer.is_alive() for timer in timers)


@pytest.mark.long
def test_nothing_is_said_elsewhere(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SECONDS", 0.01)
    scan_and_differentiate()
    assert capfd.readouterr().err == ""


@pytest.mark.long
def test_a_process_without_stderr_compiles_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    scan_and_differentiate()
