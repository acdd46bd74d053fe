"""Shared set-up: which tests run, where they keep compiled code, and on which device."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("default")


MINUTES = {False: 5, True: 16}
"""What a first run of all folders takes on two quiet cores, without and with ``--all``; later ones compile less."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also the tests that are marked as long; of products a sample")
    parser.addoption("--exhaustive", action="store_true", help="every case of every test")


def pytest_configure(config: pytest.Config) -> None:
    """One cache for all processes of a run and for later runs, which is not the user's; ``--cache-clear`` empties it."""
    config.addinivalue_line("markers", "long: more cases of what a quick test shows; --all runs them")
    config.addinivalue_line("markers", "sampled(every): a product of options, of whose long cases --all runs a part")
    os.environ["MONOSCAN_CACHE_DIR"] = str(config.cache.mkdir("monoscan"))  # type: ignore[union-attr]


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Says how long it takes; a header would not be shown, for ``-q`` is the default."""
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput") or config.args != config.getini("testpaths"):
        return
    if config.getoption("--exhaustive"):
        return
    every = config.getoption("--all")
    more = "" if every else f"; --all runs the long tests too, in {MINUTES[True]}"
    reporter.write_line(f"monoscan's tests take {MINUTES[every]} minutes at most on two quiet cores{more}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    taken: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        taken[_runs(item, config)].append(item)
    items[:] = taken[True]
    if taken[False]:
        config.hook.pytest_deselected(items=taken[False])


def _runs(item: pytest.Item, config: pytest.Config) -> bool:
    if item.get_closest_marker("long") is None or config.getoption("--exhaustive"):
        return True
    sampled = item.get_closest_marker("sampled")
    every = 1 if sampled is None else sampled.args[0]
    return bool(config.getoption("--all")) and zlib.crc32(item.nodeid.encode()) % every == 0


@pytest.fixture(autouse=True)
def cpu_unless_a_gpu_test(request: pytest.FixtureRequest) -> Iterator[None]:
    before = mx.default_device()
    if "gpu" not in Path(request.node.path).parts:
        mx.set_default_device(mx.cpu)
    yield
    mx.set_default_device(before)
