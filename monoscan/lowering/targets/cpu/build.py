"""The bridge: built on first use against the installed MLX, then loaded from the cache."""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import os
import platform
import re
import subprocess
import sys
import sysconfig
import threading
from functools import cached_property
from pathlib import Path
from typing import cast

import attrs
import mlx.core as mx

from monoscan.lowering.targets.cpu import cache
from monoscan.lowering.targets.cpu.bridge import Bridge
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable, Compiler, digest, find_compiler, finish

HERE = Path(__file__).parent
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


@attrs.frozen(slots=False)
class Recipe:
    """All that the bridge is made from."""

    compiler: Compiler
    nanobind: Path
    nanobind_version: str

    @cached_property
    def mlx(self) -> Path:
        """The folder of the installed MLX."""
        return Path(mx.__file__).parent

    @property
    def flags(self) -> tuple[str, ...]:
        """How both sources are compiled."""
        include = sysconfig.get_paths()["include"]
        folders = (
            HERE, self.mlx / "include", self.nanobind / "include", self.nanobind / "src",
            self.nanobind / "ext" / "robin_map" / "include", include,
        )  # fmt: skip
        return (
            # O1: the bridge holds no loop over elements, and O2 would take twice as long.
            "-std=c++20", "-O1", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-DNB_DOMAIN=mlx", "-DNDEBUG",
            "-DNB_COMPACT_ASSERTIONS", *(f"-I{folder}" for folder in folders), *self.compiler.sanitizer_flags,
        )  # fmt: skip

    @property
    def link_flags(self) -> tuple[str, ...]:
        """How the objects are linked."""
        library = self.mlx / "lib"
        undefined = ("-undefined", "dynamic_lookup") if sys.platform == "darwin" else ()
        return (
            "-shared", *undefined, f"-L{library}", "-lmlx", f"-Wl,-rpath,{library}", *self.compiler.sanitizer_flags
        )  # fmt: skip

    @cached_property
    def name(self) -> str:
        """The file's name, with a hash of all that it depends on."""
        sources = [*sorted(HERE.glob("bridge*.h")), HERE / "bridge.cpp", HERE / "kernel.h"]
        texts = [source.read_text(encoding="utf-8") for source in sources]
        versions = [mlx_version(), self.nanobind_version, sys.version, platform.machine(), self.compiler.identity]
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        return f"bridge-{digest([*texts, *versions, *self.flags, *self.link_flags])}{suffix}"

    def check_internals(self) -> None:
        """Raises unless nanobind would find the types that MLX has registered."""
        text = self.compiler.run(
            [*self.flags, "-E", "-P", "-x", "c++", "-"], '#include "nb_internals.h"\nmonoscan_key = NB_INTERNALS_KEY;\n'
        )
        expression = text.rpartition("monoscan_key")[2]
        ours = "__nb_internals_" + "".join(re.findall(r'"([^"]*)"', expression)) + "_mlx__"
        theirs = registered_internals()
        if ours not in theirs:
            found = ", ".join(theirs) or "none at all"
            raise BridgeUnavailable(
                f"nanobind {self.nanobind_version} does not match mlx {mlx_version()}: it would register {ours}, and "
                f"mlx has {found}; install the nanobind whose internals version (the number after _v) is mlx's"
            )

    def build(self, path: Path) -> None:
        """Compiles the bridge and nanobind side by side and links them."""
        self.check_internals()
        print(f"monoscan: building the CPU bridge for mlx {mlx_version()} (once; about 10 s)", file=sys.stderr)
        sources = (HERE / "bridge.cpp", self.nanobind / "src" / "nb_combined.cpp")
        objects = [path.with_name(f"{source.stem}.o") for source in sources]
        running: list[subprocess.Popen[str]] = []
        for source, made in zip(sources, objects, strict=True):
            running.append(self.compiler.start([*self.flags, "-c", source, "-o", made]))
        failures = [failure for failure in map(_failure, running) if failure is not None]
        if failures:
            raise failures[0]
        self.compiler.run([*objects, *self.link_flags, "-o", path])


def mlx_version() -> str:
    """The version of the MLX that is loaded; its stub does not declare it."""
    return str(vars(mx)["__version__"])


