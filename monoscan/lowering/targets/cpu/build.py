"""The bridge: built on first use against the installed MLX, then loaded from the cache."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import threading
from pathlib import Path
from typing import cast

import attrs

from monoscan.lowering.targets.cpu import disk
from monoscan.lowering.targets.cpu.bridge.protocol import Bridge
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cpu.recipe import find_recipe, mlx_version, stem
from monoscan.lowering.targets.failures import FAILURES

MODULE = "_monoscan_bridge"


@attrs.frozen
class Status:
    """Whether CPU kernels can run, for ``monoscan info`` and ``explain``.

    Args:
        available: They run, or will once the bridge has been built on first use.
        reason: Why not, or what is still to do; empty when the bridge is ready.
        path: The built bridge, if there is one.
    """

    available: bool
    reason: str = ""
    path: Path | None = None


@attrs.define
class _Loader:
    """Loads at most one bridge into the process."""

    lock: threading.Lock = attrs.field(factory=threading.Lock)
    bridge: Bridge | None = None
    path: Path | None = None

    def load(self) -> Bridge:
        if self.bridge is not None:
            return self.bridge
        with self.lock:
            if self.bridge is None:
                self.path, self.bridge = _open()
            return self.bridge

    def status(self) -> Status:
        if self.bridge is not None:
            return Status(True, path=self.path)
        try:
            recipe = find_recipe()
        except BridgeUnavailable as missing:
            path = None if FAILURES.reason("bridge", missing.reason) else disk.find(f"{stem()}-*")
            return Status(path is not None, "" if path else missing.reason, path)
        failed = FAILURES.reason("bridge", recipe.name)
        if failed is not None:
            return Status(False, failed)
        path = disk.find(recipe.name)
        return Status(True, "" if path else "not built yet; the first kernel builds it", path)


LOADER = _Loader()


def load() -> Bridge:
    """The bridge, built first if need be.

    Raises:
        BridgeUnavailable: It cannot be built or loaded here; ``reason`` says why.
    """
    return LOADER.load()


def attempt() -> Bridge | None:
    """The bridge, built first if need be, or ``None`` where there can be none."""
    try:
        return LOADER.load()
    except BridgeUnavailable:
        return None


def status() -> Status:
    """Whether the bridge is available; builds and loads nothing."""
    return LOADER.status()


def announce(reason: str) -> None:
    """Says once why scans are slow here."""
    FAILURES.say("bridge", f"no CPU kernels, so scans run as slower MLX array operations: {reason}")


def _open() -> tuple[Path, Bridge]:
    """The bridge from the cache, or built; what fails is remembered."""
    try:
        recipe = find_recipe()
    except BridgeUnavailable as missing:
        known = FAILURES.reason("bridge", missing.reason)
        found = None if known else disk.kept(f"{stem()}-*", _import)  # built when nothing was missing
        if found is None:
            FAILURES.record("bridge", missing.reason, missing.reason)
            raise
        return found
    known = FAILURES.reason("bridge", recipe.name)
    if known is not None:
        raise BridgeUnavailable(known)
    try:
        return disk.obtain(recipe.name, recipe.build, _import)
    except BridgeUnavailable as failure:
        FAILURES.record("bridge", recipe.name, failure.reason)
        announce(failure.reason)
        raise


def _import(path: Path) -> tuple[Path, Bridge]:
    loader = importlib.machinery.ExtensionFileLoader(MODULE, str(path))
    spec = importlib.util.spec_from_file_location(MODULE, path, loader=loader)
    if spec is None:
        raise OSError(f"{path} is not a module")
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except ImportError as error:
        raise OSError(str(error)) from error
    bridge = cast(Bridge, module)
    if not bridge.shares_types():
        raise OSError(f"{path} does not share types with mlx {mlx_version()}")
    return path, bridge
