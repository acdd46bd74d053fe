"""Compiles rendered kernels with the flags of every kernel, and calls them by hand, without the bridge.

Any warning is an error.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

import attrs
import numpy as np

from monoscan.lowering.program.numbers import table
from monoscan.lowering.render import KernelSpec, render
from monoscan.lowering.render.headers import expand
from monoscan.lowering.targets.cpu import disk
from monoscan.lowering.targets.cpu.compiler import digest, find_compiler
from monoscan.lowering.targets.cpu.kernels import kernel_flags

WARNINGS = ["-Werror", "-Wall", "-Wextra", "-Wconversion", "-Wno-psabi"]
MAX_OUTER = 32
NUMPY = {"bool": "uint8", "float16": "float16", "bfloat16": "uint16"}


class Array(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p), ("outer", ctypes.c_longlong * MAX_OUTER), ("axis", ctypes.c_longlong),
        ("inner", ctypes.c_longlong), ("lane", ctypes.c_longlong),
    )  # fmt: skip


class Launch(ctypes.Structure):
    _fields_ = (
        ("n", ctypes.c_longlong), ("inner", ctypes.c_longlong), ("outer_ndim", ctypes.c_longlong),
        ("outer_shape", ctypes.c_longlong * MAX_OUTER), ("outer_size", ctypes.c_longlong),
        ("has_init", ctypes.c_longlong), ("want_carry", ctypes.c_longlong), ("last_level_cache", ctypes.c_longlong),
        ("threads", ctypes.c_longlong), ("window", ctypes.c_longlong), ("sequences", ctypes.c_longlong),
        ("inputs", ctypes.POINTER(Array)), ("inits", ctypes.POINTER(Array)), ("outputs", ctypes.POINTER(Array)),
        ("carries", ctypes.POINTER(Array)), ("bounds", ctypes.POINTER(Array)), ("lengths", ctypes.POINTER(Array)),
        ("fills", ctypes.POINTER(ctypes.c_void_p)), ("numbers", ctypes.c_char_p), ("scratch", ctypes.c_void_p),
    )  # fmt: skip


class Schedule(ctypes.Structure):
    _fields_ = (("phases", ctypes.c_longlong), ("tasks", ctypes.c_longlong * 4), ("scratch_bytes", ctypes.c_longlong))


def store_dtype(name: str) -> str:
    """The NumPy dtype whose items a storage dtype is held in."""
    return NUMPY.get(name, name)


def compile_source(source: str) -> ctypes.CDLL:
    """The shared library of a kernel's source, with the driver in one text."""
    return _compile(expand(source + '#include "driver.cpp"\n'))


@functools.cache
def _compile(text: str) -> ctypes.CDLL:
    compiler = find_compiler()
    flags = [*kernel_flags(compiler), *WARNINGS]

    def build(path: Path) -> None:
        compiler.run([*flags, "-shared", "-x", "c++", "-", "-o", path, "-lm"], text, path.parent)

    key = digest([text, compiler.identity, *flags])
    return disk.obtain(f"driven-{key}.so", build, lambda path: ctypes.CDLL(os.fspath(path)))


