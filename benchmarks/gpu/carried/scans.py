"""Runs the cases of a package on a GPU, and compares what comes out with what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .driver import Cuda, DriverError
from .formulas import inputs, reference
from .package import Buffer, Case, Expected, Manifest, cubin

POISON = 0xFF
"""The byte that outputs and scratch hold before a run: a float of these bytes is no number."""


class Code:
    """The functions of a package, loaded when they are asked for.

    Args:
        cuda: The GPU.
        manifest: The package.
        folder: Where it lies.
        architecture: Which of its architectures.
    """

    def __init__(self, cuda: Cuda, manifest: Manifest, folder: Path, architecture: str) -> None:
        self.cuda, self.manifest = cuda, manifest
        self._folder, self._architecture = folder, architecture
        self._loaded: dict[str, Any] = {}

    def function(self, kernel: str) -> Any:
        """A kernel's function."""
        if kernel not in self._loaded:
            code = (self._folder / cubin(kernel, self._architecture)).read_bytes()
            self._loaded[kernel] = self.cuda.load(code, self.manifest.kernels[kernel].symbol)
        return self._loaded[kernel]


class Scan:
    """A case with its memory on the GPU; as a context it gives the memory back.

    Args:
        code: The functions.
        case: The case.
        arrays: The arrays of the package.
    """

    def __init__(self, code: Code, case: Case, arrays: dict[str, np.ndarray]) -> None:
        self._cuda, self.case = code.cuda, case
        self.leaves: dict[int, np.ndarray] = {}
        self._functions = [code.function(launch.kernel) for launch in case.launches]
        self.addresses: list[int] = []
        for number, buffer in enumerate(case.buffers):
            self.addresses.append(self._cuda.allocate(buffer.size))
            if buffer.values:
                x = _values(case, buffer, arrays)
                self._cuda.upload(self.addresses[-1], x)
                if buffer.role == "input":
                    self.leaves[number] = x

    def __enter__(self) -> Scan:
        return self

    def __exit__(self, *_: object) -> None:
        for address in self.addresses:
            self._cuda.release(address)

    def __call__(self) -> None:
        """Asks for the scan."""
        for buffer, address in zip(self.case.buffers, self.addresses, strict=True):
            if buffer.role == "flags":
                self._cuda.fill(address, 0, buffer.size)
        for launch, function in zip(self.case.launches, self._functions, strict=True):
            self._cuda.launch(function, launch.grid, launch.threads, [self.addresses[i] for i in launch.arguments])

    def poison(self) -> None:
        """Makes what kernels are to write no number."""
        for buffer, address in zip(self.case.buffers, self.addresses, strict=True):
            if buffer.role in ("output", "scratch"):
                self._cuda.fill(address, POISON, buffer.size)

    def output(self, expected: Expected) -> np.ndarray:
        """What an output holds."""
        buffer = self.case.buffers[expected.buffer]
        return self._cuda.download(self.addresses[expected.buffer], buffer.shape, buffer.stored)


def verdict(scan: Scan, values: Sequence[np.ndarray]) -> str:
    """Empty if a case is right, and so are the bits of a second run; else a sentence.

    Args:
        scan: The case.
        values: What is expected, as `expected_of` gives it.
    """
    try:
        runs = []
        for _ in range(2):
            scan.poison()
            scan()
            runs.append([scan.output(each) for each in scan.case.expected])
    except DriverError as error:
        return str(error)
    for expected, right, first, second in zip(scan.case.expected, values, *runs, strict=True):
        buffer = scan.case.buffers[expected.buffer]
        wrong = difference(_decoded(first, buffer), right, expected.exact, expected.tolerance)
        if not wrong and first.tobytes() != second.tobytes():
            wrong = "other bits in a second run"
        if wrong:
            return wrong
    return ""


def difference(got: np.ndarray, expected: np.ndarray, exact: bool, tolerance: float) -> str:
    """Empty if two arrays are equal, bit by bit or nearly; else where they differ most."""
    got = got.reshape(expected.shape)
    if exact:
        wrong = ~((got == expected) | ((got != got) & (expected != expected)))
        error = wrong.astype(np.float64)
    else:
        got, expected = got.astype(np.float64), expected.astype(np.float64)
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        with np.errstate(invalid="ignore"):
            error = np.where(same, 0, np.abs(got - expected) / (np.abs(expected) + 0.1))
        wrong = ~(error <= tolerance)
    if not wrong.any():
        return ""
    place = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
    where = ", ".join(map(str, map(int, place)))
    return f"{int(wrong.sum())} of {wrong.size} differ, as [{where}]: {got[place]}, expected {expected[place]}"


def _values(case: Case, buffer: Buffer, arrays: dict[str, np.ndarray]) -> np.ndarray:
    if buffer.values in arrays:
        return arrays[buffer.values]
    return _made(case.formula, int(buffer.values.removeprefix("leaf ")), *buffer.shape)


@lru_cache(maxsize=2)  # of a scan that is run in many forms
def _made(formula: str, leaf: int, *shape: int) -> np.ndarray:
    return inputs(formula, leaf, list(shape))


def expected_of(scan: Scan, arrays: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
    """What each output must hold."""
    if not scan.case.formula:
        return [arrays[each.values] for each in scan.case.expected]
    leaves = tuple(scan.leaves[number] for number in sorted(scan.leaves))
    return reference(scan.case.formula, leaves, scan.case.axis)


def _decoded(x: np.ndarray, buffer: Buffer) -> np.ndarray:
    if buffer.dtype == "bfloat16":
        return (x.astype(np.uint32) << 16).view(np.float32)
    return x
