"""The benchmark for GPUs but for the GPU: its package, its checks and its report, on the machine of fibres."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from fake_cuda import FakeCuda
from lazy_kernels import LazyShim
from scans import scan
from selection import thinned
from shim_driver import Shim, needs_shim

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import cases, on_mlx
from benchmarks.gpu.carried import arrays, formulas, package, peers
from benchmarks.gpu.carried.driver import Unavailable
from benchmarks.gpu.carried.main import NOTHING, RIGHT, WRONG, main
from benchmarks.gpu.carried.scans import difference
from benchmarks.gpu.cases import Checked, Timed
from benchmarks.gpu.pack import pack, pack_cub
from monoscan.lowering.render import cuda
from monoscan.lowering.render.gpu_spec import GpuSpec
from monoscan.lowering.targets.cuda import nvrtc
from monoscan.lowering.targets.cuda.nvrtc import Cubin

FEW = [
    Checked("Affine", (2, 300), 1, "int32", True, False, True),
    Checked("Affine", (7, 33), 0, "bfloat16"),
    Checked("Affine", (3, 100), 1, gradient=True),
    Checked("LogSumExp", (3, 4), 1),
]
TIMED = [Timed("affine", (1, 1 << 15), 1), Timed("affine", (1, 40, 33), 1)]


def named(code: str, _: str) -> Cubin:
    return Cubin(code.encode(), 40, 0)


@pytest.fixture
def emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Path, FakeCuda]]:
    """Makes a package of which the code is names, and a driver that knows them."""
    codes: dict[bytes, GpuSpec] = {}

    def text(spec: GpuSpec) -> str:
        name = f"code {len(codes)}"
        codes[name.encode()] = spec
        return name

    def make(checked: Any, timed: Any, swept: Any = (), **fake: Any) -> tuple[Path, FakeCuda]:
        monkeypatch.setattr(cuda, "text", text)
        pack(tmp_path / "package", checked, timed, ("sm_80", "sm_90"), named, swept)
        monkeypatch.undo()
        return tmp_path / "package", FakeCuda(codes, **fake)

    return make


@needs_shim
@pytest.mark.parametrize("jax", thinned([True, False], [False]))
def test_a_package_runs_and_reports(
    jax: bool, emulated: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, library = emulated(FEW, TIMED[1:])
    monkeypatch.setattr(peers, "find_spec", lambda name: find_spec(name) if jax and name == "jax" else None)
    assert main(folder, library, budget=0) == RIGHT
    report = capsys.readouterr().out
    assert "- GPU: a machine of fibres (sm_90)" in report
    assert "- driver: CUDA 13.0" in report
    assert "All 5 cases are right." in report
    columns = "| jax associative_scan | jax lax.scan " if jax and find_spec("jax") else ""
    assert f"| case | monoscan, ms | GB/s | a copy of as many bytes {columns}|" in report
    assert re.search(r"\| Affine \(1, 40, 33\) axis 1 \| [\d.]+ \| \d+ \| [\d.]+ \([\de.+-]+\) \|", report)
    assert "not there: torch" in report
    assert "wrong" not in report
    assert "failed" not in report
    assert not library.memory, "all memory is given back"


@needs_shim
def test_wrong_results_are_reported(emulated: Any, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Shim(faulty=("operation::combine(left, x, k)", "operation::combine(x, left, k)"))
    folder, library = emulated(FEW[:1], [], start=wrong)
    assert main(folder, library) == WRONG
    assert "**1 of 1 cases are wrong:**" in capsys.readouterr().out
    assert wrong.replaced


@needs_shim
@pytest.mark.long
def test_long_rows_look_back(emulated: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder, library = emulated([Checked("Affine", (1, 100_000), 1, "int32", init=True)], TIMED[:1])
    assert main(folder, library, budget=0) == RIGHT
    assert "look_back" in {body for body, *_ in library.launched}


@pytest.mark.sampled(6)
@needs_shim
@pytest.mark.parametrize("number", thinned(range(len(cases.checked())), []))
def test_every_case_is_right(number: int, emulated: Any) -> None:
    case = cases.checked()[number]
    folder, library = emulated([case], [])
    assert main(folder, library) == RIGHT


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        ({"failing": "cuInit"}, "the NVIDIA driver has no GPU for us: cuInit says CUDA_ERROR_NO_DEVICE"),
        ({"capability": (7, 5)}, "a machine of fibres is sm_75; the package holds code for sm_80, sm_90"),
    ],
)
def test_what_is_missing_is_said(fake: Any, reason: str, emulated: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder, library = emulated([], [], **fake)
    assert main(folder, library) == NOTHING
    assert reason in capsys.readouterr().out


@pytest.mark.parametrize(
    ("device", "found"),
    [("sm_80", "sm_80"), ("sm_89", "sm_80"), ("sm_90", "sm_90"), ("sm_121", "sm_120"), ("sm_75", None)],
)
def test_code_runs_on_later_gpus_of_its_generation(device: str, found: str | None) -> None:
    assert package.Manifest({}, ["sm_80", "sm_90", "sm_120"], {}, []).architecture(device) == found


def test_a_package_stands_alone(emulated: Any) -> None:
    """No monoscan, no MLX, no attrs: Python with NumPy alone runs it."""
    folder, _ = emulated([], [])
    blocked = "import sys\nfor name in ('mlx', 'monoscan', 'attrs', 'benchmarks'): sys.modules[name] = None\n"
    code = f"{blocked}import runpy\nsys.path.insert(0, {str(folder)!r})\nrunpy.run_path({str(folder)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == NOTHING, done.stderr
    assert "Nothing was run: no NVIDIA driver: libcuda.so.1 was not found." in done.stdout


def test_real_code_is_packed(tmp_path: Path) -> None:
    pytest.importorskip("nvidia", reason="no NVRTC")
    manifest = pack(tmp_path, FEW[3:], [])
    (kernel,) = manifest.kernels
    assert manifest == package.read(tmp_path)
    assert manifest.made_by["NVRTC"] == nvrtc.version()
    for architecture in ("sm_80", "sm_90", "sm_120"):
        code = (tmp_path / package.cubin(kernel, architecture)).read_bytes()
        assert code[:4] == b"\x7fELF"
        assert 0 < manifest.kernels[kernel].registers[architecture] <= 255
        assert cuda.NAME.encode() in code


@pytest.mark.long
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
def test_cub_is_compiled(tmp_path: Path) -> None:
    assert not pack_cub(tmp_path, ("sm_90",))
    library = ctypes.CDLL(str(tmp_path / peers.CUB))
    assert library.cub_add
    assert library.cub_affine


@needs_shim
def test_mlx_runs_and_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_mlx, "TRANSFORMED", {})
    report = on_mlx.run(FEW, TIMED[1:], {"GPU": "a machine of fibres"}, scan, budget=0)
    assert not report.wrong
    text = report.text()
    assert "- GPU: a machine of fibres\n" in text
    assert "All 5 cases are right." in text
    assert ("| mlx-scan blelloch |" if find_spec("mlx_scan") else "not there: mlx-scan (not installed)") in text
    assert "| Python loop |" in text
    assert "wrong" not in text
    assert "failed" not in text


@needs_shim
def test_mlx_reports_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise RuntimeError("[metal_kernel] no such function")

    swapped = Shim(faulty=("operation::combine(left, x, k)", "operation::combine(x, left, k)"))
    monkeypatch.setattr(on_mlx, "TRANSFORMED", {})
    assert "differ" in on_mlx.run(FEW[:1], [], {}, partial(scan, start=swapped)).text()
    assert "RuntimeError: [metal_kernel] no such function" in on_mlx.run(FEW[:1], [], {}, refused).text()


@pytest.fixture
def few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> None:
        raise Unavailable("no NVIDIA driver: libcuda.so.1 was not found")

    for name, found in {"checked": lambda: FEW[3:], "timed": lambda: TIMED[1:], "Cuda": nothing}.items():
        monkeypatch.setattr(command, name, found)
    monkeypatch.setattr(on_mlx, "missing", lambda: "MLX has no GPU here")
    monkeypatch.setattr(command, "pack_cub", lambda *_: "nvcc is not there")


@pytest.mark.usefixtures("few_cases")
def test_without_a_gpu_it_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == NOTHING
    said = capsys.readouterr().out
    assert "Nothing was run: MLX has no GPU here; no NVIDIA driver: libcuda.so.1 was not found." in said


@pytest.mark.usefixtures("few_cases")
def test_a_dry_run_compiles_and_says_what_would_be_launched(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nvidia", reason="no NVRTC")
    assert command.main(["--dry-run", "--architectures", "sm_90"]) == NOTHING
    said = capsys.readouterr().out
    assert re.search(
        r"LogSumExp \(3, 4\) axis 1: short_rows by 1 groups of 256 threads \(registers: \d+ on sm_90\)", said
    )
    assert "Nothing was run. 2 cases, 2 kernels for sm_90." in said


@pytest.mark.usefixtures("few_cases")
def test_a_package_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nvidia", reason="no NVRTC")
    arguments = ["--pack", str(tmp_path / "package"), "--architectures", "sm_90"]
    assert command.main(arguments) == RIGHT
    assert "2 cases, 2 kernels for sm_90, " in capsys.readouterr().out
    assert command.main(arguments) == NOTHING
    assert "package is not empty" in capsys.readouterr().out


@pytest.mark.parametrize("formula", formulas.FORMULAS)
@pytest.mark.parametrize("n", [1, 2, 3, 64, 101])
def test_references_are_right(formula: str, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formulas, "CHUNK", 60)
    shape = [n, 3, 2, 2] if formula == "matmul" else [n, 3]
    leaves = tuple(formulas.inputs(formula, i, shape) for i in range(2 if formula == "affine" else 1))
    total, expected = tuple(x[0].astype(np.float64) for x in leaves), []
    for t in range(n):
        total = formulas.FORMULAS[formula](total, tuple(x[t].astype(np.float64) for x in leaves)) if t else total
        expected.append(total)
    for leaf, found in enumerate(formulas.reference(formula, leaves, 0)):
        np.testing.assert_allclose(found, np.stack([each[leaf] for each in expected]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("algorithm", [arrays.hillis_steele, arrays.blelloch, arrays.one_by_one])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 21])
def test_peers_by_arrays_are_right(algorithm: Any, n: int) -> None:
    leaves = tuple(formulas.inputs("affine", i, [2, n, 3]) for i in (0, 1))
    found = algorithm(formulas.affine, leaves, 1, np.concatenate)
    for a, b in zip(found, formulas.reference("affine", leaves, 1), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_differences_are_found() -> None:
    x = np.array([1.0, np.nan, np.inf, 1e-9])
    assert not difference(x, x, True, 0)
    assert not difference(x + 1e-7, x, False, 1e-5)
    for other in ([1.1, np.nan, np.inf, 0], [1, 0, np.inf, 0], [1, np.nan, np.nan, 0], [1, np.nan, -np.inf, 0]):
        assert difference(np.array(other), x, False, 1e-5)
    assert difference(np.nextafter(x, 2), x, True, 1)


@pytest.mark.long
@needs_shim
def test_acts_in_order_give_the_cpus_bits(emulated: Any) -> None:
    folder, library = emulated([case for case in cases.checked() if case.act and not case.products], [])
    assert main(folder, library) == RIGHT
    assert {body for body, *_ in library.launched} == {"sequential"}


@pytest.mark.long
@needs_shim
def test_acts_by_products_are_right(emulated: Any) -> None:
    folder, library = emulated([case for case in cases.checked() if case.products], [])
    assert main(folder, library) == RIGHT
    assert "sequential" not in {body for body, *_ in library.launched}


@needs_shim
def test_what_mlx_makes_of_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_mlx, "GPU", mx.cpu)
    names = set(on_mlx.TRANSFORMED) - {"mx.compile of Affine"}  # which is run when there are values
    assert len(names) == 3
    for name in names:
        assert not on_mlx.TRANSFORMED[name](partial(scan, start=LazyShim()))
