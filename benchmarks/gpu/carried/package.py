"""A package: machine code, the cases that it computes, and their arrays, as files in a folder.

``manifest.json`` says for each case which buffers there are and which kernels are launched on them, in order;
``arrays.npz`` holds what buffers start with and what is expected; a cubin stands in a file of its own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
MANIFEST, ARRAYS = "manifest.json", "arrays.npz"
STORED = {"bfloat16": "uint16"}
"""What NumPy calls the items of a dtype that it has not."""


@dataclass(frozen=True)
class Buffer:
    """Memory of a case.

    Args:
        role: ``sizes``, ``input``, ``flags`` (zero before each run), ``scratch`` or ``output``.
        shape: The shape.
        dtype: The dtype.
        values: The name of its array, or of a recipe and the number of the leaf; empty for what kernels write.
    """

    role: str
    shape: list[int]
    dtype: str
    values: str = ""

    @property
    def stored(self) -> str:
        """The dtype of NumPy."""
        return STORED.get(self.dtype, self.dtype)

    @property
    def size(self) -> int:
        """Its bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.stored).itemsize


@dataclass(frozen=True)
class Launch:
    """A kernel on buffers.

    Args:
        kernel: The kernel, by the name of its files.
        body: What threads do, as ``rows``.
        grid: The groups along two axes.
        threads: The threads of a group.
        arguments: The numbers of the buffers.
    """

    kernel: str
    body: str
    grid: list[int]
    threads: int
    arguments: list[int]


@dataclass(frozen=True)
class Expected:
    """What an output must hold.

    Args:
        buffer: Its number.
        values: The name of the array, in float64 or integers; empty if a formula gives it.
        exact: Whether not one bit may differ.
        tolerance: Else how far it may be off, relative to its size.
    """

    buffer: int
    values: str
    exact: bool
    tolerance: float


@dataclass(frozen=True)
class Case:
    """A scan.

    Args:
        name: Its name.
        operator: The operator.
        shape: The shape of the elements, without event axes.
        axis: The scan axis.
        buffers: The memory.
        launches: The launches, in order.
        expected: What comes out.
        formula: The formula and the recipe of a case that is timed; empty for one that is checked only.
        bytes: What it reads and writes at least.
        group: Of a form of a scan that is timed in many the scan; empty for all others.
        body: What its threads do.
        form: What tells it from other forms, by name.
        planned: It is that of the planner.
        state: The registers of a state.
    """

    name: str
    operator: str
    shape: list[int]
    axis: int
    buffers: list[Buffer]
    launches: list[Launch]
    expected: list[Expected]
    formula: str = ""
    bytes: int = 0
    group: str = ""
    body: str = ""
    form: dict[str, int] = field(default_factory=dict)
    planned: bool = False
    state: int = 0


@dataclass(frozen=True)
class Kernel:
    """Machine code.

    Args:
        symbol: The function's name.
        registers: The registers of a thread, by architecture.
        spilled: The bytes that a thread spills, by architecture.
    """

    symbol: str
    registers: dict[str, int]
    spilled: dict[str, int]


@dataclass(frozen=True)
class Manifest:
    """All of a package but its arrays and its code.

    Args:
        made_by: Versions of what made it.
        architectures: What it holds code for.
        kernels: By name.
        cases: In order.
        format: The version of this layout.
    """

    made_by: dict[str, str]
    architectures: list[str]
    kernels: dict[str, Kernel]
    cases: list[Case]
    format: int = field(default=FORMAT)

    def write(self, folder: Path) -> None:
        """Writes it."""
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def architecture(self, device: str) -> str | None:
        """The newest of its architectures whose code runs on a GPU: of the same generation, and not later."""
        own = _version(device)
        fitting = [each for each in self.architectures if _version(each)[0] == own[0] and _version(each)[1] <= own[1]]
        return max(fitting, key=_version, default=None)


def read(folder: Path) -> Manifest:
    """The manifest of a package.

    Raises:
        ValueError: It is of another format.
    """
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if found["format"] != FORMAT:
        raise ValueError(f"a package of format {found['format']}; this reads format {FORMAT}")
    kernels = {name: Kernel(**each) for name, each in found["kernels"].items()}
    return Manifest(found["made_by"], found["architectures"], kernels, [_case(each) for each in found["cases"]])


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of a package."""
    with np.load(folder / ARRAYS) as stored:
        return dict(stored)


def cubin(kernel: str, architecture: str) -> str:
    """The file of a kernel's code."""
    return f"{kernel}.{architecture}.cubin"


def _case(found: dict[str, Any]) -> Case:
    parts = {"buffers": Buffer, "launches": Launch, "expected": Expected}
    made = {name: [kind(**each) for each in found[name]] for name, kind in parts.items()}
    return Case(**{**found, **made})


def _version(architecture: str) -> tuple[int, int]:
    number = int(architecture.removeprefix("sm_"))
    return number // 10, number % 10
