"""How kernels for CUDA are compiled, kept and started, with stand-ins for MLX's functions that note what would start."""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import mlx.core as mx
import pytest
from cases import CASES, launches
from lazy_kernels import without_rule
from scans import scan
from selection import thinned
from shim_driver import Shim, needs_shim
from test_catalogue import same

import monoscan as ms
from monoscan.cache import Cache
from monoscan.lowering.plan.gpu_launches import launches as planned
from monoscan.lowering.render import cuda
from monoscan.lowering.render.gpu_spec import Body, GpuSpec
from monoscan.lowering.targets.cpu import disk, folders, pruning
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.cuda import by_text, cubin, nvrtc, run
from monoscan.lowering.targets.failures import FAILURES
from monoscan.lowering.targets.gpu import target
from monoscan.lowering.targets.gpu.launch import Output

FOR_CUDA = partial(planned, target="cuda")


@attrs.define
class Machine:
    """A GPU that NVRTC compiles for and that MLX starts kernels on, both made up.

    Args:
        codes: The kernel of each code or header.
        compiled: How many texts were compiled.
        started: Name, grid, threads and number of inputs of each launch.
        refusal: What NVRTC says in place of compiling.
    """

    codes: dict[Any, GpuSpec] = attrs.field(factory=dict)
    compiled: int = 0
    started: list[tuple[str, tuple[int, ...], int, int]] = attrs.field(factory=list)
    refusal: str = ""

    def compile(self, text: str, architecture: str) -> nvrtc.Cubin:
        self.compiled += 1
        if self.refusal:
            raise nvrtc.NvrtcError(self.refusal)
        return nvrtc.Cubin(b"code " + str(hash((text, architecture))).encode(), 32, 0)

    def precompiled(self, *, name: str, compiled_source: bytes, scalars: Sequence[int], **given: Any) -> list[mx.array]:
        assert given.get("ensure_row_contiguous") or name == "monoscan_clear"
        return self._run(name, self.codes.get(compiled_source), given)

    def by_text(self, *, name: str, input_names: Any, output_names: Any, source: str, header: str = "") -> Any:
        assert len({*input_names, *output_names}) == len([*input_names, *output_names])
        return lambda **given: self._run(name, self.codes.get(header), given)

    def _run(self, name: str, spec: GpuSpec | None, given: Any) -> list[mx.array]:
        inputs, grid, threads = given["inputs"], given["grid"], given["threadgroup"][0]
        outputs = [
            Output(s, str(d).split(".")[-1])
            for s, d in zip(given["output_shapes"], given["output_dtypes"], strict=True)
        ]
        assert grid[0] % threads == 0, "whole groups"
        self.started.append((name, grid, threads, len(inputs)))
        if spec is None:
            assert name == "monoscan_clear"
            return without_rule(outputs, inputs)
        assert threads == spec.threads
        groups = grid[0] // threads * grid[1]
        sizes, *others = inputs
        if spec.body is Body.LOOK_BACK:
            flags = others.pop(0)
            assert flags.dtype == mx.uint32
            assert flags.size == sizes.tolist()[5] + 1, "one for each group, and the ticket"
        with contextlib.suppress(ValueError):  # no values yet
            return Shim()(spec, [sizes, *others], outputs, groups)
        return without_rule(outputs, inputs)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    made = Machine()
    text, header = cuda.text, cuda.header

    def noted_text(spec: GpuSpec) -> str:
        made.codes[b"code " + str(hash((text(spec), "sm_90"))).encode()] = spec
        return text(spec)

    def noted_header(spec: GpuSpec) -> str:
        made.codes[header(spec)] = spec
        return header(spec)

    monkeypatch.setenv("MONOSCAN_CACHE_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    for module in (run, by_text):
        monkeypatch.setattr(module, "COMPILED", Cache(100))
    monkeypatch.setattr(run, "architecture", lambda: "sm_90")
    monkeypatch.setattr(nvrtc, "compile_text", made.compile)
    monkeypatch.setattr(nvrtc, "version", lambda: "13.5")
    monkeypatch.setattr(cuda, "text", noted_text)
    monkeypatch.setattr(cuda, "header", noted_header)
    monkeypatch.setattr(mx.fast, "precompiled_cuda_kernel", made.precompiled)
    monkeypatch.setattr(mx.fast, "cuda_kernel", made.by_text)
    monkeypatch.setattr(FAILURES, "_reasons", {})
    yield made
    FAILURES.generation += 1  # plans are made anew in the tests that follow


WAYS = {"rows": ((3, 300), 1, {}), "columns": ((20, 3), 0, {"reverse": True}), "a long row": ((1, 40_000), 1, {})}


@needs_shim
@pytest.mark.parametrize("by", ["code", "text"])
@pytest.mark.parametrize("name", thinned(WAYS, ["columns", "a long row"]))
def test_kernels_start(name: str, by: str, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "text":
        monkeypatch.delattr(mx.fast, "precompiled_cuda_kernel")
    shape, axis, options = WAYS[name]
    x = mx.random.uniform(0.5, 1, shape, key=mx.random.key(0))
    found = scan(ms.Affine(), (x, x), axis, start=run.start, plan=FOR_CUDA, **options)
    same(found, scan(ms.Affine(), (x, x), axis, start=Shim(), plan=FOR_CUDA, **options))
    clearing = ["monoscan_clear"] if name == "a long row" else []
    body = {"rows": "rows", "columns": "columns", "a long row": "look_back"}[name]
    kernel = cuda.NAME if by == "code" else f"monoscan_{body}"
    assert [each[0] for each in machine.started] == [*clearing, kernel]
    assert machine.started[-1][3] == 3 + len(clearing), "sizes, flags if there are any, two leaves"
    assert machine.compiled == (1 + len(clearing) if by == "code" else 0)


def spec_of(name: str) -> GpuSpec:
    return launches(CASES[name], "cuda")[0].spec


def test_code_is_kept_on_disk(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    code = run.obtain(spec_of("affine rows"))
    assert run.obtain(spec_of("affine rows")) == code
    assert machine.compiled == 1
    monkeypatch.setattr(run, "COMPILED", Cache(100))  # as in another process
    assert run.obtain(spec_of("affine rows")) == code
    assert machine.compiled == 1
    monkeypatch.setattr(run, "COMPILED", Cache(100))
    monkeypatch.setattr(run, "architecture", lambda: "sm_120")
    assert run.obtain(spec_of("affine rows")) != code
    assert machine.compiled == 2


@pytest.mark.parametrize("damage", [b"", b"code of somebody else", None])
def test_damaged_code_is_compiled_again(
    damage: bytes | None, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = run.obtain(spec_of("affine rows"))
    (path,) = next(iter(folders.places_to_keep())).folder.glob("cuda-*.cubin")
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    monkeypatch.setattr(run, "COMPILED", Cache(100))
    assert run.obtain(spec_of("affine rows")) == code
    assert machine.compiled == 2
    assert disk.intact(path)


def test_code_is_counted_and_cleared_with_the_rest(machine: Machine) -> None:
    run.obtain(spec_of("affine rows"))
    folder = next(iter(folders.places_to_keep())).folder
    assert pruning.size_of(pruning.entries(folder)).startswith("1 library")
    pruning.clear()
    assert not [*folder.glob("cuda-*")]


def test_what_nvrtc_refuses_runs_by_arrays_and_says_so(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.refusal = "this architecture is too new"
    monkeypatch.setattr(target, "name", lambda: "cuda")
    x = mx.ones((7, 301))
    plan = ms.explain(ms.Affine(), (x, x), 1, stream=mx.gpu)
    assert plan.strategy == "kernel"
    before = FAILURES.reasons("gpu kernel")
    for _ in range(2):
        with pytest.raises(BridgeUnavailable, match="too new"):
            target.prepare(plan.problem, plan.kernels)
    assert machine.compiled == 1, "what failed is remembered"
    assert len(FAILURES.reasons("gpu kernel")) == len(before) + 1
    again = ms.explain(ms.Affine(), (x, x), 1, stream=mx.gpu)
    assert again.strategy == "blelloch"
    assert "this architecture is too new" in str(again)


def test_explain_says_what_is_known(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "name", lambda: "cuda")
    monkeypatch.setattr(cubin, "registers", lambda code: 104)
    FAILURES.generation += 1  # plans are made anew
    x = mx.ones((9, 5000))
    plan = ms.explain(ms.Affine(), (x, x), 1, stream=mx.gpu)
    line = "    launch  rows: 9 groups of 256 threads, tiles of 4,096 steps; a thread holds 16 elements in 32 registers"
    assert plan.summary()[-2:] == ["  kernel    1 launch; 703 KiB", line]
    target.prepare(plan.problem, plan.kernels)
    assert plan.summary()[-1] == f"{line}, of 104 in all"


@pytest.mark.parametrize(
    ("operator", "elems", "reason"),
    [
        (
            ms.Max(),
            mx.array([1.0, 2.0, 3.0], mx.float64),
            "MLX computes float64 on the CPU alone: stream=mx.cpu, or astype",
        ),
        (ms.MatMul(), mx.ones((9, 6, 6)), "a state of 36 registers; a thread of a GPU kernel holds 32"),
        (
            ms.Xor(),
            mx.broadcast_to(mx.array([1]), (2**31 - 1,)),
            "2,147,483,647 steps; a GPU kernel counts 2,147,467,264",
        ),
    ],
)
def test_a_forced_kernel_that_there_is_not_says_why(operator: Any, elems: mx.array, reason: str) -> None:
    with pytest.raises(ms.errors.StrategyError, match=reason):
        ms.explain(operator, elems, strategy="kernel", stream=mx.gpu)
    assert reason in str(ms.explain(operator, elems, stream=mx.gpu))


def test_the_text_of_a_plan_of_parts_is_that_of_its_own_target() -> None:
    pair = (mx.ones((2, 300)), mx.ones((2, 300)))
    for elems, operator in ((pair, ms.Affine()), ((pair, pair), ms.Tuple(ms.Affine(), ms.Affine()))):
        planned = ms.explain(operator, elems, 1, stream=mx.gpu)
        assert planned.source == planned.source_for(target.name())
        with pytest.raises(ms.ScanError, match=r"\[source_for\] takes .* metal or cuda; got 'vulkan'"):
            planned.source_for("vulkan")


# ------------------------------------------------------------------ text that MLX compiles
MLX_TYPES = {"float32": "float", "float16": "__half", "bfloat16": "__nv_bfloat16", "bool": "bool", "int64": "long"}
MLX_UTILITIES = "struct __half { unsigned short bits; };\nstruct __nv_bfloat16 { unsigned short bits; };\n"


def as_mlx_compiles(spec: GpuSpec) -> str:
    """A text as MLX writes it around a header and a source."""
    flags = ["const unsigned* given_flags"] if spec.body is Body.LOOK_BACK else []
    parameters = ["const long* given_sizes", *flags]
    for array in spec.arrays:
        kind = MLX_TYPES.get(array.dtype, array.dtype.replace("int32", "int").replace("uint", "unsigned int"))
        parameters.append(f"{'' if array.written else 'const '}{kind}* given_{array.name}")
    return f"""{MLX_UTILITIES}{cuda.header(spec)}
namespace mlx::core::cu {{
__global__ void custom_kernel_monoscan({", ".join(parameters)}) {{
{cuda.body(spec)}
}}
}}
"""


def assembly(text: str, *options: str) -> str:
    """What NVRTC makes of a text."""
    library, program = nvrtc.library(), ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"text.cu", 0, None, None)
    every = [b"--gpu-architecture=compute_90", b"--std=c++17", b"--device-as-default-execution-space"]
    every += [option.encode() for option in options]
    failed = library.nvrtcCompileProgram(program, len(every), (ctypes.c_char_p * len(every))(*every))
    assert not failed, nvrtc._read(program, "ProgramLog").decode()
    found = nvrtc._read(program, "PTX").decode()
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return found


def fused(text: str) -> int:
    return len(re.findall(r"\bfma\.rn\.f32", text))


@pytest.mark.long
@pytest.mark.parametrize("name", thinned(CASES, ["affine rows", "sum of halves of a long row"]))
def test_text_that_mlx_compiles_is_not_contracted(name: str) -> None:
    """No more is fused than where contraction is off: what the polynomials ask for."""
    pytest.importorskip("nvidia", reason="no NVRTC")
    for launch in launches(CASES[name], "cuda"):
        assert fused(assembly(as_mlx_compiles(launch.spec))) == fused(assembly(cuda.text(launch.spec), "--fmad=false"))


def test_the_same_text_without_care_would_be_contracted() -> None:
    pytest.importorskip("nvidia", reason="no NVRTC")
    assert fused(assembly(cuda.text(spec_of("affine rows")))) > 0
