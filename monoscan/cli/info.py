"""``monoscan info``: versions, devices, and which strategies work here."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import mlx.core as mx

import monoscan
from monoscan.lowering.targets.cpu import build, folders, kernels, pruning, registers
from monoscan.lowering.targets.cpu.compiler import BridgeUnavailable
from monoscan.lowering.targets.failures import FAILURES

PACKAGES = ("mlx", "numpy", "attrs", "nanobind", "hypothesis", "matplotlib")
Report = dict[str, Any]


def report() -> Report:
    """What there is here: strings, by name and by group."""
    return {
        "monoscan": monoscan.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": _devices(),
        "strategies": _strategies(),
        "compiled code": _cache(),
    }


def lines(report: Report) -> list[str]:
    """The report, line by line."""
    packages = ", ".join(f"{name} {version}" for name, version in report["packages"].items())
    return [
        f"monoscan {report['monoscan']}, Python {report['python']}, {report['system']}",
        f"  {packages}",
        "",
        *_group("devices", report["devices"], 9),
        "",
        *_group("strategies", report["strategies"], 15),
        "",
        *_kept(report["compiled code"]),
    ]


def _group(title: str, entries: dict[str, str], width: int) -> list[str]:
    return [title, *(f"  {name:<{width}}{text}" for name, text in entries.items())]


def _kept(cache: Report) -> list[str]:
    unused = [f"  {folder}, not used: {why}" for folder, why in cache["unused"].items()]
    if cache["folder"] is None:
        return ["compiled code", *unused, "  kept for one process alone"]
    limits = f"at most {cache['limits']}; monoscan cache clear empties it"
    return ["compiled code", *unused, f"  {cache['folder']}", f"  {cache['held']} ({limits})"]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _devices() -> dict[str, str]:
    default = "gpu" if mx.default_device() == mx.Device(mx.gpu) else "cpu"
    return {"cpu": _cpu_model(), "gpu": _gpu() or "none that MLX can use", "default": default}


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _strategies() -> dict[str, str]:
    portable = ("blelloch", "hillis_steele", "brent_kung", "sequential")
    return {
        "native": "yes: mx.cumsum, cumprod, cummax, cummin, logcumsumexp",
        "kernel (cpu)": kernels_here(),
        "subnormals": _subnormals(),
        "kernel (gpu)": _gpu_kernels(),
        **dict.fromkeys(portable, "yes: MLX array operations, on any device"),
    }


def _subnormals() -> str:
    if not registers.flush():
        return "kept, as MONOSCAN_SUBNORMALS asks"
    if platform.machine() in ("x86_64", "AMD64"):
        return "results of kernels are flushed to zero, but beside float64"
    return "kept: they cost nothing on this processor"


def _gpu_kernels() -> str:
    return "no: MLX can use no GPU here" if _gpu() is None else "yes, not tried on hardware by those who wrote them"


def _gpu() -> str | None:
    return "Metal" if mx.metal.is_available() else "CUDA" if mx.cuda.is_available() else None


def kernels_here() -> str:
    """Whether kernels run, found out by building the bridge and compiling one."""
    try:
        build.load()
    except BridgeUnavailable as failure:
        return f"no: {failure.reason}"
    try:
        kernels.check_compiler()
    except BridgeUnavailable as failure:
        return f"only those compiled before: {failure.reason}"
    failed = FAILURES.reasons("kernel")
    return f"yes, but {len(failed)} failed in this process, the first so: {failed[0]}" if failed else "yes"


def _cache() -> Report:
    """Where compiled code is kept: the first place that will do, and why not in those before it."""
    unused = {}
    for place in folders.places_to_keep():
        if place.unsafe is not None:
            unused[str(place.folder)] = place.unsafe
            continue
        held = pruning.size_of(pruning.entries(place.folder))
        limits = f"{pruning.MAX_BYTES >> 20} MiB, {pruning.MAX_DAYS} days without use"
        return {"unused": unused, "folder": str(place.folder), "held": str(held), "limits": limits}
    return {"unused": unused, "folder": None}
