"""Kernels of a GPU, compiled by the C++ compiler and run on the machine of fibres in ``shim/``."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
import numpy as np
import pytest

from monoscan.lowering.render import gpu
from monoscan.lowering.render.gpu import ITEMS, Dialect
from monoscan.lowering.render.gpu_spec import Body, GpuSpec
from monoscan.lowering.targets.cpu import build, disk
from monoscan.lowering.targets.cpu.compiler import digest, find_compiler
from monoscan.lowering.targets.gpu.launch import Output

SHIM = Path(__file__).parent / "shim"
DIALECT = Dialect(
    "#include <prelude.h>",
    ("shim::group()", "shim::thread()", "shim::thread() % shim::width", "shim::thread() / shim::width"),
)
FLAGS = ["-O1", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno", "-fPIC", f"-I{SHIM}"]
KERNEL_FLAGS = ["-std=c++14", "-fno-exceptions", "-fno-rtti", "-ftrivial-auto-var-init=pattern"]
NUMPY = {"bfloat16": "uint16"}


needs_shim = pytest.mark.skipif(not build.status().available, reason="no C++ compiler")


class Fault(AssertionError):
    """What the machine found wrong."""


@attrs.define
class Shim:
    """Starts kernels on the machine; a ``Start``.

    Args:
        seed: Of the random schedule.
        resident: How many groups run at a time.
        starve: Whether the group that began first waits until no other gets on.
        faulty: Text in place of other text, as a mistake in a header would put it there.
    """

    seed: int = 1
    resident: int = 2
    starve: bool = False
    faulty: tuple[str, str] | None = None
    replaced: bool = attrs.field(default=False, init=False)
    started: list[GpuSpec] = attrs.field(factory=list, init=False)

    def __call__(
        self, spec: GpuSpec, arrays: Sequence[mx.array], outputs: Sequence[Output], groups: int
    ) -> list[mx.array]:
        inputs = [as_numpy(x) for x in arrays]
        if spec.body is Body.LOOK_BACK:
            inputs.insert(1, np.zeros(groups + 1, np.uint32))
        made = [np.full(y.shape, poison(y.dtype), NUMPY.get(y.dtype, y.dtype)) for y in outputs]
        self.run(spec, inputs, made, groups)
        return [as_array(y, output.dtype) for y, output in zip(made, outputs, strict=True)]

    def run(self, spec: GpuSpec, inputs: Sequence[Any], made: Sequence[Any], groups: int) -> None:
        """The same on arrays of NumPy, flags among the inputs; what is made is there before."""
        source = text(spec)
        self.started.append(spec)
        if self.faulty is not None:
            self.replaced |= self.faulty[0] in source
            source = source.replace(*self.faulty)
        written = [np.zeros(y.shape, np.uint8) for y in made]
        every = [*inputs, *made]
        pointers = (ctypes.c_void_p * len(every))(*(x.ctypes.data for x in every))
        counts = (ctypes.c_longlong * len(every))(*(x.size for x in every))
        marks = (ctypes.c_void_p * len(every))(*[None] * len(inputs), *(w.ctypes.data for w in written))
        library = compile_text(source)
        library.run.restype = ctypes.c_char_p
        failed = library.run(
            pointers, counts, marks, ctypes.c_uint(groups), ctypes.c_uint(spec.threads), ctypes.c_uint(self.resident),
            ctypes.c_bool(self.starve), ctypes.c_ulonglong(self.seed),
        )  # fmt: skip
        if failed:
            raise Fault(failed.decode())
        if not all(w.all() for w in written):
            raise Fault("an output that nobody wrote")


def text(spec: GpuSpec) -> str:
    """All that is compiled."""
    arguments = [("ms::i64", "input<ms::i64>", "sizes")]
    arguments += [("unsigned", "flags", "flags")] if spec.body is Body.LOOK_BACK else []
    for a in spec.arrays:
        item = f"ms::{ITEMS[a.dtype]}"
        arguments.append((item, f"{'output' if a.written else 'input'}<{item}>", a.name))
    lines = []
    for number, (item, kind, name) in enumerate(arguments):
        marks = f", written[{number}]" if kind.startswith("output") else ""
        lines.append(f"  const shim::{kind} {name}{{({item}*)arrays[{number}]{marks}, counts[{number}]}};")
    body = "\n".join(lines)
    return f"""\
{gpu.header(spec, DIALECT)}
static void body(void* const* arrays, const ms::i64* counts, unsigned char* const* written) {{
{body}
{gpu.body(spec, DIALECT)}}}
extern "C" const char* run(void* const* arrays, const ms::i64* counts, unsigned char* const* written,
                           unsigned groups, unsigned threads, unsigned resident, bool starve, ms::u64 seed) {{
  return shim::execute({{body, arrays, counts, written, groups, threads, resident, starve, seed}});
}}
"""


@functools.cache
def compile_text(source: str) -> ctypes.CDLL:
    """A kernel, linked with the machine."""
    compiler, machine = find_compiler(), part("machine.cpp")
    key = digest([source, machine.name, compiler.identity, *KERNEL_FLAGS, (SHIM / "prelude.h").read_text()])

    def build(path: Path) -> None:
        command = [*FLAGS, *KERNEL_FLAGS, "-shared", "-x", "c++", "-", "-x", "none", machine, "-o", path]
        compiler.run(command, source, path.parent)

    return disk.obtain(f"shim-{key}.so", build, lambda path: ctypes.CDLL(os.fspath(path)))


@functools.cache
def part(name: str) -> Path:
    """A part of the machine, compiled once."""
    compiler = find_compiler()
    parts = [(SHIM / each).read_text() for each in ("machine.h", name)]
    key = digest([*parts, compiler.identity, *FLAGS])

    def build(path: Path) -> None:
        compiler.run([*FLAGS, "-O2", "-std=c++17", "-c", SHIM / name, "-o", path], "", path.parent)

    return disk.obtain(f"shim-{name}-{key}.o", build, lambda path: path)


def as_numpy(x: mx.array) -> Any:
    return np.ascontiguousarray(np.array(x.view(mx.uint16) if x.dtype == mx.bfloat16 else x))


def as_array(y: Any, dtype: str) -> mx.array:
    found = mx.array(y)
    return found.view(mx.bfloat16) if dtype == "bfloat16" else found


def poison(dtype: str) -> Any:
    return 0x7FC1 if dtype == "bfloat16" else np.nan if "float" in dtype else 77 if dtype != "bool" else True