def _describe(array: np.ndarray, outer_ndim: int, batch: int) -> Array:
    """An array of shape (outer..., [n,] inner, event...); `batch` axes come before the events."""
    size = array.itemsize
    strides = [s // size for s in array.strides]
    outer = (ctypes.c_longlong * MAX_OUTER)(*strides[:outer_ndim])
    axis = strides[outer_ndim] if batch == outer_ndim + 2 else 0
    inner = strides[batch - 1] if array.shape[batch - 1] > 1 else 0
    event = array.shape[batch:]
    lane = strides[-1] if event else 1
    return Array(array.ctypes.data, outer, axis, inner, lane)


def _extents(array: np.ndarray, outer_ndim: int) -> ctypes._Pointer[Array]:
    """Bounds or lengths of sequences, of shape (outer..., sequences, 1 or inner)."""
    strides = [s // array.itemsize for s in array.strides]
    outer = (ctypes.c_longlong * MAX_OUTER)(*strides[:outer_ndim])
    return ctypes.pointer(Array(array.ctypes.data, outer, strides[-2], strides[-1] if array.shape[-1] > 1 else 0, 1))


@attrs.define
class Answer:
    """What a kernel wrote: results, and carries where they were asked for."""

    results: list[np.ndarray]
    carries: list[np.ndarray]
    schedule: Schedule


@attrs.define
class Call:
    """A prepared call; `run` may be timed.

    Args:
        spec: The kernel.
        elements: Arrays of shape (outer..., n, inner, *event), of any strides.
        captures: Arrays of shape (outer..., inner, *event).
        init: None, or arrays of shape (outer..., [sequences,] inner, *event), one a state leaf.
        bounds: None, or where sequences begin, of shape (outer..., sequences + 1), rising, of 64 bits.
        lengths: None, or how many steps of each count, of shape (outer..., sequences, 1 or inner), of 32 bits.
        fills: Where there are bounds or lengths, what stands where nothing came yet, one array a state leaf.
        results: Where to write; fresh contiguous arrays if None.
    """

    spec: KernelSpec
    elements: list[np.ndarray]
    captures: list[np.ndarray] = attrs.field(factory=list)
    init: list[np.ndarray] | None = None
    carry: bool = False
    results: list[np.ndarray] | None = None
    last_level_cache: int = 0
    window: int = 0
    bounds: np.ndarray | None = None
    lengths: np.ndarray | None = None
    fills: list[np.ndarray] | None = None

    def __attrs_post_init__(self) -> None:
        spec, first = self.spec, self.elements[0]
        events = [leaf.shape for leaf in spec.state]
        batch = first.ndim - len(spec.element[0].shape)
        shape = first.shape[:batch]
        outer, (n, inner) = shape[:-2], shape[-2:]
        if self.results is None:
            self.results = [
                np.zeros((*shape, *events[leaf]), store_dtype(dtype))
                for leaf, dtype in zip(spec.emit, spec.results, strict=True)
            ] if spec.want_results else []  # fmt: skip
        sequences = () if self.bounds is None else (self.bounds.shape[-1] - 1,)
        rows = batch - 1 + len(sequences)
        carries = [np.zeros((*outer, *sequences, inner, *leaf.shape), store_dtype(leaf.dtype)) for leaf in spec.state]
        self.carries = carries if self.carry else []
        self.lib = compile_source(render(spec))
        sources = [_describe(a, len(outer), batch) for a in self.elements]
        sources += [_describe(a, len(outer), batch - 1) for a in self.captures]
        inits = [_describe(a, len(outer), rows) for a in self.init or carries]
        self.arrays = [
            (Array * max(1, len(list_)))(*list_)
            for list_ in (sources, inits, [_describe(a, len(outer), batch) for a in self.results],
                          [_describe(a, len(outer), rows) for a in carries])
        ]  # fmt: skip
        bounds = None if self.bounds is None else self.bounds[..., None]
        extents = [None if a is None else _extents(a, len(outer)) for a in (bounds, self.lengths)]
        fills = (ctypes.c_void_p * len(self.fills or ()))(*(a.ctypes.data for a in self.fills or ()))
        self.launch = Launch(
            n, inner, len(outer), (ctypes.c_longlong * MAX_OUTER)(*outer), int(np.prod(outer, dtype=int)),
            self.init is not None, self.carry, self.last_level_cache, 1, self.window, *sequences or (0,), *self.arrays, *extents,
            fills if self.fills else None, table(spec.program(spec.computed)), None,
        )  # fmt: skip
        self.schedule = Schedule()
        self.lib.ms_schedule(ctypes.byref(self.launch), ctypes.byref(self.schedule))
        scratch = np.full(self.schedule.scratch_bytes + 64, 0xA5, np.uint8)
        self.scratch = scratch[-scratch.ctypes.data % 64 :]
        self.launch.scratch = self.scratch.ctypes.data

    carries: list[np.ndarray] = attrs.field(init=False)
    lib: ctypes.CDLL = attrs.field(init=False)
    arrays: list[ctypes.Array[Array]] = attrs.field(init=False)
    launch: Launch = attrs.field(init=False)
    schedule: Schedule = attrs.field(init=False)
    scratch: np.ndarray = attrs.field(init=False)

    def run(self) -> Answer:
        """Runs every task in order, those of one phase backwards: they must not depend on one another."""
        for phase in range(self.schedule.phases):
            for task in reversed(range(self.schedule.tasks[phase])):
                self.lib.ms_task(ctypes.byref(self.launch), ctypes.c_longlong(phase), ctypes.c_longlong(task))
        assert self.results is not None
        return Answer(self.results, self.carries, self.schedule)
