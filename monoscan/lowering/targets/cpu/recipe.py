"""What the bridge is made from, and how: against the installed MLX, by the machine's compiler."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.machinery
import importlib.util
import os
import platform
import re
import sys
import sysconfig
from functools import cached_property
from pathlib import Path

import attrs
import mlx.core as mx

from monoscan.lowering.render import headers
from monoscan.lowering.targets.cpu.compiler import (
    BridgeUnavailable,
    Compiler,
    digest,
    find_compiler,
    finish,
    sanitizers,
)
from monoscan.lowering.targets.cpu.machine import architecture_flags
from monoscan.lowering.targets.failures import say

HERE = Path(__file__).parent
BRIDGE = HERE / "bridge"

_FLAGS = (
    # O1: the bridge holds no loop over elements, and O2 would take twice as long.
    "-std=c++20", "-O1", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-DNB_DOMAIN=mlx", "-DNDEBUG",
    "-DNB_COMPACT_ASSERTIONS",
)  # fmt: skip
_BUILD_SECONDS = 300
_LOOK_SECONDS = 30
_ENDS = 1 << 16


@attrs.frozen(slots=False)
class Recipe:
    """All that the bridge is made from."""

    compiler: Compiler
    nanobind: Path
    nanobind_version: str

    @property
    def mlx(self) -> Path:
        """The folder of the installed MLX."""
        return mlx_folder()

    @property
    def flags(self) -> tuple[str, ...]:
        """How both sources are compiled."""
        folders = (
            HERE, headers.FOLDER, self.mlx / "include", self.nanobind / "include", self.nanobind / "src",
            self.nanobind / "ext" / "robin_map" / "include", python_headers(),
        )  # fmt: skip
        return (
            *_FLAGS,
            *architecture_flags(),
            f"-iquote{BRIDGE}",
            *(f"-I{folder}" for folder in folders),
            *self.compiler.sanitizer_flags,
        )

    @property
    def link_flags(self) -> tuple[str, ...]:
        """How the objects are linked."""
        library = self.mlx / "lib"
        return ("-shared", *_link_options(library), f"-L{library}", "-lmlx", *self.compiler.sanitizer_flags)

    @cached_property
    def name(self) -> str:
        """The file's name, with a hash of all that it depends on: contents and versions, not where they lie."""
        toolchain = [self.nanobind_version, self.compiler.identity, *_FLAGS, *self.compiler.sanitizer_flags]
        return f"{stem()}-{digest(toolchain)[:8]}{importlib.machinery.EXTENSION_SUFFIXES[0]}"

    def check_internals(self) -> None:
        """Raises unless nanobind would find the types that MLX has registered."""
        source = '#include "nb_internals.h"\nmonoscan_key = NB_INTERNALS_KEY;\n'
        text = self.compiler.run([*self.flags, "-E", "-P", "-x", "c++", "-"], source, seconds=_LOOK_SECONDS)
        _, wrote, expression = text.rpartition("monoscan_key")
        if not wrote:
            raise BridgeUnavailable(f"{self.compiler.command[0]} reported success and wrote nothing")
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
        say(f"building the CPU bridge for mlx {mlx_version()} (once for each version of it; 10 to 20 s)")
        sources = (BRIDGE / "module.cpp", self.nanobind / "src" / "nb_combined.cpp")
        objects = [path.with_name(f"{source.stem}.o") for source in sources]
        with contextlib.ExitStack() as stack:
            running = [
                stack.enter_context(self.compiler.start([*self.flags, "-c", source, "-o", made], path.parent))
                for source, made in zip(sources, objects, strict=True)
            ]
            for process in running:
                finish(process, seconds=_BUILD_SECONDS)
        self.compiler.run([*objects, *self.link_flags, "-o", path], scratch=path.parent)


def mlx_version() -> str:
    """The version of the MLX that is loaded; its stub does not declare it."""
    return str(vars(mx)["__version__"])


def mlx_folder() -> Path:
    """The folder of the installed MLX."""
    return Path(mx.__file__).parent


def python_headers() -> Path:
    """The folder that should hold Python.h."""
    try:
        return Path(sysconfig.get_paths()["include"])
    except ImportError:  # a minimal Python does not know
        return Path("/nonexistent")


def stem() -> str:
    """The file's name without the compiler and nanobind: what the bridge does, and for which MLX and Python.

    A bridge that another compiler made from the same serves where none can be built.
    """
    sources = [*sorted(BRIDGE.glob("*.h")), BRIDGE / "module.cpp", headers.FOLDER / "contract.h"]
    try:
        texts = [source.read_text(encoding="utf-8") for source in sources]
    except OSError as error:  # as in an archive: nothing is built from it, and nothing found
        return f"bridge-{error.errno}"
    place = [str(mlx_folder())] if sys.platform == "darwin" else []
    return (
        f"bridge-{digest([*texts, mlx_version(), _mlx_build(), sys.version, platform.machine(), sanitizers(), *place])}"
    )


def _mlx_build() -> str:
    """Tells builds of one version apart: the ends of the library hold its build number and its tables."""
    for library in sorted((mlx_folder() / "lib").glob("libmlx.*")):
        with open(library, "rb") as file:
            head, size = file.read(_ENDS), file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _ENDS))
            return f"{size} {hashlib.sha256(head + file.read()).hexdigest()}"
    return ""


def _link_options(library: Path) -> tuple[str, ...]:
    """How libmlx is found at run time.

    Python has loaded it by then. Elsewhere than on macOS its name is enough, so one bridge serves every environment
    that holds this MLX.
    """
    return (
        ("-undefined", "dynamic_lookup", f"-Wl,-rpath,{library}", *architecture_flags())
        if sys.platform == "darwin"
        else ()
    )


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
    try:
        version = str(importlib.import_module("nanobind").__version__)
    except Exception as error:  # another module of that name may raise anything
        raise BridgeUnavailable(f"the nanobind at {spec.origin} does not work: {error}") from error
    recipe = Recipe(compiler, Path(spec.origin).parent, version)
    needed = {
        recipe.mlx / "include" / "mlx" / "primitives.h": f"the headers of mlx {mlx_version()} are not installed",
        recipe.nanobind / "src" / "nb_combined.cpp": "nanobind is installed without its sources",
        python_headers() / "Python.h": "Python's headers are missing: install python3-dev",
    }
    for path, reason in needed.items():
        if not os.path.exists(path):  # unlike the method of a path, no error where a folder may not be searched
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
