"""The bridge over the life of a process: settings, forks, exits."""

from __future__ import annotations

import os
from pathlib import Path

from bridge_affine import python


def test_the_number_of_threads_is_a_setting() -> None:
    code = """
    from monoscan.lowering.targets.cpu import build
    bridge = build.load()
    print(bridge.threads())
    bridge.set_threads(2)
    print(bridge.threads())
    try:
        bridge.set_threads(0)
    except ValueError as error:
        print(error)
    """
    done = python(code, MONOSCAN_NUM_THREADS="7")
    assert done.stdout == "7\n2\n[monoscan] The number of threads must be at least 1.\n", done.stderr
    default = python(code, MONOSCAN_NUM_THREADS=None)
    expected = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert default.stdout.splitlines()[0] == str(expected)


def test_a_forked_child_has_a_pool_of_its_own() -> None:
    done = python(
        f"""
        import ctypes, os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import mlx.core as mx
        from bridge_affine import scan
        from monoscan.lowering.targets.cpu import build
        build.load().set_threads(3)
        x = mx.ones((64, 64))
        def work():
            with mx.stream(mx.new_stream(mx.cpu)):
                for _ in range(50):
                    assert scan(x, x, mx.ones((1, 1)), axis=1)[1][0, -1].item() == 64
        work()
        child = os.fork()
        if child == 0:
            work()
            os._exit(0 if build.load().threads() == 3 else 1)
        assert os.waitpid(child, 0)[1] == 0
        work()
        """
    )
    assert done.returncode == 0, done.stderr


def test_exit_while_work_is_pending() -> None:
    done = python(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import mlx.core as mx
        from bridge_affine import scan
        x = mx.full((512, 20000), 0.5)
        y = scan(x, x, mx.ones((1, 1)), axis=1)
        mx.async_eval(*y)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
