"""What importing the library does, and what it does not."""

from __future__ import annotations

import subprocess
import sys


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_importing_prints_nothing_and_brings_in_no_test_tools() -> None:
    unwanted = {
        "hypothesis",
        "pytest",
        "matplotlib",
        "jax",
        "statsmodels",
        "scipy",
        "pandas",
        "monoscan.testing",
        "nanobind",
    }
    code = f"import sys, monoscan; print(sorted({unwanted!r} & set(sys.modules)))"
    assert in_a_new_process(code).strip() == "[]"


def test_importing_compiles_and_writes_nothing() -> None:
    code = (
        "import sys\n"
        "seen = []\n"
        "def hook(event, args):\n"
        "    if event in ('subprocess.Popen', 'os.system', 'os.posix_spawn', 'os.mkdir', 'socket.connect'):\n"
        "        seen.append((event, str(args)[:80]))\n"
        "    if event == 'open' and isinstance(args[1], str) and set(args[1]) & set('wax+') and '.pyc' not in str(args[0]):\n"
        "        seen.append((event, str(args)[:80]))\n"
        "import mlx.core, attrs, numpy\n"
        "sys.dont_write_bytecode = True\n"
        "sys.addaudithook(hook)\n"
        "import monoscan\n"
        "print(seen)"
    )
    assert in_a_new_process(code).strip() == "[]"


def test_importing_starts_no_thread_and_touches_no_device() -> None:
    code = "import threading, mlx.core as mx; n = threading.active_count(); import monoscan; "
    code += "print(threading.active_count() - n, mx.get_active_memory())"
    assert in_a_new_process(code).split() == ["0", "0"]