def find_recipe() -> Recipe:
    """Finds everything that a build needs.

    Raises:
        BridgeUnavailable: Something is missing.
    """
    if os.name != "posix":
        raise BridgeUnavailable("the CPU bridge needs a POSIX system")
    compiler = find_compiler()
    spec = importlib.util.find_spec("nanobind")
    if spec is None or spec.origin is None:
        raise BridgeUnavailable("nanobind is not installed: pip install 'monoscan[cpu]'")
    recipe = Recipe(compiler, Path(spec.origin).parent, importlib.import_module("nanobind").__version__)
    needed = {
        recipe.mlx / "include" / "mlx" / "primitives.h": f"the headers of mlx {mlx_version()} are not installed",
        recipe.nanobind / "src" / "nb_combined.cpp": "nanobind is installed without its sources",
        Path(sysconfig.get_paths()["include"]) / "Python.h": "Python's headers are missing: install python3-dev",
    }
    for path, reason in needed.items():
        if not path.exists():
            raise BridgeUnavailable(reason)
    return recipe


def registered_internals(domain: str = "mlx") -> list[str]:
    """The keys under which nanobind modules of a domain share their types."""
    if sys.implementation.name != "cpython":
        raise BridgeUnavailable("the CPU bridge needs CPython")
    get, interpreter = ctypes.pythonapi.PyInterpreterState_GetDict, ctypes.pythonapi.PyInterpreterState_Get
    interpreter.restype = ctypes.c_void_p
    # A borrowed reference, which py_object as the result type would release once too often.
    get.argtypes, get.restype = [ctypes.c_void_p], ctypes.c_void_p
    keys = [str(key) for key in ctypes.cast(get(interpreter()), ctypes.py_object).value]
    return [key for key in keys if key.startswith("__nb_internals_") and key.endswith(f"_{domain}__")]


@attrs.define
class _Loader:
    """Loads at most one bridge into the process, and remembers why a build failed."""

    lock: threading.Lock = attrs.field(factory=threading.Lock)
    bridge: Bridge | None = None
    path: Path | None = None
    failures: dict[str, BridgeUnavailable] = attrs.field(factory=dict)

    def load(self) -> Bridge:
        if self.bridge is not None:
            return self.bridge
        with self.lock:
            if self.bridge is None:
                self.bridge = self._open(find_recipe())
            return self.bridge

    def _open(self, recipe: Recipe) -> Bridge:
        if recipe.name in self.failures:
            raise self.failures[recipe.name]
        try:
            self.path = cache.cached(recipe.name, recipe.build)
            return _import(self.path)
        except BridgeUnavailable as failure:
            self.failures[recipe.name] = failure
            raise

    def status(self) -> Status:
        if self.bridge is not None:
            return Status(True, path=self.path)
        try:
            recipe = find_recipe()
        except BridgeUnavailable as failure:
            return Status(False, failure.reason)
        if recipe.name in self.failures:
            return Status(False, self.failures[recipe.name].reason)
        path = cache.find(recipe.name)
        return Status(True, "" if path else "not built yet; the first kernel builds it", path)


_LOADER = _Loader()


def load() -> Bridge:
    """The bridge, built first if need be.

    Raises:
        BridgeUnavailable: It cannot be built or loaded here; ``reason`` says why.
    """
    return _LOADER.load()


def status() -> Status:
    """Whether the bridge is available; builds and loads nothing."""
    return _LOADER.status()


def _failure(process: subprocess.Popen[str]) -> BridgeUnavailable | None:
    try:
        finish(process)
    except BridgeUnavailable as failure:
        return failure
    return None


def _import(path: Path) -> Bridge:
    loader = importlib.machinery.ExtensionFileLoader(MODULE, str(path))
    spec = importlib.util.spec_from_file_location(MODULE, path, loader=loader)
    if spec is None:
        raise BridgeUnavailable(f"{path} is not a module")
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except (ImportError, OSError) as error:
        raise BridgeUnavailable(f"the built bridge does not load: {error}") from error
    bridge = cast(Bridge, module)
    if not bridge.shares_types():
        raise BridgeUnavailable(f"the built bridge does not share types with mlx {mlx_version()}")
    return bridge
