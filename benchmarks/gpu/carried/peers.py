"""What a scan is raced against on the same GPU: a copy, CUB, PyTorch and JAX, where they are there."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import blelloch, hillis_steele, one_by_one
from .driver import Cuda
from .formulas import FORMULAS
from .report import COPY
from .scans import Scan

CUB = "libcub_scans.so"
LONGEST_LOOP = 1 << 12
"""The most steps of a loop that starts kernels at each of them."""


@dataclass(frozen=True)
class Racer:
    """A peer that is ready.

    Args:
        name: Its name.
        call: Asks for the work.
        wait: Returns when it is done.
        result: What it computed; ``None`` for one that computes something else.
        close: Gives its memory back.
    """

    name: str
    call: Callable[[], Any]
    wait: Callable[[], Any]
    result: Callable[[], list[np.ndarray]] | None = None
    close: Callable[[], Any] = list


def missing(folder: Path) -> list[str]:
    """Which peers are not there."""
    found = [] if (folder / CUB).is_file() else ["CUB (nvcc was not there when the package was made)"]
    return [*found, *(f"{name} (not installed)" for name in ("torch", "jax") if find_spec(name) is None)]


def racers(cuda: Cuda, scan: Scan, folder: Path) -> Iterator[Callable[[], Racer]]:
    """What makes each peer of a case."""
    case = scan.case
    leaves = [scan.leaves[number] for number in sorted(scan.leaves)]
    yield lambda: copied(cuda, case.bytes)
    one_row = case.formula in ("add", "affine") and max(case.shape) == int(np.prod(case.shape))
    if one_row and (folder / CUB).is_file():
        yield lambda: _cub(cuda, scan, folder / CUB)
    if find_spec("torch") is not None:
        yield lambda: _torch("torch.cumsum of a leaf", lambda t, *x: (t.cumsum(x[-1], case.axis),), leaves, False)
        if case.shape[case.axis] <= LONGEST_LOOP and case.formula == "affine":
            combine = FORMULAS[case.formula]
            for name, algorithm in (("Hillis-Steele", hillis_steele), ("Blelloch", blelloch), ("loop", one_by_one)):
                yield lambda name=name, algorithm=algorithm: _torch(
                    f"{name} by torch", lambda t, *x: algorithm(combine, x, case.axis, t.cat), leaves
                )
    if find_spec("jax") is not None:
        yield lambda: _jax_scan(case.formula, leaves, case.axis)
        if case.shape[case.axis] <= LONGEST_LOOP:
            yield lambda: _jax_loop(case.formula, leaves, case.axis)


def copied(cuda: Cuda, size: int) -> Racer:
    """Reads and writes as many bytes as the scan does at least."""
    half = size // 2
    source, to = cuda.allocate(half), cuda.allocate(half)
    cuda.fill(source, 0, half)

    def close() -> None:
        cuda.release(source)
        cuda.release(to)

    return Racer(COPY, lambda: cuda.copy(to, source, half), cuda.wait, close=close)


def _cub(cuda: Cuda, scan: Scan, path: Path) -> Racer:
    """``cub::DeviceScan`` of one row, on the buffers of the scan."""
    library = ctypes.CDLL(os.fspath(path))
    inputs = [scan.addresses[number] for number in sorted(scan.leaves)]
    outputs = [scan.addresses[each.buffer] for each in scan.case.expected]
    n = ctypes.c_longlong(int(np.prod(scan.case.shape)))
    pointers = [ctypes.c_void_p(address) for address in (*inputs, *outputs)]
    function = getattr(library, f"cub_{scan.case.formula}")
    size = ctypes.c_size_t()
    _checked(function(None, ctypes.byref(size), *pointers, n))
    scratch = cuda.allocate(size.value)

    def call() -> None:
        _checked(function(ctypes.c_void_p(scratch), ctypes.byref(size), *pointers, n))

    def result() -> list[np.ndarray]:
        return [scan.output(each) for each in scan.case.expected]

    return Racer("CUB DeviceScan", call, cuda.wait, result, lambda: cuda.release(scratch))


def _checked(failed: int) -> None:
    if failed:
        raise RuntimeError(f"CUB: CUDA error {failed}")


def _torch(name: str, compute: Callable[..., Any], leaves: list[np.ndarray], same: bool = True) -> Racer:
    torch = import_module("torch")
    given = [torch.from_numpy(x).cuda() for x in leaves]
    found: list[Any] = []

    def call() -> None:
        found[:] = compute(torch, *given)

    result = (lambda: [x.cpu().numpy() for x in found]) if same else None
    return Racer(name, call, torch.cuda.synchronize, result)


def _jax(name: str, compute: Callable[..., Any], leaves: list[np.ndarray]) -> Racer:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax = import_module("jax")
    given = [jax.block_until_ready(jax.numpy.asarray(x)) for x in leaves]
    function = jax.jit(compute)
    found: list[Any] = []

    def call() -> None:
        found[:] = function(*given)

    return Racer(name, call, lambda: jax.block_until_ready(found), lambda: [np.asarray(x) for x in found])


def _jax_scan(formula: str, leaves: list[np.ndarray], axis: int) -> Racer:
    """`jax.lax.associative_scan`, jitted."""
    lax = import_module("jax.lax")
    combine = FORMULAS[formula]
    return _jax("jax associative_scan", lambda *x: lax.associative_scan(combine, x, axis=axis), leaves)


def _jax_loop(formula: str, leaves: list[np.ndarray], axis: int) -> Racer:
    """`jax.lax.scan`, jitted: one step after another."""
    jax = import_module("jax")
    combine = FORMULAS[formula]

    def step(total: Any, x: Any) -> tuple[Any, Any]:
        total = combine(total, x)
        return total, total

    def compute(*x: Any) -> Any:
        moved = tuple(jax.numpy.moveaxis(leaf, axis, 0) for leaf in x)
        later = jax.lax.scan(step, tuple(leaf[0] for leaf in moved), tuple(leaf[1:] for leaf in moved))[1]
        whole = (jax.numpy.concatenate([a[:1], b]) for a, b in zip(moved, later, strict=True))
        return tuple(jax.numpy.moveaxis(leaf, 0, axis) for leaf in whole)

    return _jax("jax lax.scan", compute, leaves)
