"""Makes a package of ``carried`` on any machine with NVRTC: neither a GPU nor a driver is needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
from attrs import define, field

import monoscan as ms
from benchmarks.gpu.carried import package
from benchmarks.gpu.carried.package import Buffer, Case, Expected, Kernel, Launch, Manifest
from benchmarks.gpu.carried.peers import CUB
from benchmarks.gpu.cases import Checked, Timed
from benchmarks.gpu.record import FOR_CUDA, Found, as_numpy, record, record_gradient
from benchmarks.gpu.sweep import forms, kernel_of
from monoscan.lowering.plan.gpu_launches import registers
from monoscan.lowering.render import cuda
from monoscan.lowering.render.gpu_spec import GpuSpec
from monoscan.lowering.targets.cpu import build
from monoscan.lowering.targets.cuda import nvrtc
from monoscan.lowering.targets.cuda.nvrtc import Cubin
from monoscan.lowering.targets.gpu.launch import Planned

ARCHITECTURES = ("sm_80", "sm_90", "sm_120")
"""Ampere and Ada, Hopper, Blackwell's GeForce; NVRTC takes others too, as sm_75 and sm_100."""

HERE = Path(__file__).parent
MAIN = """\
import sys
from pathlib import Path

from carried.main import main

sys.exit(main(Path(__file__).parent))
"""

Compile = Callable[[str, str], Cubin]
"""Compiles a text for an architecture."""


@define
class Package:
    """A package in the making.

    Args:
        folder: Where it goes.
        architectures: What it holds code for.
        cases: The cases so far.
        arrays: The arrays so far.
        kernels: The kernels so far, by what they compute.
    """

    folder: Path
    architectures: Sequence[str]
    cases: list[Case] = field(factory=list)
    arrays: dict[str, np.ndarray] = field(factory=dict)
    kernels: dict[GpuSpec, str] = field(factory=dict)

    def check(self, case: Checked) -> None:
        """Adds a case that is compared."""
        elems = case.elements()
        exact = False
        if case.gradient:
            found, right = record_gradient(case.made(), elems, case.axis)
        else:
            found = record(case.made(), elems, case.axis, **case.options(elems))
            exact = found.in_order and build.status().available
            right = case.expected(elems, in_order=exact)
        number = len(self.cases)
        expected = []
        for output, x in zip(found.outputs, right, strict=True):
            values = as_numpy(x.astype(mx.float32) if x.dtype == mx.bfloat16 else x)
            name = f"{number} expected {output}"
            self.arrays[name] = values
            same = exact or values.dtype.kind in "biu"
            expected.append(Expected(output, name, same, case.tolerance))
        buffers = self._buffers(found, lambda i: self._stored(f"{number} buffer {i}", found.held[i]))
        launches = self._launches(found)
        self.cases.append(Case(case.name, case.operator, list(case.shape), case.axis, buffers, launches, expected))

    def sweep(self, case: Timed) -> None:
        """Adds a scan that is timed in all forms."""
        kernel = kernel_of(case)
        for place, form in enumerate(forms(kernel.spec, kernel.shape)):
            self.time(case, lambda *_, form=form, **__: form.launches)
            self.cases[-1] = replace(
                self.cases[-1], group=case.name, body=form.body, form=form.numbers, planned=place == 0,
                name=f"{case.name}, {form.body}, {form.numbers}", state=registers(kernel.spec),
            )  # fmt: skip

    def time(self, case: Timed, how: Planned = FOR_CUDA) -> None:
        """Adds a case that is compared, then timed.

        Args:
            case: The case.
            how: How it is launched.
        """
        leaves = tuple(mx.zeros(shape) for shape in case.shapes())
        found = record(case.operator, leaves if len(leaves) > 1 else leaves[0], case.axis, how)
        inputs = [i for i, buffer in enumerate(found.buffers) if buffer.role == "input"]
        number = len(self.cases)

        def values(i: int) -> str:
            if i in inputs:
                return f"leaf {inputs.index(i)}"
            return self._stored(f"{number} buffer {i}", found.held[i])

        buffers = self._buffers(found, values)
        size = sum(buffer.size for buffer in buffers if buffer.role in ("input", "output"))
        expected = [Expected(output, "", False, 1e-3) for output in found.outputs]
        name = case.operator.name
        launches = self._launches(found)
        shape = list(case.shape)
        self.cases.append(Case(case.name, name, shape, case.axis, buffers, launches, expected, case.formula, size))

    def finish(self, compiled: Compile) -> Manifest:
        """Compiles the kernels and writes everything."""
        jobs = [(spec, name, each) for spec, name in self.kernels.items() for each in self.architectures]
        print(f"Compiling {len(jobs):,} kernels by NVRTC, in about half a second each.", file=sys.stderr, flush=True)
        with ThreadPoolExecutor() as pool:  # NVRTC runs outside Python's lock
            made = list(pool.map(lambda job: compiled(cuda.text(job[0]), job[2]), jobs))
        kernels = {name: Kernel(cuda.NAME, {}, {}) for name in self.kernels.values()}
        for (_, name, architecture), cubin in zip(jobs, made, strict=True):
            (self.folder / package.cubin(name, architecture)).write_bytes(cubin.code)
            kernels[name].registers[architecture] = cubin.registers
            kernels[name].spilled[architecture] = cubin.spilled
        manifest = Manifest(_versions(), list(self.architectures), kernels, self.cases)
        manifest.write(self.folder)
        np.savez_compressed(self.folder / package.ARRAYS, **self.arrays)
        shutil.copytree(HERE / "carried", self.folder / "carried", ignore=shutil.ignore_patterns("__pycache__"))
        (self.folder / "__main__.py").write_text(MAIN, encoding="utf-8")
        return manifest

    def _stored(self, name: str, x: mx.array | None) -> str:
        if x is None:
            return ""
        self.arrays[name] = as_numpy(x)
        return name

    def _buffers(self, found: Found, values: Callable[[int], str]) -> list[Buffer]:
        starts = [buffer.role in ("input", "sizes") for buffer in found.buffers]
        return [
            Buffer(b.role, b.shape, b.dtype, values(i) if start else "")
            for i, (b, start) in enumerate(zip(found.buffers, starts, strict=True))
        ]

    def _launches(self, found: Found) -> list[Launch]:
        made = []
        for each in found.launches:
            name = self.kernels.setdefault(each.spec, f"kernel{len(self.kernels):03}")
            threads = each.spec.threads
            made.append(Launch(name, each.spec.body.value, list(each.grid), threads, list(each.arguments)))
        return made


def pack(
    folder: Path,
    checked: Iterable[Checked],
    timed: Iterable[Timed],
    architectures: Sequence[str] = ARCHITECTURES,
    compiled: Compile = nvrtc.compile_text,
    swept: Iterable[Timed] = (),
) -> Manifest:
    """Writes a package into an empty folder.

    Args:
        folder: Where; it is made if it is not there.
        checked: What is compared.
        timed: What is compared and timed.
        architectures: What it holds code for.
        compiled: What compiles a text for one of them.
        swept: What is timed in all forms; then the package does nothing else.

    Raises:
        FileExistsError: The folder holds something.
        NvrtcError: There is no NVRTC, or it refuses a kernel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    made = Package(folder, architectures)
    for case in checked:
        made.check(case)
    for case in timed:
        made.time(case)
    for case in swept:
        made.sweep(case)
    return made.finish(compiled)


def pack_cub(folder: Path, architectures: Sequence[str] = ARCHITECTURES) -> str:
    """Adds CUB's scans to a package; returns why not if that cannot be done."""
    compiler = shutil.which("nvcc")
    if compiler is None:
        return "nvcc is not there"
    codes = [f"-gencode=arch={each.replace('sm', 'compute')},code={each}" for each in architectures]
    options = ["-shared", "-Xcompiler", "-fPIC", "-cudart", "static", "-O3", "--fmad=false", *codes]
    command = [compiler, *options, str(HERE / "cub_scans.cu"), "-o", str(folder / CUB)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode and done.stderr else ""


def _versions() -> dict[str, str]:
    return {"monoscan": ms.__version__, "MLX": mx.__version__, "NVRTC": _nvrtc()}


def _nvrtc() -> str:
    try:
        return nvrtc.version()
    except nvrtc.NvrtcError:
        return "none"
